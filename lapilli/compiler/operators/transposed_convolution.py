"""TRANSPOSE_CONV, and MediaPipe's Convolution2DTransposeBias: a convolution for each kind of pixel.

With stride s, output row ``s * y + a`` sees every s-th row of the kernel from ``(a + padding) % s``
on, at the input rows above ``y + (a + padding) // s``. So each ``a`` (and b, of columns) has a
convolution with stride 1 and a small kernel; those that see the same pixels are one job.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.endings import Ending, activation_exact, ending_of
from lapilli.compiler.operators.interleaving import Pixels, interleaved
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
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
from lapilli.compiler.operators.weights import BIAS_TYPES, WEIGHTS, weights_centred
from lapilli.model.geometry import same_padding
from lapilli.model.graph import Graph, Operator, Padding, Tensor
from lapilli.model.options import TRANSPOSED_WITH_BIAS, TransposedConvolution

KIND = "TRANSPOSE_CONV"
IMAGE = {KIND: 2, TRANSPOSED_WITH_BIAS: 0}
BIAS = {KIND: 3, TRANSPOSED_WITH_BIAS: 2}
"""Positions among the inputs."""
MOST_STRIDE = 8


def _options(operator: Operator) -> TransposedConvolution:
    assert isinstance(operator.options, TransposedConvolution)
    return operator.options


def _bias(graph: Graph, operator: Operator) -> Tensor | None:
    position = BIAS[operator.kind]
    present = len(operator.inputs) > position and operator.inputs[position] >= 0
    return graph.tensors[operator.inputs[position]] if present else None


# ------------------------------------------------------------------------------------------- rules


@relies_on(operands_present)
def constant_kernel(case: Case) -> str | None:
    """Weights must be constant bytes (uint8 or int8) of four dimensions, the bias constant int32
    (or int16) or absent."""
    weights, bias = case.input(WEIGHTS), _bias(case.graph, case.operator)
    if weights.data is None or weights.dtype != "uint8" or len(weights.shape) != 4:
        state = "constant" if weights.data is not None else "computed"
        return f"{weights.name} is {state} {weights.dtype} of shape {list(weights.shape)}"
    if bias is not None and (bias.data is None or bias.dtype not in BIAS_TYPES):
        state = "constant" if bias.data is not None else "computed"
        return f"{bias.name} is {state} {bias.dtype}"
    return None


def kernel_agrees(case: Case) -> str | None:
    """The shapes of image, weights, bias and output must belong together, and strides must be 1 to
    8.

    Remedy: Use stride 2, several times if need be.
    """
    if not isinstance(case.operator.options, TransposedConvolution):
        return "no options"
    options, weights = _options(case.operator), case.input(WEIGHTS).shape
    source, target = case.images_in[0].shape, case.output().shape
    bias = _bias(case.graph, case.operator)
    found = f"{list(source)} -> {list(target)} with kernel {list(weights)}"
    if not 1 <= min(options.stride_rows, options.stride_columns) <= MOST_STRIDE:
        return found
    if max(options.stride_rows, options.stride_columns) > MOST_STRIDE or 0 in weights:
        return found
    if (weights[0], weights[3]) != (target[3], source[3]):
        return found
    if bias is not None and bias.size != target[3]:
        return f"{bias.size} biases for {target[3]} output channels"
    return None


def phases_fit(case: Case) -> str | None:
    """Over its stride a kernel must be no larger than the chip's (A311D: 11x11), as is the padding
    that it needs (8), and all kernels together are at most 16383.

    Remedy: Use a smaller kernel.
    """
    rows, columns = _sides(case.graph, case.operator)
    largest = max(phase.taps for phase in rows), max(phase.taps for phase in columns)
    padding = max(phase.before for side in (rows, columns) for phase in side)
    chip, outputs = case.chip, case.output().shape[3]
    if (
        largest[0] <= chip.maximum_kernel_rows
        and largest[1] <= chip.maximum_kernel_columns
        and padding <= -chip.smallest_image_offset
        and len(rows) * len(columns) * outputs <= CHANNELS_MAXIMUM
    ):
        return None
    return f"{largest[0]}x{largest[1]} taps, {len(rows) * len(columns)} kinds of pixels"


def product_scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to
    2^16)."""
    scale = _scale(case.graph, case.operator)
    return None if generation_of(case.chip).fits(scale) else f"{float(scale):.4g}"


def _scale(graph: Graph, operator: Operator) -> np.float32:
    positions = operator.inputs[IMAGE[operator.kind]], operator.inputs[WEIGHTS]
    found = [graph.tensors[i].quantization for i in (*positions, operator.outputs[0])]
    image, weights, output = found
    assert image is not None and weights is not None and output is not None
    return requantise.convolution_scale(image.scale, weights.scale, output.scale)


# ---------------------------------------------------------------------------------------- lowering


@dataclass(frozen=True)
class _Phase:
    """A kind of rows: the kernel's row ``first`` is the last that it sees, and each earlier one a
    stride further down there. ``taps``: how many it sees; ``before``: how many of them lie in front
    of the image at the first row. ``count``: of the output's rows."""

    first: int
    taps: int
    before: int
    count: int

    @property
    def geometry(self) -> tuple[int, int, int]:
        """What those have in common that can be one job."""
        return self.taps, self.before, self.count


def _phases(kernel: int, stride: int, padding: Padding, target: int) -> list[_Phase]:
    before = 0 if padding is Padding.VALID else same_padding(target, kernel, stride)
    found = []
    for number in range(min(stride, target)):
        ahead, first = divmod(number + before, stride)
        # At least as many as lie in front of the image: further ones have no weight.
        taps = max(-(-(kernel - first) // stride), ahead + 1)
        count = len(range(number, target, stride))
        found.append(_Phase(first, taps, taps - 1 - ahead, count))
    return found


def _sides(graph: Graph, operator: Operator) -> tuple[list[_Phase], list[_Phase]]:
    options = _options(operator)
    kernel = graph.tensors[operator.inputs[WEIGHTS]].shape
    target = graph.tensors[operator.outputs[0]].shape
    return (
        _phases(kernel[1], options.stride_rows, options.padding, target[1]),
        _phases(kernel[2], options.stride_columns, options.padding, target[2]),
    )


def lower(builder: Builder, operator: Operator) -> None:
    """A convolution for the kinds of pixels that see the same of the image, then copies that put
    pixels in place."""
    rows, columns = _sides(builder.graph, operator)
    result = builder.place(operator.outputs[0])
    options = _options(operator)
    ending = ending_of(builder.quantization(operator.outputs[0]), options.activation)
    groups: dict[tuple[tuple[int, int, int], ...], list[tuple[int, int]]] = {}
    for top, down in enumerate(rows):
        for left, across in enumerate(columns):
            groups.setdefault((down.geometry, across.geometry), []).append((top, left))
    views, parts, offset = [], [], 0
    for members in groups.values():
        view = _job(builder, operator, [(rows[i], columns[j]) for i, j in members], ending)
        for number, (top, left) in enumerate(members):
            down, across = rows[top], columns[left]
            each = down.count * across.count * result.size.channels
            parts.append(Pixels(offset + number * each, down.count, across.count, top, left))
        views.append(view)
        offset += view.size
    made = views[0]
    if len(parts) > 1:
        whole = builder.lay(views, operator)
        steps = options.stride_rows, options.stride_columns
        made = interleaved(builder, operator, whole, parts, steps, result.size)
    result.planar = ending.applied(builder, operator.index, made)


def _job(
    builder: Builder, operator: Operator, kinds: list[tuple[_Phase, _Phase]], ending: Ending
) -> View:
    """One convolution with the kernels of all ``kinds``, one kind behind the other."""
    tensor = operator.inputs[IMAGE[operator.kind]]
    place, (down, across) = builder.place(tensor), kinds[0]
    outputs = builder.place(operator.outputs[0]).size.channels
    made = ImageSize(across.count, down.count, len(kinds) * outputs)
    source = builder.planar(tensor, operator.index)
    target = builder.store_planes(made)
    after = (
        down.count + down.taps - 1 - place.size.rows - down.before,
        across.count + across.taps - 1 - place.size.columns - across.before,
    )
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=False,
            source=source,
            target=target,
            input_size=place.size,
            output_size=made,
            kernels=_kernels(builder.graph, operator, kinds),
            stride=(1, 1),
            padding_before=(down.before, across.before),
            padding_after=(max(after[0], 0), max(after[1], 0)),
            padding_same=max(down.before, across.before, *after) > 0,
            scale=_scale(builder.graph, operator),
            input_zero_point=place.zero_point,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
        )
    )
    return target


def _kernels(graph: Graph, operator: Operator, kinds: list[tuple[_Phase, _Phase]]) -> Kernels:
    """Every so-manieth row and column of the kernel, turned round."""
    options, weights = _options(operator), graph.tensors[operator.inputs[WEIGHTS]]
    assert weights.data is not None and weights.quantization is not None
    whole, point = weights.data.transpose(0, 3, 1, 2), weights.quantization.zero_point
    down, across = kinds[0]
    shape = (*whole.shape[:2], down.taps, across.taps)
    parts = []
    for rows, columns in kinds:
        seen = whole[
            :, :, rows.first :: options.stride_rows, columns.first :: options.stride_columns
        ]
        values = np.full(shape, point, np.uint8)
        values[:, :, : seen.shape[2], : seen.shape[3]] = seen
        parts.append(values[:, :, ::-1, ::-1])
    bias, count = _bias(graph, operator), len(kinds) * whole.shape[0]
    numbers = np.zeros(whole.shape[0], np.int64)
    if bias is not None and bias.data is not None:
        numbers = bias.data.reshape(-1).astype(np.int64)
    return Kernels(
        np.concatenate(parts),
        np.zeros(count, np.int64),
        whole.shape[1],
        point,
        np.tile(numbers, len(kinds)),
        weights.signed,
    )


def _record(kind: str, needed: int) -> OperatorRecord:
    return OperatorRecord(
        kinds=(kind,),
        words=(
            "Convolutions on the NN cores for the kinds of pixels that the stride makes, put in "
            "place by the TP cores."
        ),
        rules=(
            operands_present,
            operands_computed,
            eight_bit,
            image_of_four_dimensions,
            batch_of_one,
            constant_kernel,
            quantised_per_tensor,
            weights_centred,
            kernel_agrees,
            image_size,
            phases_fit,
            activation_exact,
            product_scale_fits,
        ),
        lower=lower,
        images=(IMAGE[kind],),
        quantised=(IMAGE[kind], WEIGHTS),
        needed=needed,
    )


RECORDS = (_record(KIND, 3), _record(TRANSPOSED_WITH_BIAS, 2))
