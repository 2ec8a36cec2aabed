"""SOFTMAX and LOG_SOFTMAX over the last axis, ARG_MAX and ARG_MIN, L2_NORMALIZATION.

Source: TFLite's ``activations.cc`` (bytes: a table of exponentials in single precision),
``reference/arg_min_max.h``.
"""

from __future__ import annotations

import numpy as np

from lapilli.errors import Unsupported
from lapilli.reference.arithmetic import (
    Array,
    round_half_away,
    scale_of,
    type_range,
    zero_point_of,
)
from lapilli.reference.node import Node


def softmax(node: Node, beta: float) -> tuple[Array, ...]:
    """SOFTMAX."""
    source, target = node.tensor(0), node.outputs[0]
    value = node.value(0)
    if source.dtype == "float32":
        real = value.astype(np.float32)
        powers = np.exp((real - real.max(axis=-1, keepdims=True)) * np.float32(beta))
        return (powers / powers.sum(axis=-1, keepdims=True),)
    if source.dtype not in ("uint8", "int8"):
        raise Unsupported(f"SOFTMAX of {source.dtype}")
    below = value.max(axis=-1, keepdims=True).astype(np.int64) - value
    scale = np.float32(-scale_of(source)) * np.float32(beta)
    table = np.exp(scale * np.arange(256, dtype=np.float32)).astype(np.float32)
    powers = table[below]
    sums = _sequential_sum(powers)
    inverse = np.float32(1.0) / (sums * np.float32(scale_of(target)))
    low, high = type_range(target.dtype)
    steps = round_half_away((powers * inverse).astype(np.float64)) + zero_point_of(target)
    return (np.clip(steps, low, high).astype(target.dtype),)


def _sequential_sum(values: Array) -> Array:
    """In single precision, one after another along the last axis, as C adds them."""
    sums = np.add.accumulate(values, axis=-1, dtype=np.float32)
    return sums[..., -1:]


def arg_extremum(node: Node, largest: bool) -> tuple[Array, ...]:
    """ARG_MAX and ARG_MIN: the first of equal ones."""
    axis = int(node.constant(1).reshape(-1)[0])
    value = node.value(0)
    at = axis % (value.ndim - 1) + 1
    found = value.argmax(axis=at) if largest else value.argmin(axis=at)
    return (found.astype(node.outputs[0].dtype).reshape(len(value), *node.outputs[0].shape),)
