"""QUANTIZE, DEQUANTIZE and CAST. Source: TFLite's ``reference/quantize.h``, ``dequantize.h``,
``requantize.h`` and ``cast.cc``."""

from __future__ import annotations

import numpy as np

from lapilli.errors import Unsupported
from lapilli.reference.arithmetic import (
    Array,
    Multipliers,
    quantization_of,
    round_half_away,
    scale_of,
    type_range,
    zero_point_of,
)
from lapilli.reference.node import Node, Rounding


def quantize(node: Node) -> tuple[Array, ...]:
    """QUANTIZE, from real numbers or from another quantisation."""
    source, target = node.tensor(0), node.outputs[0]
    low, high = type_range(target.dtype)
    value, zero_point = node.value(0), zero_point_of(target)
    if source.dtype == "float32":
        real = value.astype(np.float32) / np.float32(scale_of(target))
        # NaN has no byte; TFLite leaves it to the processor, we say the zero point.
        steps = round_half_away(np.nan_to_num(real.astype(np.float64), nan=0.0))
        return (np.clip(steps + zero_point, low, high).astype(target.dtype),)
    type_range(source.dtype)
    factor = scale_of(source) / scale_of(target)
    centred = value.astype(np.int64) - zero_point_of(source)
    if node.rounding is Rounding.EXACT:
        exact = np.floor(centred * factor + (zero_point + 0.5))
        return (np.clip(exact, low, high).astype(target.dtype),)
    whole = Multipliers.of([factor]).apply(centred) + zero_point
    return (np.clip(whole, low, high).astype(target.dtype),)


def dequantize(node: Node) -> tuple[Array, ...]:
    """DEQUANTIZE: in double precision, then single."""
    source = node.tensor(0)
    if source.dtype == "float16":
        return (node.value(0).astype(np.float32),)
    if quantization_of(source).per_channel:
        raise Unsupported("DEQUANTIZE of per-channel values")
    type_range(source.dtype)
    centred = node.value(0).astype(np.int64) - zero_point_of(source)
    return ((centred * scale_of(source)).astype(np.float32),)


def cast(node: Node) -> tuple[Array, ...]:
    """CAST between numbers that the target can hold, cut towards zero."""
    target = node.outputs[0]
    value = node.value(0)
    if target.dtype not in ("float32", "int32", "int64", "uint8", "int8", "int16", "bool"):
        raise Unsupported(f"CAST to {target.dtype}")
    if value.dtype.kind == "f" and target.dtype in ("int32", "int64", "uint8", "int8", "int16"):
        value = np.clip(
            np.nan_to_num(np.trunc(value.astype(np.float64))), *type_range(target.dtype)
        )
    return (value.astype(target.dtype),)
