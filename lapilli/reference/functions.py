"""Functions of one value: tables of 256 bytes, the RELU family, and real numbers.

Source: TFLite's ``activations.cc``, ``elementwise.cc``, ``hardswish`` and ``leaky_relu`` of
``reference/``. A byte's function is computed once for each byte there is, then looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.graph import Tensor
from lapilli.reference.arithmetic import (
    Array,
    Floats,
    Integers,
    Multipliers,
    quantize_multiplier,
    quantized,
    round_half_away,
    scale_of,
    type_range,
    zero_point_of,
)
from lapilli.reference.node import Node

Function: TypeAlias = Callable[[Floats], Floats]
_BYTES: Final = ("uint8", "int8")


def _look_up(node: Node, table: Array) -> tuple[Array, ...]:
    """``table[i]`` for the i-th byte from the type's least on."""
    source = node.tensor(0)
    low = type_range(source.dtype)[0]
    return (table[node.value(0).astype(np.int64) - low],)


def _all_bytes(tensor: Tensor) -> Integers:
    """Every value a byte tensor can hold, in rising order."""
    low, high = type_range(tensor.dtype)
    return np.arange(low, high + 1, dtype=np.int64)


def by_table(node: Node, function: Function) -> tuple[Array, ...]:
    """A real function of bytes through a table, in double precision, or of real numbers."""
    source, target = node.tensor(0), node.outputs[0]
    if source.dtype == "float32":
        with np.errstate(all="ignore"):
            return (function(node.value(0).astype(np.float64)).astype(np.float32),)
    if source.dtype not in _BYTES or target.dtype not in _BYTES:
        raise Unsupported(f"{node.operator.kind} of {source.dtype}")
    real = scale_of(source) * (_all_bytes(source) - zero_point_of(source)).astype(np.float64)
    with np.errstate(all="ignore"):
        values = function(real)
    low, high = type_range(target.dtype)
    steps = round_half_away(np.nan_to_num(values / scale_of(target)))
    table = np.clip(steps + zero_point_of(target), low, high).astype(target.dtype)
    return _look_up(node, table)


def _logistic(real: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-real))


_ERROR_FUNCTION = np.frompyfunc(math.erf, 1, 1)


def _gelu(real: Floats) -> Floats:
    error: Floats = np.asarray(_ERROR_FUNCTION(real / math.sqrt(2.0)), np.float64)
    return 0.5 * real * (1.0 + error)


def gelu_approximate(real: Floats) -> Floats:
    """GELU by tanh, the option ``approximate``."""
    inner = math.sqrt(2.0 / math.pi) * (real + 0.044715 * real**3)
    result: Floats = 0.5 * real * (1.0 + np.tanh(inner))
    return result


REAL_FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "LOGISTIC": _logistic,
        "TANH": np.tanh,
        "EXP": np.exp,
        "LOG": np.log,
        "SQRT": np.sqrt,
        "RSQRT": lambda real: 1.0 / np.sqrt(real),
        "SQUARE": lambda real: real * real,
        "ABS": np.abs,
        "NEG": np.negative,
        "SIN": np.sin,
        "COS": np.cos,
        "FLOOR": np.floor,
        "CEIL": np.ceil,
        "ROUND": np.rint,
        "ELU": lambda real: np.where(real < 0.0, np.expm1(real), real),
        "GELU": _gelu,
    }
)
"""Kind -> function of real numbers."""


def real_function(node: Node) -> tuple[Array, ...]:
    """The function that the operator's kind names; whole numbers only where they stay whole."""
    kind, dtype = node.operator.kind, node.tensor(0).dtype
    if dtype in ("int32", "int64"):
        whole = {"ABS": np.abs, "NEG": np.negative, "SQUARE": np.square}.get(kind)
        if whole is None:
            raise Unsupported(f"{kind} of {dtype}")
        return (whole(node.value(0)),)
    return by_table(node, REAL_FUNCTIONS[kind])


def absolute(node: Node) -> tuple[Array, ...]:
    """ABS: of bytes by a multiplier, where the scales differ."""
    source, target = node.tensor(0), node.outputs[0]
    if source.dtype not in _BYTES:
        return real_function(node)
    centred = np.abs(_all_bytes(source) - zero_point_of(source))
    if scale_of(source) != scale_of(target):
        centred = Multipliers.of([scale_of(source) / scale_of(target)]).apply(centred)
    steps = centred + zero_point_of(target)
    return _look_up(node, np.clip(steps, *type_range(target.dtype)).astype(target.dtype))


def rectified(node: Node, low: float, high: float | None) -> tuple[Array, ...]:
    """RELU, RELU6, RELU_N1_TO_1, RELU_0_TO_1 as operators."""
    source, target = node.tensor(0), node.outputs[0]
    if source.dtype == "float32":
        return (np.clip(node.value(0), np.float32(low), high),)
    if source.dtype not in _BYTES:
        raise Unsupported(f"{node.operator.kind} of {source.dtype}")
    scale, zero_point = scale_of(target), zero_point_of(target)
    least, most = type_range(target.dtype)
    least = max(least, quantized(low, scale, zero_point))
    if high is not None:
        most = min(most, quantized(high, scale, zero_point))
    centred = _all_bytes(source) - zero_point_of(source)
    moved = Multipliers.of([scale_of(source) / scale]).apply(centred) + zero_point
    return _look_up(node, np.clip(moved, least, most).astype(target.dtype))


def leaky_relu(node: Node, slope: float) -> tuple[Array, ...]:
    """LEAKY_RELU; ``slope`` is in single precision."""
    source, target = node.tensor(0), node.outputs[0]
    if source.dtype == "float32":
        value = node.value(0)
        return (np.where(value > 0, value, value * np.float32(slope)),)
    low, high = type_range(target.dtype)
    ratio = scale_of(source) / scale_of(target)
    centred = _all_bytes(source) - zero_point_of(source)
    positive = Multipliers.of([ratio]).apply(centred)
    negative = Multipliers.of([float(np.float32(slope)) * ratio]).apply(centred)
    steps = np.where(centred >= 0, positive, negative) + zero_point_of(target)
    return _look_up(node, np.clip(steps, low, high).astype(target.dtype))


def prelu(node: Node) -> tuple[Array, ...]:
    """PRELU: a slope for each element, broadcast."""
    source, slopes, target = node.tensor(0), node.tensor(1), node.outputs[0]
    value, slope = node.value(0), node.value(1)
    missing = value.ndim - slope.ndim
    slope = slope.reshape(len(slope), *([1] * missing), *slope.shape[1:])
    if source.dtype == "float32":
        return (np.where(value >= 0, value, value * slope),)
    low, high = type_range(target.dtype)
    ratio = scale_of(source) / scale_of(target)
    centred = value.astype(np.int64) - zero_point_of(source)
    steep = slope.astype(np.int64) - zero_point_of(slopes)
    positive = Multipliers.of([ratio]).apply(centred)
    negative = Multipliers.of([ratio * scale_of(slopes)]).apply(centred * steep)
    steps = np.where(centred >= 0, positive, negative) + zero_point_of(target)
    return (np.clip(steps, low, high).astype(target.dtype),)


def hard_swish(node: Node) -> tuple[Array, ...]:
    """HARD_SWISH; of bytes in 16-bit fixed point (``reference/hard_swish.h``)."""
    source, target = node.tensor(0), node.outputs[0]
    if source.dtype == "float32":
        real = node.value(0).astype(np.float32)
        gate = np.clip(real + np.float32(3), np.float32(0), np.float32(6))
        return (real * gate / np.float32(6),)
    fine = np.float32(1 / 128) * np.float32(scale_of(source))
    with np.errstate(over="ignore"):
        to_output = quantize_multiplier(float(fine / np.float32(scale_of(target))))
        to_gate = quantize_multiplier(float(fine / np.float32(3.0 / 32768)))
    steps = (_all_bytes(source) - zero_point_of(source)) * 128
    value = _high_half(steps, _to_16_bits(to_output[0]))
    gate = steps
    if to_gate[1] > 0:
        gate = _saturating_left(gate, to_gate[1] - 1)
    gate = _high_half(gate, _to_16_bits(to_gate[0]))
    if to_gate[1] > 0:
        gate = _saturating_left(gate, 1)
    if to_gate[1] < 0:
        gate = _rounding_right(gate, -to_gate[1])
    gate = (gate + (1 << 15)) >> 1
    # ``SaturatingDoublingHighMul`` cuts towards zero.
    product = _truncated_shift(gate * value, 15)
    result = _rounding_right(product, -to_output[1]) + zero_point_of(target)
    low, high = type_range(target.dtype)
    return _look_up(node, np.clip(result, low, high).astype(target.dtype))


def _to_16_bits(mantissa: int) -> int:
    """``DownScaleInt32ToInt16Multiplier``."""
    return min((mantissa + (1 << 15)) >> 16, (1 << 15) - 1)


def _high_half(values: Integers, factor: int) -> Integers:
    """``SaturatingRoundingDoublingHighMul`` of 16 bits: rounded, cut towards zero."""
    product = values * factor
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return _truncated_shift(nudged, 15)


def _truncated_shift(values: Integers, amount: int) -> Integers:
    """Divided by a power of two, cut towards zero, kept in 16 bits."""
    halved: Integers = np.sign(values) * (np.abs(values) >> amount)
    clipped: Integers = np.clip(halved, -(1 << 15), (1 << 15) - 1)
    return clipped


def _saturating_left(values: Integers, amount: int) -> Integers:
    clipped: Integers = np.clip(values << amount, -(1 << 15), (1 << 15) - 1)
    return clipped


def _rounding_right(values: Integers, amount: int) -> Integers:
    """``RoundingDivideByPOT``."""
    if amount <= 0:
        return values << -amount
    mask = (1 << amount) - 1
    threshold = (mask >> 1) + (values < 0)
    shifted: Integers = (values >> amount) + ((values & mask) > threshold)
    return shifted
