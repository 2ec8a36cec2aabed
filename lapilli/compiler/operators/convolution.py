"""CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels
from lapilli.compiler.operators.endings import activation_exact, ending_of
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    image_size,
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
from lapilli.model.geometry import padding_before
from lapilli.model.graph import Convolution, Graph, Operator, Padding

DEPTHWISE = "DEPTHWISE_CONV_2D"


def _options(operator: Operator) -> Convolution:
    assert isinstance(operator.options, Convolution)
    return operator.options


# ------------------------------------------------------------------------------------------- rules


@relies_on(operands_present)
def constant_weights(case: Case) -> str | None:
    """Weights are constant bytes (uint8 or int8), the bias constant int32 (or int16) or absent."""
    return odd_weights(case, 4)


@relies_on(image_of_four_dimensions, batch_of_one, constant_weights)
def shapes_agree(case: Case) -> str | None:
    """The shapes of image, weights, bias and output belong together."""
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
    for axis, stride in ((1, options.stride_rows), (2, options.stride_columns)):
        extent = source[axis] - (weights[axis] - 1 if options.padding is Padding.VALID else 0)
        if -(-extent // stride) < target[axis] or target[axis] < 1:
            return f"{list(source)} -> {list(target)} with kernel {list(weights[1:3])}"
    return None


@relies_on(operands_present)
def no_dilation(case: Case) -> str | None:
    """Dilation is 1.

    Remedy: Use a larger kernel or a stride instead.
    """
    options = _options(case.operator)
    found = (options.dilation_rows, options.dilation_columns)
    return None if found == (1, 1) else f"dilation {found[0]}x{found[1]}"


@relies_on(operands_present)
def stride_one_or_two(case: Case) -> str | None:
    """Strides are 1 or 2, the same for rows and columns.

    Remedy: Use stride 2, twice if need be.
    """
    options = _options(case.operator)
    found = (options.stride_rows, options.stride_columns)
    return None if found in ((1, 1), (2, 2)) else f"stride {found[0]}x{found[1]}"


@relies_on(constant_weights)
def kernel_size(case: Case) -> str | None:
    """Kernels are no larger than the chip takes (A311D: 11x11).

    Remedy: Use several smaller kernels one after another.
    """
    rows, columns = case.input(WEIGHTS).shape[1:3]
    if rows > case.chip.maximum_kernel_rows or columns > case.chip.maximum_kernel_columns:
        return f"{rows}x{columns}"
    return None


@relies_on(image_of_four_dimensions, batch_of_one, constant_weights)
def padding_reaches(case: Case) -> str | None:
    """Padding before the image fits the chip's offset field (A311D: up to 8)."""
    before = padding_before(case.graph, case.operator)
    if max(before) > -case.chip.smallest_image_offset:
        return f"{before[0]} rows and {before[1]} columns"
    return None


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution from planar image to planar image."""
    options = _options(operator)
    source, result = builder.place(operator.inputs[IMAGE]), builder.place(operator.outputs[0])
    kernels = _kernels(builder.graph, operator)
    image, weights, output = (
        builder.quantization(i) for i in (*operator.inputs[:2], operator.outputs[0])
    )
    view = builder.planar(operator.inputs[IMAGE], operator.index)
    ending = ending_of(output, options.activation)
    target = builder.store_planes(result.size)
    stride = options.stride_rows, options.stride_columns
    before = padding_before(builder.graph, operator)
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=operator.kind == DEPTHWISE,
            source=view,
            target=target,
            input_size=source.size,
            output_size=result.size,
            kernels=kernels,
            stride=stride,
            padding_before=before,
            padding_after=_padding_after(source.size, result.size, kernels, stride, before),
            padding_same=options.padding is Padding.SAME,
            scale=requantise.convolution_scale(image.scale, weights.scale, output.scale),
            input_zero_point=source.zero_point,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
        )
    )
    result.planar = ending.applied(builder, operator.index, target)


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


def _padding_after(
    size: ImageSize,
    output: ImageSize,
    kernels: Kernels,
    stride: tuple[int, int],
    before: tuple[int, int],
) -> tuple[int, int]:
    """Rows and columns behind the image that the last pixels' kernels reach."""
    rows = (output.rows - 1) * stride[0] + kernels.rows - size.rows - before[0]
    columns = (output.columns - 1) * stride[1] + kernels.columns - size.columns - before[1]
    return max(rows, 0), max(columns, 0)


RECORD = OperatorRecord(
    kinds=("CONV_2D", DEPTHWISE),
    words=(
        "A convolution on the NN cores; with stride 2 it stores every second pixel, or the TP "
        "cores turn rows and columns into channels first."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        constant_weights,
        quantised_per_tensor,
        weights_centred,
        no_dilation,
        stride_one_or_two,
        shapes_agree,
        kernel_size,
        padding_reaches,
        image_size,
        activation_exact,
        scale_fits,
    ),
    lower=lower,
    quantised=(IMAGE, WEIGHTS),
    needed=2,
)
