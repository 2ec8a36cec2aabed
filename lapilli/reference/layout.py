"""Operators that move values and change none: RESHAPE, CONCATENATION, PAD, slices, TRANSPOSE …

Source: TFLite's ``reference/*.h`` of the same names. Every array has the axis of samples in front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation, Quantization, Tensor
from lapilli.reference.arithmetic import (
    Array,
    activation_range,
    quantization_of,
    round_half_away,
    type_range,
)
from lapilli.reference.node import Node


def reshape(node: Node) -> tuple[Array, ...]:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same values in the output's shape."""
    value = node.value(0)
    return (value.reshape(len(value), *node.outputs[0].shape),)


def _all_samples(values: Sequence[Array], samples: int) -> list[Array]:
    return [np.broadcast_to(value, (samples, *value.shape[1:])) for value in values]


def _present(node: Node) -> list[tuple[Tensor, Array]]:
    return [(node.tensor(place), node.value(place)) for place in range(len(node.inputs))]


def concatenation(node: Node, axis: int, activation: Activation) -> tuple[Array, ...]:
    """CONCATENATION. uint8 inputs of another scale are requantised in single precision; int8 ones
    are copied as they are, as TFLite requires one quantisation there."""
    target = node.outputs[0]
    parts = []
    for tensor, value in _present(node):
        if target.dtype == "uint8" and tensor.quantization != target.quantization:
            value = _requantised_uint8(value, quantization_of(tensor), quantization_of(target))
        parts.append(value)
    at = axis % len(target.shape) + 1
    result = np.concatenate(_all_samples(parts, node.samples), axis=at)
    if activation is not Activation.NONE and target.dtype in ("uint8", "int8"):
        result = np.clip(result, *activation_range(activation, target))
    return (result.astype(target.dtype),)


def _requantised_uint8(value: Array, source: Quantization, target: Quantization) -> Array:
    """``ConcatenationWithScaling``: in single precision, halves away from zero."""
    inverse = np.float32(1.0) / np.float32(target.scale)
    factor = np.float32(source.scale) * inverse
    bias = np.float32(-source.zero_point) * factor
    real = value.astype(np.float32) * factor + bias
    steps = round_half_away(real.astype(np.float64)) + target.zero_point
    return np.clip(steps, 0, 255).astype(np.uint8)


def pad(node: Node, value: Array | None = None) -> tuple[Array, ...]:
    """PAD and PADV2: with the zero point, or the value given as third input."""
    tensor = node.tensor(0)
    filling: float | int = 0
    if tensor.dtype in ("uint8", "int8"):
        filling = quantization_of(node.outputs[0]).zero_point
    if value is not None:
        filling = value.reshape(-1)[0].item()
    widths = [(0, 0), *map(tuple, node.constant(1).reshape(-1, 2).tolist())]
    return (np.pad(node.value(0), widths, constant_values=filling),)


def mirror_pad(node: Node, symmetric: bool) -> tuple[Array, ...]:
    """MIRROR_PAD: with or without the border itself."""
    widths = [(0, 0), *map(tuple, node.constant(1).reshape(-1, 2).tolist())]
    mode = "symmetric" if symmetric else "reflect"
    return (np.pad(node.value(0), widths, mode=mode),)  # type: ignore[call-overload]


def transpose(node: Node) -> tuple[Array, ...]:
    """TRANSPOSE."""
    order = [0, *(int(axis) + 1 for axis in node.constant(1).reshape(-1).tolist())]
    return (node.value(0).transpose(order),)


def slice_out(node: Node) -> tuple[Array, ...]:
    """SLICE: from ``begin`` on as much as the output holds."""
    begin = node.constant(1).reshape(-1).tolist()
    extents = node.outputs[0].shape
    places = [slice(None)]
    places += [slice(b, b + extent) for b, extent in zip(begin, extents, strict=True)]
    return (node.value(0)[tuple(places)],)


def strided_slice(
    node: Node, begin_mask: int, end_mask: int, shrink_mask: int, others: int = 0
) -> tuple[Array, ...]:
    """STRIDED_SLICE; ``others``: ellipsis and new-axis masks, ends that count
    from the begins; none of which is done here."""
    if others:
        raise Unsupported("STRIDED_SLICE with an ellipsis, new axes or offsets")
    begin, end, step = (node.constant(place).reshape(-1).tolist() for place in (1, 2, 3))
    places = [slice(None)]
    for axis, extent in enumerate(node.tensor(0).shape[: len(begin)]):
        places.append(
            _span(
                extent,
                None if begin_mask >> axis & 1 else int(begin[axis]),
                None if end_mask >> axis & 1 else int(end[axis]),
                int(step[axis]),
                bool(shrink_mask >> axis & 1),
            )
        )
    value = node.value(0)
    return (value[tuple(places)].reshape(len(value), *node.outputs[0].shape),)


def _span(extent: int, begin: int | None, end: int | None, step: int, one: bool) -> slice:
    """The elements of one axis; ``one``: just the first of them."""
    if step == 0:
        raise Unsupported("a slice with step 0")
    if one:
        first = 0 if begin is None else begin % max(extent, 1)
        return slice(first, first + 1)
    return slice(begin, end, step)


def split(node: Node, axis: int, place: int) -> tuple[Array, ...]:
    """SPLIT and SPLIT_V of the input at ``place``: as the outputs' shapes say."""
    value = node.value(place)
    at = axis % (value.ndim - 1)
    sizes = [tensor.shape[at] for tensor in node.outputs]
    cuts = np.cumsum(sizes)[:-1].tolist()
    return tuple(np.split(value, cuts, axis=at + 1))


def pack(node: Node, axis: int) -> tuple[Array, ...]:
    """PACK."""
    values = _all_samples([value for _, value in _present(node)], node.samples)
    return (np.stack(values, axis=axis % len(node.outputs[0].shape) + 1),)


def unpack(node: Node, axis: int) -> tuple[Array, ...]:
    """UNPACK."""
    value = node.value(0)
    at = axis % (value.ndim - 1) + 1
    return tuple(np.take(value, i, axis=at) for i in range(len(node.outputs)))


def gather(node: Node, axis: int) -> tuple[Array, ...]:
    """GATHER by constant indices."""
    rank = len(node.tensor(0).shape)
    indices = node.constant(1)
    return (np.take(node.value(0), indices, axis=axis % rank + 1),)


def gather_nd(node: Node) -> tuple[Array, ...]:
    """GATHER_ND: for each sample its own indices, or the same for all."""
    values = _all_samples([node.value(0), node.value(1)], node.samples)
    found = []
    for value, indices in zip(*values, strict=True):
        places = tuple(np.moveaxis(indices, -1, 0))
        for axis, place in enumerate(places):
            if place.size and (place.min() < 0 or place.max() >= value.shape[axis]):
                raise Unsupported("GATHER_ND beyond the tensor")
        found.append(value[places])
    return (np.stack(found).reshape(node.samples, *node.outputs[0].shape),)


def tile(node: Node) -> tuple[Array, ...]:
    """TILE."""
    return (np.tile(node.value(0), (1, *node.constant(1).reshape(-1).tolist())),)


def broadcast_to(node: Node) -> tuple[Array, ...]:
    """BROADCAST_TO."""
    value, shape = node.value(0), node.outputs[0].shape
    missing = len(shape) + 1 - value.ndim
    value = value.reshape(len(value), *([1] * missing), *value.shape[1:])
    return (np.broadcast_to(value, (len(value), *shape)),)


def shape_of(node: Node) -> tuple[Array, ...]:
    """SHAPE: of the tensor, not of the samples."""
    shape = np.array([node.tensor(0).shape], node.outputs[0].dtype)
    return (shape,)


def depth_to_space(node: Node, block: int) -> tuple[Array, ...]:
    """DEPTH_TO_SPACE."""
    value = node.value(0)
    samples, batch, rows, columns, channels = value.shape
    parts = value.reshape(samples, batch, rows, columns, block, block, channels // block**2)
    moved = parts.transpose(0, 1, 2, 4, 3, 5, 6)
    return (moved.reshape(samples, batch, rows * block, columns * block, -1),)


def space_to_depth(node: Node, block: int) -> tuple[Array, ...]:
    """SPACE_TO_DEPTH."""
    value = node.value(0)
    samples, batch, rows, columns, channels = value.shape
    parts = value.reshape(samples, batch, rows // block, block, columns // block, block, channels)
    moved = parts.transpose(0, 1, 2, 4, 3, 5, 6)
    return (moved.reshape(samples, batch, rows // block, columns // block, -1),)


def space_to_batch(node: Node) -> tuple[Array, ...]:
    """SPACE_TO_BATCH_ND of images, padded with the zero point."""
    (block_rows, block_columns), pads = node.constant(1).tolist(), node.constant(2).tolist()
    filling = 0
    if node.tensor(0).dtype in ("uint8", "int8"):
        filling = quantization_of(node.outputs[0]).zero_point
    padded = np.pad(
        node.value(0), [(0, 0), (0, 0), *map(tuple, pads), (0, 0)], constant_values=filling
    )
    samples, batch, rows, columns, channels = padded.shape
    parts = padded.reshape(
        samples, batch, rows // block_rows, block_rows, columns // block_columns, block_columns,
        channels,
    )  # fmt: skip
    moved = parts.transpose(0, 3, 5, 1, 2, 4, 6)
    return (moved.reshape(samples, *node.outputs[0].shape),)


def batch_to_space(node: Node) -> tuple[Array, ...]:
    """BATCH_TO_SPACE_ND of images, cut."""
    (block_rows, block_columns), crops = node.constant(1).tolist(), node.constant(2).tolist()
    value = node.value(0)
    samples, batch, rows, columns, channels = value.shape
    count = batch // (block_rows * block_columns)
    parts = value.reshape(samples, block_rows, block_columns, count, rows, columns, channels)
    moved = parts.transpose(0, 3, 4, 1, 5, 2, 6)
    whole = moved.reshape(samples, count, rows * block_rows, columns * block_columns, channels)
    (top, bottom), (left, right) = crops
    return (whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right],)


def saturate(values: Array, dtype: str) -> Array:
    """Clamped to an integer type's range."""
    return np.clip(values, *type_range(dtype)).astype(dtype)
