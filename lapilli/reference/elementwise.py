"""ADD, SUB, MUL, DIV, MINIMUM, MAXIMUM and comparisons of two tensors, which broadcast.

Source: TFLite's ``reference/add.h``, ``sub.h``, ``mul.h``, ``maximum_minimum.h`` and the
preparation in ``add.cc``, ``sub.cc``, ``mul.cc``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation
from lapilli.reference.arithmetic import (
    Array,
    Integers,
    Multipliers,
    activation_range,
    scale_of,
    zero_point_of,
)
from lapilli.reference.node import Node, Rounding

LEFT_SHIFT = 20
"""Bits that the operands of an addition of bytes are moved up."""
_BYTES = ("uint8", "int8")


def _operands(node: Node) -> tuple[Array, Array]:
    """Both inputs, with as many dimensions as the output has."""
    rank = len(node.outputs[0].shape)
    values = []
    for place in range(2):
        value = node.value(place)
        missing = rank + 1 - value.ndim
        values.append(value.reshape(len(value), *([1] * missing), *value.shape[1:]))
    return values[0], values[1]


def _clamped_float(values: Array, activation: Activation) -> Array:
    """A fused activation on real numbers."""
    low, high = {
        Activation.NONE: (None, None),
        Activation.RELU: (0.0, None),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }.get(activation, (np.nan, np.nan))
    if low is None and high is None:
        return values
    if low is not None and np.isnan(low):
        raise Unsupported(f"fused activation {activation.value}")
    clamped: Array = np.clip(values, low, high)
    return clamped


def _wide(node: Node, operation: Callable[[Array, Array], Array], activation: Activation) -> Array:
    """Of types that are no bytes: as NumPy does it, which is how C does it."""
    dtype = node.outputs[0].dtype
    if dtype not in ("float32", "int32", "int64"):
        raise Unsupported(f"{node.operator.kind} of {dtype}")
    first, second = _operands(node)
    with np.errstate(all="ignore"):
        result = operation(first, second)
    if dtype == "float32":
        return _clamped_float(result.astype(np.float32), activation)
    return result.astype(dtype)


def _is_bytes(node: Node) -> bool:
    return node.outputs[0].dtype in _BYTES


def addition(node: Node, activation: Activation, sign: int = 1) -> tuple[Array, ...]:
    """ADD, or SUB with ``sign`` -1."""
    if not _is_bytes(node):
        operation = np.add if sign > 0 else np.subtract
        return (_wide(node, operation, activation),)
    target = node.outputs[0]
    low, high = activation_range(activation, target)
    scales = [scale_of(node.tensor(place)) for place in range(2)]
    centred = [
        value.astype(np.int64) - zero_point_of(node.tensor(place))
        for place, value in enumerate(_operands(node))
    ]
    if node.rounding is Rounding.EXACT:
        real = sum(
            value * (factor * scale / scale_of(target))
            for value, scale, factor in zip(centred, scales, (1, sign), strict=True)
        )
        result = np.floor(np.asarray(real) + (zero_point_of(target) + 0.5))
        return (np.clip(result, low, high).astype(target.dtype),)
    twice = 2.0 * max(scales)
    scaled: list[Integers] = [
        Multipliers.of([scale / twice]).apply(value << LEFT_SHIFT)
        for value, scale in zip(centred, scales, strict=True)
    ]
    total = scaled[0] + sign * scaled[1]
    output = Multipliers.of([twice / ((1 << LEFT_SHIFT) * scale_of(target))])
    result = output.apply(total) + zero_point_of(target)
    return (np.clip(result, low, high).astype(target.dtype),)


def multiplication(node: Node, activation: Activation) -> tuple[Array, ...]:
    """MUL."""
    if not _is_bytes(node):
        return (_wide(node, np.multiply, activation),)
    target = node.outputs[0]
    low, high = activation_range(activation, target)
    first, second = (
        value.astype(np.int64) - zero_point_of(node.tensor(place))
        for place, value in enumerate(_operands(node))
    )
    # The product is of single-precision scales, and so is the quotient.
    factor = scale_of(node.tensor(0)) * scale_of(node.tensor(1)) / scale_of(target)
    result = Multipliers.of([factor]).apply(first * second) + zero_point_of(target)
    return (np.clip(result, low, high).astype(target.dtype),)


def division(node: Node, activation: Activation) -> tuple[Array, ...]:
    """DIV of real numbers and whole ones (which cut towards zero)."""
    if node.outputs[0].dtype == "float32":
        return (_wide(node, np.divide, activation),)
    return (_wide(node, _truncated, activation),)


def floor_division(node: Node) -> tuple[Array, ...]:
    """FLOOR_DIV."""
    return (_wide(node, np.floor_divide, Activation.NONE),)


def _truncated(first: Array, second: Array) -> Array:
    if not np.all(second):
        raise Unsupported("DIV by zero")
    quotient: Array = np.trunc(np.true_divide(first, second))
    return quotient


def extremum(node: Node, largest: bool) -> tuple[Array, ...]:
    """MAXIMUM and MINIMUM: on what is stored, whatever the scales."""
    first, second = _operands(node)
    return (np.maximum(first, second) if largest else np.minimum(first, second),)


def squared_difference(node: Node) -> tuple[Array, ...]:
    """SQUARED_DIFFERENCE of types that are no bytes."""
    return (_wide(node, lambda a, b: (a - b) * (a - b), Activation.NONE),)
