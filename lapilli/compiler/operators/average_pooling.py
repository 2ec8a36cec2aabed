"""AVERAGE_POOL_2D: a depthwise convolution whose weights are all 1."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.endings import Ending, activation_exact, ending_of
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    CHANNELS_MAXIMUM,
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import (
    before_of,
    pooling_of,
    quantisation_stays,
    spans,
    strides_of,
    window_padding,
    window_strides,
    windows_fit,
)
from lapilli.compiler.ways.sum_of_planes import spanning
from lapilli.hw.chips import Chip
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Graph, Operator, Padding

MOST_COUNTS = 3
"""As many jobs are worth while for one pooling: inside, at the borders, in the corners."""


# ------------------------------------------------------------------------------------------- rules


def window_size(case: Case) -> str | None:
    """Windows must be no larger than the chip's kernels (A311D: 11x11), or cover all of an image;
    then its sums, and those of its columns if it has over 16383 pixels, must fit into an image of
    at most 8191 x 8191.

    Remedy: Pool in two steps.
    """
    shape = case.input(0).shape
    kernel = tuple(axis.kernel for axis in _axes(case.graph, case.operator))
    return sum_too_large(kernel, ImageSize(shape[2], shape[1], shape[3]), case.chip)


def sum_too_large(kernel: tuple[int, ...], size: ImageSize, chip: Chip) -> str | None:
    """What is found where no way leads to sums over ``kernel`` (rows, columns) of an image."""
    rows, columns = kernel
    found = f"a window of {rows}x{columns} in {size.rows}x{size.columns}x{size.channels}"
    kept = size.plane * size.channels // (rows * columns)
    if in_two_steps(kernel, size):
        by_column = addition_image(1, size.columns * size.channels, 1)
        return None if by_column and addition_image(1, kept, 1) else found
    if kernel in spanning(size):
        possible = rows * columns <= CHANNELS_MAXIMUM and addition_image(1, kept, 1) is not None
        return None if possible else found
    fits = rows <= chip.maximum_kernel_rows and columns <= chip.maximum_kernel_columns
    return None if fits else found


def in_two_steps(kernel: tuple[int, ...], size: ImageSize) -> bool:
    """All of an image is summed up and has more pixels than a job has channels: first its columns
    are, which rounds twice, so a result is one step off at most."""
    whole = kernel == (size.rows, size.columns) and min(kernel) > 1
    return whole and size.plane > CHANNELS_MAXIMUM


def few_counts(case: Case) -> str | None:
    """The windows may have at most 3 different numbers of pixels inside the image (SAME divides by
    what is inside, so border and corners are jobs of their own).

    Remedy: Use VALID padding, or a window of at most 3x3.
    """
    counts = {count for count, _ in _regions(case.graph, case.operator)}
    return f"{len(counts)} different numbers" if len(counts) > MOST_COUNTS else None


# ---------------------------------------------------------------------------------------- lowering


@dataclass(frozen=True)
class _Axis:
    """Rows or columns of a pooling: the kernel's extent and how much lies before the image."""

    kernel: int
    before: int


def _axes(graph: Graph, operator: Operator) -> tuple[_Axis, _Axis]:
    found = []
    options, source = pooling_of(operator), graph.tensors[operator.inputs[0]].shape
    windows, befores = (options.rows, options.columns), before_of(graph, operator)
    for axis, window, before in zip((1, 2), windows, befores, strict=True):
        if spans(graph, operator, axis) == [(0, source[axis])]:
            found.append(_Axis(source[axis], 0))  # whatever hangs over counts for nothing
        else:
            found.append(_Axis(window, before))
    return found[0], found[1]


def _regions(graph: Graph, operator: Operator) -> list[tuple[int, tuple[slice, slice]]]:
    """Rectangles of the output (rows, columns) whose windows have the same number of pixels, and
    that number."""
    runs = []
    for axis in (1, 2):
        counts = [behind - first for first, behind in spans(graph, operator, axis)]
        found, at = [], 0
        for count, members in groupby(counts):
            extent = len(list(members))
            found.append((count, slice(at, at + extent)))
            at += extent
        runs.append(found)
    return [(r * c, (rows, columns)) for r, rows in runs[0] for c, columns in runs[1]]


def lower(builder: Builder, operator: Operator) -> None:
    """One depthwise convolution; where windows hang over the border one for each number of pixels
    inside, of which TP jobs copy what is right over the first one's result."""
    graph, tensor = builder.graph, operator.inputs[0]
    result, source = builder.place(operator.outputs[0]), builder.planar(tensor, operator.index)
    size = builder.place(tensor).size
    kernel = tuple(axis.kernel for axis in _axes(graph, operator))
    if in_two_steps(kernel, size):
        _whole(builder, operator, source, size)
        return
    regions = _regions(graph, operator)
    pixels: dict[int, int] = {}
    for count, (rows, columns) in regions:
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        pixels[count] = pixels.get(count, 0) + area
    most = max(pixels, key=lambda count: (pixels[count], count))
    ending = ending_of(builder.quantization(operator.outputs[0]), pooling_of(operator).activation)
    target = builder.store_planes(result.size)
    _append(builder, operator, source, target, most, ending)
    for count in sorted(pixels.keys() - {most}):
        part = builder.store_planes(result.size)
        _append(builder, operator, source, part, count, ending)
        pieces = [_piece(result.size, *where) for number, where in regions if number == count]
        builder.copy_pieces(operator, part, target, pieces)
    result.planar = ending.applied(builder, operator.index, target)


def _whole(builder: Builder, operator: Operator, source: View, size: ImageSize) -> None:
    """The mean of a large image in two steps."""
    point = builder.place(operator.inputs[0]).zero_point
    source = mean_of_columns(builder, operator, source, size, point)
    ending = ending_of(builder.quantization(operator.outputs[0]), pooling_of(operator).activation)
    result = builder.place(operator.outputs[0])
    target = builder.store_planes(result.size)
    builder.steps.append(
        _depthwise(
            operator,
            source,
            target,
            ImageSize(size.columns, 1, size.channels),
            (1, size.columns),
            (point, ending.zero_point),
            ending.relu,
        )
    )
    result.planar = ending.applied(builder, operator.index, target)


def mean_of_columns(
    builder: Builder, operator: Operator, source: View, size: ImageSize, zero_point: int
) -> View:
    """The mean of each column, as bytes of the same quantisation."""
    target = builder.store_planes(ImageSize(size.columns, 1, size.channels))
    points = zero_point, zero_point
    step = _depthwise(operator, source, target, size, (size.rows, 1), points)
    builder.steps.append(step)
    return target


def _depthwise(
    operator: Operator,
    source: View,
    target: View,
    size: ImageSize,
    kernel: tuple[int, int],
    zero_points: tuple[int, int],
    relu: bool = False,
) -> ConvolutionIntent:
    """Means over windows of ``kernel`` without padding; ``zero_points`` of input and output."""
    made = ImageSize(size.columns - kernel[1] + 1, size.rows - kernel[0] + 1, size.channels)
    return ConvolutionIntent(
        operator=operator.index,
        depthwise=True,
        source=source,
        target=target,
        input_size=size,
        output_size=made,
        kernels=alike(size.channels, *kernel),
        stride=(1, 1),
        padding_before=(0, 0),
        padding_after=(0, 0),
        padding_same=False,
        scale=np.float32(1 / (kernel[0] * kernel[1])),
        input_zero_point=zero_points[0],
        output_zero_point=zero_points[1],
        relu=relu,
    )


def _piece(size: ImageSize, rows: slice, columns: slice) -> Piece:
    offset = rows.start * size.columns + columns.start
    return Piece(
        columns=columns.stop - columns.start,
        rows=rows.stop - rows.start,
        planes=size.channels,
        source_row=size.columns,
        source_plane=size.plane,
        target_column=1,
        target_row=size.columns,
        target_plane=size.plane,
        source_offset=offset,
        target_offset=offset,
    )


def _append(
    builder: Builder, operator: Operator, source: View, target: View, count: int, ending: Ending
) -> None:
    """The depthwise convolution that divides by ``count``."""
    place, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    options, size = pooling_of(operator), place.size
    rows, columns = _axes(builder.graph, operator)
    stride = strides_of(builder.graph, operator)
    input_scale, output_scale = (
        builder.quantization(i).scale for i in (operator.inputs[0], operator.outputs[0])
    )
    after = (
        (result.size.rows - 1) * stride[0] + rows.kernel - size.rows - rows.before,
        (result.size.columns - 1) * stride[1] + columns.kernel - size.columns - columns.before,
    )
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=True,
            source=source,
            target=target,
            input_size=size,
            output_size=result.size,
            kernels=alike(size.channels, rows.kernel, columns.kernel),
            stride=stride,
            padding_before=(rows.before, columns.before),
            padding_after=(max(after[0], 0), max(after[1], 0)),
            padding_same=options.padding is Padding.SAME,
            scale=requantise.convolution_scale(input_scale, 1 / count, output_scale),
            input_zero_point=place.zero_point,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
        )
    )


def alike(channels: int, rows: int, columns: int, weight: int = 1) -> Kernels:
    """Depthwise kernels that sum up their window."""
    return Kernels(
        np.full((channels, 1, rows, columns), weight, np.uint8),
        np.arange(channels, dtype=np.int64),
        channels,
        0,
        np.zeros(channels, np.int64),
    )


RECORD = OperatorRecord(
    kinds=("AVERAGE_POOL_2D",),
    words=(
        "A depthwise convolution on the NN cores whose weights are 1; with padding one for each "
        "number of pixels inside the image."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        windows_fit,
        quantised_per_tensor,
        quantisation_stays,
        window_strides,
        image_size,
        window_size,
        window_padding,
        few_counts,
        activation_exact,
    ),
    lower=lower,
)
