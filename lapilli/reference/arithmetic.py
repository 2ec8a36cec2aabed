"""TFLite's fixed-point arithmetic: multipliers, rounding, the range of a fused activation.

Source: TensorFlow Lite's ``kernels/internal/quantization_util.cc``, ``common.h`` and
``kernels/kernel_util.cc``. All of it is exact in int64 for accumulators of 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation, Quantization, Tensor

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]

CHUNK: Final = 1 << 16
"""Elements that are taken at a time, so that what is between stays in a core's cache."""
INTEGER_TYPES: Final = ("uint8", "int8", "int16", "int32", "int64")


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(mantissa, shift): real = mantissa * 2 ** (shift - 31); the mantissa has 31 bits.

    ``QuantizeMultiplier`` of TFLite, which rounds half away from zero. What is too large becomes
    the largest.
    """
    if math.isinf(real):
        return (1 << 31) - 1 if real > 0 else -(1 << 31) + 1, 30
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    mantissa = math.floor(abs(fraction) * (1 << 31) + 0.5)
    mantissa = mantissa if fraction > 0 else -mantissa
    if abs(mantissa) == 1 << 31:
        mantissa //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return mantissa, shift


@dataclass(frozen=True, eq=False)
class Multipliers:
    """A factor for each channel, or one for all: its 31 bits and its power of two."""

    mantissas: Integers
    shifts: Integers

    @staticmethod
    def of(reals: Sequence[float] | Floats) -> Multipliers:
        """Of real factors; one-dimensional, so that it broadcasts over the last axis."""
        pairs = np.array([quantize_multiplier(float(real)) for real in reals], np.int64)
        return Multipliers(pairs[:, 0], pairs[:, 1])

    def apply(self, values: Integers) -> Integers:
        """``MultiplyByQuantizedMultiplier``: the high half of the doubled product rounded half up,
        then the shift rounded half away from zero."""
        left = np.maximum(self.shifts, 0)
        right = np.maximum(-self.shifts, 0)
        if left.any():
            values = values << left
        product = values * self.mantissas
        product += 1 << 30
        product >>= 31
        if not right.any():
            return product
        return _shift_right(product, right)

    def apply_once(self, values: Integers) -> Integers:
        """The exact product, rounded once with halves up, as ``ruy`` does it."""
        total = 31 - self.shifts
        product = values * self.mantissas
        product += (np.int64(1) << total) >> 1
        product >>= total
        return product


def _shift_right(values: Integers, shifts: Integers) -> Integers:
    """``RoundingDivideByPOT``: halves go away from zero."""
    half = (np.int64(1) << shifts) >> 1
    # An arithmetic shift by 63 is -1 for what is below zero.
    values = values + (half + ((values >> 63) & -(half > 0).astype(np.int64)))
    values >>= shifts
    return values


def round_half_away(values: Floats) -> Floats:
    """``TfLiteRound``."""
    # Not by adding 0.5: the largest double below 0.5 plus 0.5 is 1.
    magnitude = np.abs(values)
    whole = np.floor(magnitude)
    rounded: Floats = np.copysign(whole + (magnitude - whole >= 0.5), values)
    return rounded


def quantization_of(tensor: Tensor) -> Quantization:
    """A tensor's quantisation; Unsupported if it has none."""
    if tensor.quantization is None or not tensor.quantization.scales:
        raise Unsupported(f"tensor {tensor.name!r} is {tensor.dtype} without a scale")
    return tensor.quantization


def scale_of(tensor: Tensor) -> float:
    """The scale of a tensor that has one; Unsupported otherwise."""
    return quantization_of(tensor).scale


def zero_point_of(tensor: Tensor) -> int:
    """The zero point of a tensor that has one scale; Unsupported if it has none."""
    return quantization_of(tensor).zero_point


def type_range(dtype: str) -> tuple[int, int]:
    """Least and largest value of an integer type."""
    if dtype not in INTEGER_TYPES:
        raise Unsupported(f"integer arithmetic in {dtype}; known: {', '.join(INTEGER_TYPES)}")
    information = np.iinfo(dtype)
    return int(information.min), int(information.max)


def quantized(real: float, scale: float, zero_point: int) -> int:
    """A real bound in steps, by TFLite's division in single precision; one that no 32 bits hold,
    which TFLite refuses, as the last that they do."""
    with np.errstate(over="ignore", divide="ignore"):
        steps = np.float32(real) / np.float32(scale)
    held = np.clip(np.array(steps, np.float64), -(1 << 31), (1 << 31) - 1)
    return zero_point + int(round_half_away(held))


def activation_range(activation: Activation, tensor: Tensor) -> tuple[int, int]:
    """Least and largest byte that a fused activation lets out of an operator."""
    low, high = type_range(tensor.dtype)
    if activation is Activation.NONE:
        return low, high
    bounds = {
        Activation.RELU: (0.0, None),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }.get(activation)
    if bounds is None:
        raise Unsupported(f"fused activation {activation.value}")
    scale, zero_point = scale_of(tensor), zero_point_of(tensor)
    low = max(low, quantized(bounds[0], scale, zero_point))
    if bounds[1] is not None:
        high = min(high, quantized(bounds[1], scale, zero_point))
    return low, high
