"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED on bytes, with one scale or one a channel.

Sums of products of bytes are whole numbers. BLAS adds them in any order, and exactly, as long as
none can exceed 2**24 in single or 2**53 in double precision; the weights tell which it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.geometry import same_padding
from lapilli.model.graph import Activation, Convolution, Padding, Tensor
from lapilli.reference.arithmetic import (
    CHUNK,
    Array,
    Floats,
    Integers,
    quantization_of,
    scale_of,
    zero_point_of,
)
from lapilli.reference.node import Node
from lapilli.reference.rescale import Rescale

BYTE_SPAN: Final = 255
"""The largest distance of a byte from its zero point."""


def exact_type(weights: Array, axis: int | tuple[int, ...]) -> type[np.floating]:
    """The floating-point type in which sums of bytes times ``weights`` over ``axis`` are exact."""
    largest = float(np.abs(weights.astype(np.float64)).sum(axis=axis).max(initial=0.0)) * BYTE_SPAN
    if largest < 1 << 24:
        return np.float32
    if largest < 1 << 53:
        return np.float64
    raise Unsupported(f"sums of up to {largest:.3g}; allowed: up to 2**53")


def centred_weights(tensor: Tensor, data: Array) -> Integers:
    """Weights less their zero points, which lie along the quantisation's axis."""
    quantization = quantization_of(tensor)
    zero_points = np.array(quantization.zero_points, np.int64)
    if len(zero_points) > 1:
        shape = [1] * data.ndim
        shape[quantization.axis] = -1
        zero_points = zero_points.reshape(shape)
    centred: Integers = data.astype(np.int64) - zero_points
    return centred


def output_factors(node: Node, channels: int) -> Floats:
    """Output steps that one unit of the sums is, for each channel."""
    source, weights, target = node.tensor(0), node.tensor(1), node.outputs[0]
    scales = quantization_of(weights).scales
    if len(scales) not in (1, channels):
        raise Unsupported(f"{len(scales)} weight scales for {channels} output channels")
    if source.dtype == "uint8" and node.operator.kind != "FULLY_CONNECTED":
        # One product in single precision, as the oldest of TFLite's kernels have it.
        product = float(np.float32(scale_of(source)) * np.float32(scales[0]))
        return np.full(channels, product / scale_of(target))
    single = np.array(scales, np.float64)
    factors: Floats = np.broadcast_to(scale_of(source) * single / scale_of(target), channels)
    return factors


def bias_of(node: Node, channels: int) -> Integers:
    """The bias in units of the sums; zeros if the operator has none."""
    if not node.has(2):
        return np.zeros(channels, np.int64)
    if node.tensor(2).dtype not in ("int32", "int64"):
        raise Unsupported(f"a bias of {node.tensor(2).dtype}")
    return node.constant(2).reshape(-1).astype(np.int64)


def convolution_rescale(node: Node, channels: int, activation: Activation) -> Rescale:
    """From a convolution's sums to its output."""
    return Rescale.to(
        node.outputs[0],
        activation,
        output_factors(node, channels),
        bias_of(node, channels),
        node.rounding,
        once=node.operator.kind == "FULLY_CONNECTED",
    )


def require_bytes(node: Node, places: tuple[int, ...]) -> None:
    """Unsupported unless the inputs at ``places`` and the output are bytes."""
    for tensor in (*(node.tensor(place) for place in places), node.outputs[0]):
        if tensor.dtype not in ("uint8", "int8"):
            raise Unsupported(
                f"{node.operator.kind}: tensor {tensor.name!r} is {tensor.dtype}; "
                "allowed: uint8 and int8"
            )


@dataclass(frozen=True)
class Window:
    """How a kernel of rows x columns moves over an image: (rows, columns) each."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    output: tuple[int, int]

    @staticmethod
    def of(
        image: tuple[int, ...],
        kernel: tuple[int, int],
        strides: tuple[int, int],
        padding: Padding,
        dilations: tuple[int, int] = (1, 1),
    ) -> Window:
        """By TFLite's rules; ``image`` is NHWC."""
        spans = [
            (size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)
        ]
        same = padding is Padding.SAME
        output = [
            max(0, -(-(extent - (0 if same else span - 1)) // stride))
            for extent, span, stride in zip(image[1:3], spans, strides, strict=True)
        ]
        before = [
            same_padding(extent, span, stride) if same else 0
            for extent, span, stride in zip(image[1:3], spans, strides, strict=True)
        ]
        return Window(kernel, strides, dilations, (before[0], before[1]), (output[0], output[1]))

    @property
    def trivial(self) -> bool:
        """Whether each output pixel sees the input pixel at its own place and nothing else."""
        return self.kernel == (1, 1) and self.strides == (1, 1)

    def needed(self) -> tuple[int, int]:
        """Rows and columns of the padded image that are read."""
        rows, columns = (
            (output - 1) * stride + (size - 1) * dilation + 1
            for output, stride, size, dilation in zip(
                self.output, self.strides, self.kernel, self.dilations, strict=True
            )
        )
        return rows, columns

    def pad(self, images: Array, value: float) -> Array:
        """[images, rows, columns, channels] with what lies around them, cut to what is read."""
        rows, columns = self.needed()
        top, left = self.before
        count, image_rows, image_columns, channels = images.shape
        if (top, left) == (0, 0) and rows <= image_rows and columns <= image_columns:
            return images[:, :rows, :columns]
        padded = np.full((count, rows, columns, channels), value, images.dtype)
        inside = images[:, : max(0, rows - top), : max(0, columns - left)]
        padded[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
        return padded

    def patches(self, padded: Array) -> Array:
        """A view [images, rows, columns, kernel rows, kernel columns, channels]."""
        images, rows, columns, channels = padded.strides
        shape = (len(padded), *self.output, *self.kernel, padded.shape[3])
        strides = (
            images,
            rows * self.strides[0],
            columns * self.strides[1],
            rows * self.dilations[0],
            columns * self.dilations[1],
            channels,
        )
        return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def window_of(node: Node) -> Window:
    """The window of a convolution."""
    options = node.operator.options
    assert isinstance(options, Convolution)
    kernel = node.tensor(1).shape
    return Window.of(
        node.tensor(0).shape,
        (kernel[1], kernel[2]),
        (options.stride_rows, options.stride_columns),
        options.padding,
        (options.dilation_rows, options.dilation_columns),
    )


def images_of(values: Array) -> Array:
    """[samples, batch, rows, columns, channels] -> [images, rows, columns, channels]."""
    return values.reshape(-1, *values.shape[2:])


def convolution_sums(node: Node) -> Iterator[tuple[slice, Array]]:
    """(rows, sums of those rows) of a CONV_2D, without its bias; rows are output pixels."""
    weights = centred_weights(node.tensor(1), node.constant(1))
    outputs = len(weights)
    images = images_of(node.value(0))
    groups = images.shape[3] // weights.shape[3] if weights.shape[3] else 0
    if groups * weights.shape[3] != images.shape[3] or groups != 1:
        raise Unsupported(f"a convolution in {groups} groups")
    kind = exact_type(weights, (1, 2, 3))
    matrix = np.ascontiguousarray(weights.reshape(outputs, -1).T, kind)
    window = window_of(node)
    zero_point = zero_point_of(node.tensor(0))
    # The zero point is taken away behind the product: fewer passes over the image.
    offset = matrix.astype(np.float64).sum(axis=0) * -zero_point
    padded = window.pad(images, zero_point)
    depth = matrix.shape[0]
    if window.trivial:
        yield from _products(padded.reshape(-1, depth), matrix, offset, 0)
        return
    patches = window.patches(padded)
    pixels = math.prod(window.output)
    step = max(1, CHUNK // max(1, depth * pixels))
    for first in range(0, len(images), step):
        some = patches[first : first + step].reshape(-1, depth)
        yield from _products(some, matrix, offset, first * pixels)


def _products(
    rows: Array, matrix: Array, offset: Floats, start: int
) -> Iterator[tuple[slice, Array]]:
    """(rows, sums) of a matrix product, some rows at a time."""
    step = max(1, 4 * CHUNK // max(1, max(matrix.shape)))
    for first in range(0, len(rows), step):
        product = rows[first : first + step].astype(matrix.dtype) @ matrix
        sums = product + offset
        yield slice(start + first, start + first + len(sums)), sums


def convolution(node: Node) -> tuple[Array, ...]:
    """CONV_2D."""
    require_bytes(node, (0, 1))
    options = node.operator.options
    assert isinstance(options, Convolution)
    target = node.outputs[0]
    rescale = convolution_rescale(node, target.shape[3], options.activation)
    result = np.empty((node.samples, *target.shape), target.dtype)
    out = result.reshape(-1, target.shape[3])
    for rows, sums in convolution_sums(node):
        rescale.rows(sums, out[rows])
    return (result,)


def depthwise_sums(node: Node) -> Iterator[tuple[int, slice, Array]]:
    """(image, output rows, sums [rows, columns, channels]) of a DEPTHWISE_CONV_2D, no bias."""
    weights = centred_weights(node.tensor(1), node.constant(1))
    images = images_of(node.value(0))
    channels = weights.shape[3]
    if images.shape[3] == 0 or channels % images.shape[3]:
        raise Unsupported(f"{images.shape[3]} channels become {channels}")
    multiplier = channels // images.shape[3]
    kind = exact_type(weights, (0, 1, 2))
    taps = weights[0].astype(kind)
    window = window_of(node)
    zero_point = zero_point_of(node.tensor(0))
    rows, columns = window.output
    band = max(1, CHUNK // max(1, columns * channels))
    for number in range(len(images)):
        padded = window.pad(images[number : number + 1], zero_point)[0]
        for first in range(0, rows, band):
            last = min(rows, first + band)
            yield (
                number,
                slice(first, last),
                _band(padded, taps, window, (first, last), zero_point, multiplier),
            )


def _band(
    padded: Array,
    taps: Array,
    window: Window,
    rows: tuple[int, int],
    zero_point: int,
    multiplier: int,
) -> Array:
    """Depthwise sums of the output rows ``rows``: tap after tap."""
    stride, column_stride = window.strides
    top = rows[0] * stride
    span = (window.kernel[0] - 1) * window.dilations[0]
    seen = padded[top : (rows[1] - 1) * stride + span + 1].astype(taps.dtype)
    seen -= zero_point
    if multiplier > 1:
        seen = np.repeat(seen, multiplier, axis=2)
    height = (rows[1] - rows[0] - 1) * stride + 1
    width = (window.output[1] - 1) * column_stride + 1
    sums: Array | None = None
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            y, x = row * window.dilations[0], column * window.dilations[1]
            part = seen[y : y + height : stride, x : x + width : column_stride]
            product = part * taps[row, column]
            sums = product if sums is None else np.add(sums, product, out=sums)
    assert sums is not None, "the reader refuses kernels without taps"
    return sums


def depthwise_convolution(node: Node) -> tuple[Array, ...]:
    """DEPTHWISE_CONV_2D."""
    require_bytes(node, (0, 1))
    options = node.operator.options
    assert isinstance(options, Convolution)
    target = node.outputs[0]
    channels = target.shape[3]
    rescale = convolution_rescale(node, channels, options.activation)
    result = np.empty((node.samples, *target.shape), target.dtype)
    out = result.reshape(-1, *target.shape[1:])
    for number, rows, sums in depthwise_sums(node):
        rescale.rows(sums.reshape(-1, channels), out[number, rows].reshape(-1, channels))
    return (result,)


def fully_connected_sums(node: Node) -> Iterator[tuple[slice, Array]]:
    """(rows, sums of those rows) of a FULLY_CONNECTED, without its bias."""
    weights = centred_weights(node.tensor(1), node.constant(1))
    kind = exact_type(weights, 1)
    matrix = np.ascontiguousarray(weights.T, kind)
    offset = matrix.astype(np.float64).sum(axis=0) * -zero_point_of(node.tensor(0))
    yield from _products(node.value(0).reshape(-1, len(matrix)), matrix, offset, 0)


def fully_connected(node: Node, activation: Activation) -> tuple[Array, ...]:
    """FULLY_CONNECTED; weights are [outputs, inputs]."""
    require_bytes(node, (0, 1))
    target = node.outputs[0]
    outputs = node.tensor(1).shape[0]
    rescale = convolution_rescale(node, outputs, activation)
    result = np.empty((node.samples, *target.shape), target.dtype)
    out = result.reshape(-1, outputs)
    for rows, sums in fully_connected_sums(node):
        rescale.rows(sums, out[rows])
    return (result,)
