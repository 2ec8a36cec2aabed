"""CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.encode import requantise
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.endings import Ending, activation_exact, ending_of
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    BYTES_BELOW,
    CHANNELS_MAXIMUM,
    eight_bit,
    image_of_four_dimensions,
    image_size,
    no_empty_dimension,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.weights import (
    BIAS,
    IMAGE,
    WEIGHTS,
    bias_values,
    odd_weights,
    scale_fits,
    weights_centred,
)
from lapilli.compiler.ways.stacked_phases import stackable
from lapilli.compiler.ways.taps_as_planes import Geometry, plan_of, without_field
from lapilli.model.geometry import SIDE_MAXIMUM, kernel_reach, padding_before
from lapilli.model.graph import Convolution, Graph, Operator, Padding

DEPTHWISE = "DEPTHWISE_CONV_2D"
MOST_IMAGES = 16
"""Of a batch: a job each."""


def _options(operator: Operator) -> Convolution:
    assert isinstance(operator.options, Convolution)
    return operator.options


# ------------------------------------------------------------------------------------------- rules


@relies_on(operands_present)
def constant_weights(case: Case) -> str | None:
    """Weights must be constant bytes (uint8 or int8), the bias constant int32 (or int16) or
    absent."""
    return odd_weights(case, 4)


@relies_on(image_of_four_dimensions, no_empty_dimension)
def few_images(case: Case) -> str | None:
    """There must be at most 16 images in a batch, as many behind the convolution as in front.

    Remedy: Feed fewer images at a time.
    """
    count, made = case.input(IMAGE).shape[0], case.output().shape[0]
    return None if count == made <= MOST_IMAGES else f"{count} -> {made}"


@relies_on(image_of_four_dimensions, few_images, constant_weights)
def shapes_agree(case: Case) -> str | None:
    """The shapes of image, weights, bias and output must belong together."""
    source, weights = case.input(IMAGE).shape, case.input(WEIGHTS).shape
    target = case.output().shape
    options = _options(case.operator)
    if case.operator.kind == DEPTHWISE:
        wanted = (1, target[3])
        if target[3] % source[3]:
            return f"{source[3]} input and {target[3]} output channels"
    else:
        wanted = (target[3], source[3])
    if (weights[0], weights[3]) != wanted:
        return f"weights of shape {list(weights)} for {list(source)} -> {list(target)}"
    if case.has_input(BIAS) and case.input(BIAS).size != target[3]:
        return f"{case.input(BIAS).size} biases for {target[3]} output channels"
    reach = kernel_reach(case.graph, case.operator)
    for axis, stride in ((1, options.stride_rows), (2, options.stride_columns)):
        extent = source[axis] - (reach[axis - 1] - 1 if options.padding is Padding.VALID else 0)
        if -(-extent // stride) < target[axis] or target[axis] < 1:
            return f"{list(source)} -> {list(target)} with kernel {list(weights[1:3])}"
    return None


@relies_on(shapes_agree)
def planes_fit(case: Case) -> str | None:
    """Where the chip has no field for a stride (only 1 and 2, the same for rows and columns), a
    kernel (A311D: 11x11, dilation included) or its padding, rows and columns become channels:
    then there may be at most 16383 of them, on images of at most 8191 x 8191 and fewer than
    2^28 bytes.

    Remedy: Use smaller kernels, or strides, one after another.
    """
    geometry = _geometry(case.graph, case.operator)
    if not without_field(geometry, case.chip):
        return None
    if case.operator.kind == DEPTHWISE and stackable(geometry, case.chip):
        return None
    size = plan_of(geometry, case.chip).size
    sides = max(size.rows * geometry.stride[0], size.columns * geometry.stride[1])
    fits = size.channels <= CHANNELS_MAXIMUM and sides <= SIDE_MAXIMUM
    if fits and size.plane * size.channels < BYTES_BELOW:
        return None
    return f"{size.rows}x{size.columns}x{size.channels}"


# ---------------------------------------------------------------------------------------- lowering


def _geometry(graph: Graph, operator: Operator) -> Geometry:
    """Sizes of rows and columns."""
    options = _options(operator)
    source, result = (
        ImageSize(shape[2], shape[1], shape[3])
        for shape in (graph.tensors[i].shape for i in (operator.inputs[IMAGE], operator.outputs[0]))
    )
    rows, columns = graph.tensors[operator.inputs[WEIGHTS]].shape[1:3]
    return Geometry(
        source,
        result,
        (rows, columns),
        (options.stride_rows, options.stride_columns),
        (options.dilation_rows, options.dilation_columns),
        padding_before(graph, operator),
    )


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution from planar image to planar image; of a batch one for each, but a 1x1 kernel
    sees all of them as rows of one image."""
    geometry, images = _geometry(builder.graph, operator), _images(builder.graph, operator)
    tensor, result = operator.inputs[IMAGE], builder.place(operator.outputs[0])
    place = builder.place(tensor)
    ending = ending_of(builder.quantization(operator.outputs[0]), _options(operator).activation)
    kernels = _kernels(builder.graph, operator)
    if images == 1 or _sees_pixels(geometry):
        whole = replace(geometry, source=place.size, result=result.size)
        view = builder.planar(tensor, operator.index)
        target = _append(builder, operator, view, whole, kernels, ending)
        result.planar = ending.applied(builder, operator.index, target)
        return
    batch, made = builder.nhwc(tensor, operator.index), []
    each = geometry.source.plane * geometry.source.channels
    for number in range(images):
        one = Place(
            geometry.source,
            place.zero_point,
            nhwc=View(batch.storage, batch.offset + number * each, each),
        )
        view = builder.planar_of(one, operator.index)
        target = _append(builder, operator, view, geometry, kernels, ending)
        point = ending.zero_point
        made.append(builder.from_planar(target, geometry.result, point, operator.index))
    result.nhwc = ending.applied(builder, operator.index, builder.lay(made, operator))


def _images(graph: Graph, operator: Operator) -> int:
    return graph.tensors[operator.inputs[IMAGE]].shape[0]


def _sees_pixels(geometry: Geometry) -> bool:
    """Nothing but the pixel itself."""
    return geometry.taps == geometry.stride == (1, 1)


def _append(
    builder: Builder,
    operator: Operator,
    source: View,
    geometry: Geometry,
    kernels: Kernels,
    ending: Ending,
) -> View:
    """The convolution of one image, and where its result lies."""
    image, weights, output = (
        builder.quantization(i) for i in (*operator.inputs[:2], operator.outputs[0])
    )
    target = builder.store_planes(geometry.result)
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=operator.kind == DEPTHWISE,
            source=source,
            target=target,
            input_size=geometry.source,
            output_size=geometry.result,
            kernels=kernels,
            stride=geometry.stride,
            padding_before=geometry.before,
            padding_after=_padding_after(geometry),
            padding_same=_options(operator).padding is Padding.SAME,
            scale=requantise.convolution_scale(image.scale, weights.scale, output.scale),
            input_zero_point=image.zero_point,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
            dilation=geometry.dilation,
        )
    )
    return target


def _kernels(graph: Graph, operator: Operator) -> Kernels:
    """The weights as they are, channels in front."""
    weights = graph.tensors[operator.inputs[WEIGHTS]].data
    assert weights is not None
    quantization = graph.tensors[operator.inputs[WEIGHTS]].quantization
    assert quantization is not None
    channels = graph.tensors[operator.inputs[IMAGE]].shape[3]
    if operator.kind == DEPTHWISE:
        values = weights.transpose(3, 0, 1, 2)
        first = np.arange(values.shape[0], dtype=np.int64) // (values.shape[0] // channels)
    else:
        values = weights.transpose(0, 3, 1, 2)
        first = np.zeros(values.shape[0], np.int64)
    return Kernels(
        values.astype(np.uint8, copy=False),
        first,
        channels,
        quantization.zero_point,
        bias_values(graph, operator, values.shape[0]),
        graph.tensors[operator.inputs[WEIGHTS]].signed,
    )


def _padding_after(geometry: Geometry) -> tuple[int, int]:
    """Rows and columns behind the image that the last pixels' kernels reach."""
    source, result, stride = geometry.source, geometry.result, geometry.stride
    rows = (result.rows - 1) * stride[0] + geometry.reach[0] - source.rows - geometry.before[0]
    columns = (
        (result.columns - 1) * stride[1] + geometry.reach[1] - source.columns - geometry.before[1]
    )
    return max(rows, 0), max(columns, 0)


RECORD = OperatorRecord(
    kinds=("CONV_2D", DEPTHWISE),
    words=(
        "A convolution on the NN cores; with stride 2 it stores every second pixel, or the TP "
        "cores turn rows and columns into channels first, as they do for other strides and for "
        "kernels that are too large. Dilation is zeros in the kernel, or more channels."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        no_empty_dimension,
        few_images,
        constant_weights,
        quantised_per_tensor,
        weights_centred,
        shapes_agree,
        image_size,
        planes_fit,
        activation_exact,
        scale_fits,
    ),
    lower=lower,
    quantised=(IMAGE, WEIGHTS),
    needed=2,
)
