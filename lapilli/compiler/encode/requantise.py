"""Scales to the unit's fixed-point fields, and the integer form of an addition.

Every step is rounded to float32 where the hardware notes say so: the recorded instructions depend
on it to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.model.graph import Quantization

Scales = NDArray[np.float32]

SHIFT_MAXIMUM = 127
WEIGHT_MAXIMUM = 255


@dataclass(frozen=True)
class Multiplier:
    """The two fields that a scale is coded in."""

    fraction: int
    shift: int


@dataclass(frozen=True)
class AdditionScales:
    """Quantisation of an addition's operands and result. ``subtract``: the second operand is taken
    away."""

    first: Quantization
    second: Quantization
    output: Quantization
    subtract: bool = False


def convolution_scale(input_scale: float, weight_scale: float, output_scale: float) -> np.float32:
    """Accumulator steps to output steps."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.float32(np.float32(input_scale) * np.float32(weight_scale))
        return np.float32(product / np.float32(output_scale))


def float_parts(scale: np.float32) -> tuple[int, int]:
    """Biased exponent and 23-bit mantissa of a positive float32."""
    bits = int(np.float32(scale).view(np.uint32))
    return bits >> 23, bits & 0x7FFFFF


@dataclass(frozen=True)
class AdditionNumbers:
    """An addition as ``first * (a - z) + second * (b - z) + bias``, times ``scale``; a and b are
    the operands' bytes, z the first one's zero point. ``second`` is below 0 in a subtraction."""

    first: int
    second: int
    bias: int
    scale: np.float32

    @property
    def zero_point(self) -> int:
        """The weights' zero point: the least with which both weights are bytes."""
        return max(0, -self.second)


UNUSABLE = AdditionNumbers(0, 0, 0, np.float32(np.inf))
"""The scales leave float32; no generation has fields for that."""


def round_half_away(value: float) -> int:
    """The nearest integer, ties away from zero."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def recorded_addition(scales: AdditionScales, step: np.float32) -> AdditionNumbers:
    """The numbers of the recorded driver, whose larger weight is 255: one weight step is ``step``
    times the first operand's scale."""
    first, second = scales.first, scales.second
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        ratio = np.float32(np.float32(second.scale) / np.float32(first.scale))
        unit = np.float32(step * np.float32(first.scale))
        if not (np.isfinite(ratio) and np.isfinite(step) and step > 0 and unit > 0):
            return UNUSABLE
        difference = np.float32(
            np.float32(first.zero_point - second.zero_point) * np.float32(second.scale)
        )
        bias = float(difference) / float(unit)
        if not math.isfinite(bias):
            return UNUSABLE
        return AdditionNumbers(
            round_half_away(1.0 / float(step)) & 0xFF,
            round_half_away(float(ratio) / float(step)) & 0xFF,
            round_half_away(bias),
            convolution_scale(first.scale, float(step), scales.output.scale),
        )


def exponents(scales: Scales) -> NDArray[np.int64]:
    """The biased exponents of positive float32s."""
    return scales.view(np.uint32).astype(np.int64) >> 23


def closest_addition(
    scales: AdditionScales, codable: Callable[[Scales], Scales]
) -> AdditionNumbers:
    """The one-byte weights and scale that come closest to the real factors.

    The recorded driver sets the larger weight to 255, which rounds the other to a 510th; here both
    are chosen so that their ratio and the scale fit best. In a subtraction one lies above and one
    below the weights' zero point, so that together they are at most 255. ``codable`` gives the
    nearest scales that the instruction can hold, NaN where there is none.
    """
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        factors = np.array([scales.first.scale, scales.second.scale]) / scales.output.scale
        if not np.all(np.isfinite(factors)) or not np.all(factors > 0):
            return UNUSABLE
        larger = int(np.argmax(factors))
        weights = np.zeros((WEIGHT_MAXIMUM, 2))
        weights[:, larger] = np.arange(1, WEIGHT_MAXIMUM + 1)
        weights[:, 1 - larger] = np.round(
            weights[:, larger] * factors[1 - larger] / factors[larger]
        )
        wanted = (factors[larger] / weights[:, larger]).astype(np.float32)
        used = codable(wanted).astype(np.float64)
    if scales.subtract:
        used[weights.sum(axis=1) > WEIGHT_MAXIMUM] = np.nan
    errors = np.abs(weights * used[:, None] - factors).max(axis=1)
    if np.all(np.isnan(errors)):
        return UNUSABLE
    best = int(np.nanargmin(errors))
    first, second = (int(weight) for weight in weights[best])
    second = -second if scales.subtract else second
    bias = second * (scales.first.zero_point - scales.second.zero_point)
    return AdditionNumbers(first, second, bias, np.float32(used[best]))


LARGEST_ADDITION_ERROR = 0.9
"""Output steps that an addition's numbers may be off before rounding: below 1, rounded results are
never more than 1 apart, and the CPU's own kernels are not exact either."""


def addition_error(numbers: AdditionNumbers, scales: AdditionScales, used: np.float32) -> float:
    """The most that ``numbers`` are off before rounding, in output steps, over all bytes; ``used``
    is the scale as the instruction holds it. The error is linear, so corners are enough."""
    first, second, output = scales.first, scales.second, scales.output
    if not np.isfinite(used):
        return math.inf
    sign, worst = -1 if scales.subtract else 1, 0.0
    for a in (0 - first.zero_point, 255 - first.zero_point):
        for b in (0 - second.zero_point, 255 - second.zero_point):
            wanted = (first.scale * a + sign * second.scale * b) / output.scale
            shifted = b + second.zero_point - first.zero_point
            made = (numbers.first * a + numbers.second * shifted + numbers.bias) * float(used)
            worst = max(worst, abs(made - wanted))
    return worst
