"""Sizes that follow from an operator alone: padding, addition images."""

from __future__ import annotations

import math

from lapilli.model.graph import Convolution, Graph, Operator, Padding

SIDE_MAXIMUM = (1 << 13) - 1
"""Image sides have 13 bits."""


def image_extents(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows, columns and channels of an image with the elements of a tensor of ``shape`` in their
    order: missing dimensions are 1, those in front count as rows."""
    padded = (1,) * (3 - len(shape)) + shape
    return math.prod(padded[:-2]), padded[-2], padded[-1]


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Elements of padding before the image along one axis, as TFLite's SAME puts them."""
    output = -(-size // stride)
    return max((output - 1) * stride + kernel - size, 0) // 2


def kernel_reach(graph: Graph, operator: Operator) -> tuple[int, int]:
    """(rows, columns) from a convolution kernel's first tap to its last."""
    options = operator.options
    assert isinstance(options, Convolution)
    rows, columns = graph.tensors[operator.inputs[1]].shape[1:3]
    return (rows - 1) * options.dilation_rows + 1, (columns - 1) * options.dilation_columns + 1


def padding_before(graph: Graph, operator: Operator) -> tuple[int, int]:
    """Padding (rows, columns) before the image of a convolution."""
    options = operator.options
    assert isinstance(options, Convolution)
    if options.padding is Padding.VALID:
        return 0, 0
    source = graph.tensors[operator.inputs[0]].shape
    rows, columns = kernel_reach(graph, operator)
    return (
        same_padding(source[1], rows, options.stride_rows),
        same_padding(source[2], columns, options.stride_columns),
    )


def addition_image(rows: int, columns: int, channels: int) -> tuple[int, int] | None:
    """Width and height that an addition's flat operands are seen as, or None if none fits.

    Width: 128, 64 or 32 if the plane is a multiple of it, else the plane's largest divisor below
    64; wider only where the height would not fit its field.
    """
    plane = rows * columns
    total = plane * channels
    width = next((w for w in (128, 64, 32) if plane % w == 0), 0)
    width = width or next(w for w in range(63, 0, -1) if plane % w == 0)
    if total // width <= SIDE_MAXIMUM:
        return width, total // width
    smallest = -(-total // SIDE_MAXIMUM)
    for wider in range(smallest, min(SIDE_MAXIMUM, total) + 1):
        if total % wider == 0:
            return wider, total // wider
    return None
