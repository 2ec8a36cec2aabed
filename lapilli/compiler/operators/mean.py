"""MEAN and SUM over rows, columns, channels, or all of a tensor's elements."""

from __future__ import annotations

import math

import numpy as np

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels
from lapilli.compiler.operators import flat
from lapilli.compiler.operators.average_pooling import (
    alike,
    in_two_steps,
    mean_of_columns,
    sum_too_large,
)
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.reshaping import reshape
from lapilli.compiler.operators.rules import (
    CHANNELS_MAXIMUM,
    batch_of_one,
    eight_bit,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.hw.chips import Chip
from lapilli.model.geometry import addition_image, image_extents
from lapilli.model.graph import Graph, Operator

SUM = "SUM"
AXES = 1
"""Position of the axes among the inputs."""
ROWS, COLUMNS, CHANNELS = 1, 2, 3
TAKEN = ({ROWS}, {COLUMNS}, {ROWS, COLUMNS}, {CHANNELS}, {ROWS, COLUMNS, CHANNELS}, set[int]())


def axes_of(graph: Graph, operator: Operator) -> set[int] | None:
    """The axes of an image that are summed up and have more than one element; None if they are not
    known, or no axes of the tensor."""
    shape = graph.tensors[operator.inputs[0]].shape
    data = graph.tensors[operator.inputs[AXES]].data
    if data is None or data.dtype != np.int32:
        return None
    found = set()
    for axis in data.reshape(-1).tolist():
        if not -len(shape) <= axis < len(shape):
            return None
        found.add(axis % len(shape))
    return {4 - len(shape) + axis for axis in found if shape[axis] > 1}


def mean_axes(case: Case) -> str | None:
    """The axes must be constant: rows, columns, both, channels or all of them.

    Remedy: Take the mean over rows and columns first.
    """
    axes = axes_of(case.graph, case.operator)
    if axes is None:
        return "axes that are not constant numbers of the tensor's dimensions"
    return None if axes in TAKEN else f"axes {sorted(axes)} of rows 1, columns 2, channels 3"


def mean_shapes_agree(case: Case) -> str | None:
    """The output must have the shape that the axes leave over."""
    source, target = image_extents(case.input(0).shape), case.output()
    axes = axes_of(case.graph, case.operator)
    assert axes is not None
    kept = [1 if axis in axes else extent for axis, extent in enumerate(source, start=1)]
    whole = [extent for extent in kept if extent > 1]
    if [extent for extent in target.shape if extent > 1] == whole:
        return None
    return f"{list(case.input(0).shape)} -> {list(target.shape)} over {sorted(axes)}"


def mean_size(case: Case) -> str | None:
    """At most 16383 elements may be summed up, or the mean taken of all of a channel's; the sums,
    and those of columns if there are more elements, must fit into an image of at most 8191 x 8191.

    Remedy: Take the mean in two steps.
    """
    rows, columns, channels = image_extents(case.input(0).shape)
    axes = axes_of(case.graph, case.operator)
    assert axes is not None
    if not axes & {CHANNELS}:
        kernel = rows if ROWS in axes else 1, columns if COLUMNS in axes else 1
        size = ImageSize(columns, rows, channels)
        if case.operator.kind == SUM and in_two_steps(kernel, size):
            return f"{rows * columns} elements of {rows}x{columns}x{channels}"
        return sum_too_large(kernel, size, case.chip)
    summed = channels if axes == {CHANNELS} else rows * columns * channels
    kept = rows * columns * channels // summed
    if summed <= CHANNELS_MAXIMUM and addition_image(1, kept, 1) is not None:
        return None
    return f"{summed} elements of {rows}x{columns}x{channels}"


def _factor(graph: Graph, operator: Operator, chip: Chip) -> tuple[int, np.float32] | None:
    """Weight and scale that lead from the elements to the result in output steps; None if the chip
    has no fields for such a scale."""
    source, target = (graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
    assert source.quantization is not None and target.quantization is not None
    axes = axes_of(graph, operator)
    assert axes is not None
    extents = image_extents(source.shape)
    size = ImageSize(extents[1], extents[0], extents[2])
    if axes == {ROWS, COLUMNS} and in_two_steps(extents[:2], size):
        axes = {COLUMNS}
    count = 1 if operator.kind == SUM else math.prod(extents[axis - 1] for axis in axes)
    return flat.split_factor(source.quantization.scale / target.quantization.scale / count, chip)


def mean_scale_fits(case: Case) -> str | None:
    """The factor from sum to output, over a power of two up to 128, must have a multiplier and
    shift (A311D: 2^-112 to 2^23, i.MX 8M Plus: below 256)."""
    if _factor(case.graph, case.operator, case.chip) is not None:
        return None
    source, target = case.input(0).quantization, case.output().quantization
    assert source is not None and target is not None
    return f"scale {source.scale:.4g} -> {target.scale:.4g}"


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution whose weights are all the same: depthwise where channels stay, else with one
    kernel over all of them."""
    tensor = operator.inputs[0]
    place, result = builder.place(tensor), builder.place(operator.outputs[0])
    axes, size = axes_of(builder.graph, operator), place.size
    factor = _factor(builder.graph, operator, builder.chip)
    assert axes is not None and factor is not None
    weight, scale = factor
    if CHANNELS not in axes:
        source = builder.planar(tensor, operator.index)
        kernel = size.rows if ROWS in axes else 1, size.columns if COLUMNS in axes else 1
        if in_two_steps(kernel, size):
            source = mean_of_columns(builder, operator, source, size, place.zero_point)
            size, kernel = ImageSize(size.columns, 1, size.channels), (1, size.columns)
        kernels = alike(size.channels, *kernel, weight)
        made = ImageSize(size.columns - kernel[1] + 1, size.rows - kernel[0] + 1, size.channels)
        target = builder.store_planes(made)
        reshape(builder, Place(made, result.zero_point, planar=target), result)
    else:
        if axes == {CHANNELS}:
            source = builder.planar(tensor, operator.index)
        else:
            # All elements, in whatever order.
            at_hand = place.planar or place.nhwc or (place.reshaped or (None,))[0]
            assert at_hand is not None
            source, size = at_hand, ImageSize(1, 1, size.plane * size.channels)
        pixels = addition_image(1, size.plane, 1)
        assert pixels is not None
        size = ImageSize(*pixels, size.channels)
        made = ImageSize(*pixels, 1)
        one = np.full((1, size.channels, 1, 1), weight, np.uint8)
        bias = np.zeros(1, np.int64)
        kernels = Kernels(one, np.zeros(1, np.int64), size.channels, 0, bias)
        target = builder.store_planes(made)
        result.nhwc = target
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=CHANNELS not in axes,
            source=source,
            target=target,
            input_size=size,
            output_size=made,
            kernels=kernels,
            stride=(1, 1),
            padding_before=(0, 0),
            padding_after=(0, 0),
            padding_same=False,
            scale=scale,
            input_zero_point=place.zero_point,
            output_zero_point=result.zero_point,
            relu=False,
        )
    )


RECORD = OperatorRecord(
    kinds=("MEAN", SUM),
    words=(
        "A convolution on the NN cores whose weights are all the same and whose kernel spans what "
        "is summed up."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        mean_axes,
        quantised_per_tensor,
        mean_shapes_agree,
        image_size,
        mean_size,
        mean_scale_fits,
    ),
    lower=lower,
    needed=2,
)
