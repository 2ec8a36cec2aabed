"""AVERAGE_POOL_2D, MAX_POOL_2D and the reductions MEAN, SUM, REDUCE_MAX, REDUCE_MIN.

Source: TFLite's ``reference/pooling.h``, ``reference/integer_ops/pooling.h``,
``reference/reduce.h`` and ``reduce.cc``.
"""

from __future__ import annotations

import math

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation, Padding
from lapilli.reference.arithmetic import (
    Array,
    Integers,
    Multipliers,
    activation_range,
    scale_of,
    type_range,
    zero_point_of,
)
from lapilli.reference.convolution import Window, images_of
from lapilli.reference.node import Node, Rounding


def pool(
    node: Node,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    activation: Activation,
    largest: bool,
) -> tuple[Array, ...]:
    """The largest byte or the mean of those inside the image; pairs are (rows, columns)."""
    target = node.outputs[0]
    low, high = activation_range(activation, target)
    images = images_of(node.value(0))
    window = Window.of(node.tensor(0).shape, kernel, strides, padding)
    lowest = type_range(target.dtype)[0]
    result: Array | None = None
    padded = window.pad(images.astype(np.int32), lowest if largest else 0)
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            part = _tap(padded, window, row, column)
            if result is None:
                result = part.copy()
            elif largest:
                np.maximum(result, part, out=result)
            else:
                np.add(result, part, out=result)
    assert result is not None, "the reader refuses windows without elements"
    if not largest:
        counts = window.pad(np.ones((1, *images.shape[1:3], 1), np.int32), 0)
        inside = sum(
            _tap(counts, window, row, column)
            for row in range(kernel[0])
            for column in range(kernel[1])
        )
        result = _mean(result, np.asarray(inside))
    clamped = np.clip(result, low, high).astype(target.dtype)
    return (clamped.reshape(node.samples, *target.shape),)


def _tap(padded: Array, window: Window, row: int, column: int) -> Array:
    rows, columns = window.output
    stride, column_stride = window.strides
    return padded[
        :,
        row : row + (rows - 1) * stride + 1 : stride,
        column : column + (columns - 1) * column_stride + 1 : column_stride,
    ]


def _mean(sums: Array, counts: Array) -> Array:
    """Rounded, halves away from zero; no window is empty."""
    whole = sums.astype(np.int64)
    mean: Array = np.sign(whole) * ((np.abs(whole) + counts // 2) // counts)
    return mean


def _axes(node: Node) -> tuple[int, ...]:
    """The axes that are reduced, counted with the axis of samples."""
    rank = len(node.tensor(0).shape)
    found = {int(axis) % max(rank, 1) for axis in node.constant(1).reshape(-1).tolist()}
    return tuple(sorted(axis + 1 for axis in found))


def mean(node: Node) -> tuple[Array, ...]:
    """MEAN."""
    source, target = node.tensor(0), node.outputs[0]
    axes = _axes(node)
    shape = (node.samples, *target.shape)
    if target.dtype == "float32":
        return (node.value(0).mean(axis=axes, dtype=np.float32).reshape(shape),)
    low, high = type_range(target.dtype)
    count = math.prod(node.tensor(0).shape[axis - 1] for axis in axes)
    sums: Integers = node.value(0).sum(axis=axes, dtype=np.int64)
    centred = sums - count * zero_point_of(source)
    factor = scale_of(source) / scale_of(target)
    if node.rounding is Rounding.EXACT:
        real = np.floor(centred * (factor / count) + (zero_point_of(target) + 0.5))
        return (np.clip(real, low, high).astype(target.dtype).reshape(shape),)
    rescaled = _mean_multiplier(factor, count).apply(centred)
    result = np.clip(rescaled + zero_point_of(target), low, high)
    return (result.astype(target.dtype).reshape(shape),)


def _mean_multiplier(factor: float, count: int) -> Multipliers:
    """The factor divided by the number of elements, without losing bits of its mantissa."""
    multipliers = Multipliers.of([factor])
    # As ``reference/reduce.h``: the mantissa moves up before it is divided.
    shift = 63 - (64 - count.bit_length())
    shift = min(shift, 32)
    shift = int(min(shift, 31 + int(multipliers.shifts[0])))
    mantissas = (multipliers.mantissas << shift) // count
    return Multipliers(mantissas, multipliers.shifts - shift)


def total(node: Node) -> tuple[Array, ...]:
    """SUM of types that are no bytes, and of bytes."""
    source, target = node.tensor(0), node.outputs[0]
    axes = _axes(node)
    shape = (node.samples, *target.shape)
    if target.dtype not in ("uint8", "int8"):
        return (node.value(0).sum(axis=axes, dtype=target.dtype).reshape(shape),)
    low, high = type_range(target.dtype)
    count = math.prod(source.shape[axis - 1] for axis in axes)
    sums: Integers = node.value(0).sum(axis=axes, dtype=np.int64)
    centred = sums - count * zero_point_of(source)
    rescaled = Multipliers.of([scale_of(source) / scale_of(target)]).apply(centred)
    result = np.clip(rescaled + zero_point_of(target), low, high)
    return (result.astype(target.dtype).reshape(shape),)


def extremum_over(node: Node, largest: bool) -> tuple[Array, ...]:
    """REDUCE_MAX and REDUCE_MIN: of what is stored."""
    if node.tensor(0).dtype != node.outputs[0].dtype:
        raise Unsupported(f"{node.operator.kind} between types")
    value = node.value(0)
    reduced = value.max(axis=_axes(node)) if largest else value.min(axis=_axes(node))
    return (np.asarray(reduced).reshape(node.samples, *node.outputs[0].shape),)
