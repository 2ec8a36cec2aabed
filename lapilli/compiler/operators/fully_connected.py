"""FULLY_CONNECTED: a 1x1 convolution over an image that has a pixel for each row of the input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.encode import requantise
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.endings import activation_exact, ending_of
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    CHANNELS_MAXIMUM,
    eight_bit,
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
from lapilli.model.geometry import SIDE_MAXIMUM, image_extents
from lapilli.model.graph import FullyConnected, Operator


def constant_matrix(case: Case) -> str | None:
    """Weights must be a constant matrix of bytes (uint8 or int8), stored by rows, the bias constant
    int32 (or int16) or absent."""
    options = case.operator.options
    if not isinstance(options, FullyConnected):
        return "no options"
    return "shuffled weights" if options.shuffled else odd_weights(case, 2)


def matrix_fits(case: Case) -> str | None:
    """Input, weights, bias and output must belong together; a row may have at most 16383 elements,
    and there may be at most 8191 rows.

    Remedy: Cut the layer into several whose results are added.
    """
    source, weights, target = case.input(IMAGE), case.input(WEIGHTS), case.output()
    outputs, inputs = weights.shape
    found = f"{list(source.shape)} by {list(weights.shape)} -> {list(target.shape)}"
    if 0 in weights.shape or source.size % inputs or target.size != source.size // inputs * outputs:
        return found
    if image_extents(target.shape)[2] != outputs:
        return found
    if inputs > CHANNELS_MAXIMUM or source.size // inputs > SIDE_MAXIMUM:
        return found
    if case.has_input(BIAS) and case.input(BIAS).size != outputs:
        return f"{case.input(BIAS).size} biases for {outputs} outputs"
    return None


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution."""
    tensor, weights, output = operator.inputs[IMAGE], operator.inputs[WEIGHTS], operator.outputs[0]
    values = builder.graph.tensors[weights].data
    assert values is not None
    view, size, order = _pixels(builder, operator, values.shape[1])
    result = builder.place(output)
    target = builder.store_planes(result.size)
    quantizations = [builder.quantization(i) for i in (tensor, weights, output)]
    scale = requantise.convolution_scale(*(q.scale for q in quantizations))
    assert isinstance(operator.options, FullyConnected)
    ending = ending_of(quantizations[2], operator.options.activation)
    count = values.shape[0]
    kernels = Kernels(
        values[:, order, None, None].astype(np.uint8, copy=False),
        np.zeros(count, np.int64),
        size.channels,
        quantizations[1].zero_point,
        bias_values(builder.graph, operator, count),
        builder.graph.tensors[weights].signed,
    )
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=False,
            source=view,
            target=target,
            input_size=size,
            output_size=ImageSize(size.columns, size.rows, count),
            kernels=kernels,
            stride=(1, 1),
            padding_before=(0, 0),
            padding_after=(0, 0),
            padding_same=False,
            scale=scale,
            input_zero_point=builder.place(tensor).zero_point,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
        )
    )
    result.planar = ending.applied(builder, operator.index, target)


def _pixels(
    builder: Builder, operator: Operator, inputs: int
) -> tuple[View, ImageSize, NDArray[np.int64]]:
    """The input as planes, one for each element of a row; which element each of them is."""
    tensor = operator.inputs[IMAGE]
    place = builder.place(tensor)
    plain = np.arange(inputs)
    if place.size.channels == inputs and place.reshaped is None:
        return builder.planar(tensor, operator.index), place.size, plain
    rows = place.size.plane * place.size.channels // inputs
    size = ImageSize(rows, 1, inputs)
    planes = (place.planar, place.size) if place.planar is not None else place.reshaped
    if rows == 1 and place.nhwc is None and planes is not None:
        # The planes of an image are one pixel of as many channels, only in another order.
        view, image = planes
        order = plain.reshape(image.plane, image.channels).T.reshape(-1)
        return view, size, order
    flat = builder.nhwc(tensor, operator.index)
    as_rows = Place(size, place.zero_point, nhwc=flat)
    return builder.to_planar(flat, as_rows, operator.index), size, plain


RECORD = OperatorRecord(
    kinds=("FULLY_CONNECTED",),
    words=(
        "A 1x1 convolution on the NN cores over an image with a channel for each element of a row "
        "and a pixel for each row."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        no_empty_dimension,
        constant_matrix,
        quantised_per_tensor,
        weights_centred,
        matrix_fits,
        image_size,
        activation_exact,
        scale_fits,
    ),
    lower=lower,
    quantised=(IMAGE, WEIGHTS),
    needed=2,
)
