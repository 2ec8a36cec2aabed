"""What the NPU takes: one function a restriction, its docstring the sentence a user reads.

A rule gets the graph, the operator and the chip; it returns None if it holds, else what was found.
A docstring's second paragraph says what a user can do about it, where there is something.
``docs/operators.md`` is generated from the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lapilli.compiler.encode import requantise
from lapilli.compiler.generations import generation_of
from lapilli.compiler.jobs import ImageSize
from lapilli.hw.chips import Chip
from lapilli.model.geometry import SIDE_MAXIMUM, addition_image, padding_before
from lapilli.model.graph import Activation, Addition, Convolution, Graph, Operator, Tensor

Rule: TypeAlias = Callable[[Graph, Operator, Chip], "str | None"]

CHANNELS_MAXIMUM = (1 << 14) - 1
DIVISIBLE_BY = 8
"""Output channels that drivers before February 2024 could do."""


@dataclass(frozen=True)
class Verdict:
    """Whether the NPU takes an operator; if not, the first rule it breaks and what was found."""

    operator: int
    supported: bool
    rule: str = ""
    allowed: str = ""
    found: str = ""
    remedy: str = ""

    @property
    def reason(self) -> str:
        """One line for a reader; empty if supported."""
        return "" if self.supported else f"{self.allowed} Found: {self.found}."


def _tensor(graph: Graph, index: int) -> Tensor:
    return graph.tensors[index]


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows, columns, channels of a shape of up to four dimensions; missing ones are 1."""
    padded = (1,) * (4 - len(shape)) + shape
    return padded[1], padded[2], padded[3]


def _images_in(operator: Operator) -> tuple[int, ...]:
    """The inputs that are images: both operands of an addition, the first of all others."""
    return operator.inputs[: 2 if operator.kind == "ADD" else 1]


def _data_tensors(graph: Graph, operator: Operator) -> list[Tensor]:
    """Images that go in and come out; weights, biases and paddings have rules of their own."""
    return [graph.tensors[i] for i in (*_images_in(operator), *operator.outputs)]


def _convolution(operator: Operator) -> Convolution:
    assert isinstance(operator.options, Convolution)
    return operator.options


def operands_present(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """The operator has all its inputs, and one output."""
    needed = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "ADD": 2, "PAD": 2}[operator.kind]
    present = [i for i in operator.inputs[:needed] if i >= 0]
    if len(present) < needed or len(operator.outputs) != 1:
        return f"{len(present)} inputs, {len(operator.outputs)} outputs"
    return None


def bytes_unsigned(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Inputs and outputs are uint8.

    Remedy: Quantise the model to uint8 per tensor: quantisation-aware training with the
    TensorFlow 1 converter gives such models (inference_type uint8).
    """
    for tensor in _data_tensors(graph, operator):
        if tensor.dtype != "uint8":
            return f"{tensor.name} is {tensor.dtype}"
    return None


def quantised_per_tensor(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Every tensor has one scale above 0 and one zero point from 0 to 255.

    Remedy: Convert with one scale a tensor (converter option
    _experimental_disable_per_channel).
    """
    count = 2 if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD") else 1
    for index in (*operator.inputs[:count], *operator.outputs):
        tensor = graph.tensors[index]
        quantization = tensor.quantization
        if quantization is None or not quantization.scales:
            return f"{tensor.name} has no quantisation"
        if quantization.per_channel:
            return f"{tensor.name} has {len(quantization.scales)} scales"
        if not (np.isfinite(quantization.scale) and np.float32(quantization.scale) > 0):
            return f"{tensor.name} has scale {quantization.scale}"
        if not 0 <= quantization.zero_point <= 255:
            return f"{tensor.name} has zero point {quantization.zero_point}"
    return None


def batch_of_one(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Images have up to four dimensions, none of them 0, and a batch of 1.

    Remedy: Feed images one at a time.
    """
    for tensor in _data_tensors(graph, operator):
        shape = tensor.shape
        if len(shape) > 4 or 0 in shape or (len(shape) == 4 and shape[0] != 1):
            return f"{tensor.name} has shape {list(shape)}"
    return None


def image_of_four_dimensions(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Input and output of a convolution or padding have four dimensions."""
    for tensor in _data_tensors(graph, operator):
        if len(tensor.shape) != 4:
            return f"{tensor.name} has shape {list(tensor.shape)}"
    return None


def constant_weights(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Weights are constant uint8, the bias constant int32 or absent."""
    weights = _tensor(graph, operator.inputs[1])
    if weights.data is None or weights.dtype != "uint8" or len(weights.shape) != 4:
        state = "constant" if weights.data is not None else "computed"
        return f"{weights.name} is {state} {weights.dtype} of shape {list(weights.shape)}"
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = _tensor(graph, operator.inputs[2])
        if bias.data is None or bias.dtype != "int32":
            state = "constant" if bias.data is not None else "computed"
            return f"{bias.name} is {state} {bias.dtype}"
    return None


def shapes_agree(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """The shapes of image, weights, bias and output belong together."""
    source = _tensor(graph, operator.inputs[0]).shape
    weights = _tensor(graph, operator.inputs[1]).shape
    target = _tensor(graph, operator.outputs[0]).shape
    options = _convolution(operator)
    if operator.kind == "CONV_2D":
        wanted = (target[3], source[3])
        found = (weights[0], weights[3])
    else:
        wanted = (1, target[3])
        found = (weights[0], weights[3])
        if target[3] % source[3]:
            return f"{source[3]} input and {target[3]} output channels"
    if found != wanted:
        return f"weights of shape {list(weights)} for {list(source)} -> {list(target)}"
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = _tensor(graph, operator.inputs[2])
        if bias.size != target[3]:
            return f"{bias.size} biases for {target[3]} output channels"
    for axis, stride in ((1, options.stride_rows), (2, options.stride_columns)):
        extent = source[axis] - (weights[axis] - 1 if options.padding.value == "VALID" else 0)
        if -(-extent // stride) < target[axis] or target[axis] < 1:
            return f"{list(source)} -> {list(target)} with kernel {list(weights[1:3])}"
    return None


def no_dilation(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Dilation is 1.

    Remedy: Use a larger kernel or a stride instead.
    """
    options = _convolution(operator)
    found = (options.dilation_rows, options.dilation_columns)
    return None if found == (1, 1) else f"dilation {found[0]}x{found[1]}"


def stride_one_or_two(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Strides are 1 or 2, the same for rows and columns.

    Remedy: Use stride 2, twice if need be.
    """
    options = _convolution(operator)
    found = (options.stride_rows, options.stride_columns)
    return None if found in ((1, 1), (2, 2)) else f"stride {found[0]}x{found[1]}"


def kernel_size(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Kernels are no larger than the chip takes (A311D: 11x11).

    Remedy: Use several smaller kernels one after another.
    """
    rows, columns = _tensor(graph, operator.inputs[1]).shape[1:3]
    if rows > chip.maximum_kernel_rows or columns > chip.maximum_kernel_columns:
        return f"{rows}x{columns}"
    return None


def padding_reaches(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Padding before the image fits the chip's offset field (A311D: up to 8)."""
    before = padding_before(graph, operator)
    if max(before) > -chip.smallest_image_offset:
        return f"{before[0]} rows and {before[1]} columns"
    return None


def image_size(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Images have at most 8191 rows and columns (4094 with stride 2) and 16383 channels (4095 into
    a convolution with stride 2).

    Remedy: Cut the image into pieces.
    """
    strided = isinstance(operator.options, Convolution) and operator.options.stride_rows > 1
    side = SIDE_MAXIMUM // 2 - 1 if strided else SIDE_MAXIMUM
    for tensor in _data_tensors(graph, operator):
        rows, columns, channels = _image(tensor.shape)
        channels_allowed = CHANNELS_MAXIMUM // 4 if strided else CHANNELS_MAXIMUM
        if max(rows, columns) > side or channels > channels_allowed:
            return f"{tensor.name} is {rows}x{columns}x{channels}"
        if rows * columns * channels >= 1 << 28:
            return f"{tensor.name} has {rows * columns * channels} bytes"
    return None


def activation_exact(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """A fused activation is ReLU, or ReLU6 with an output range that ends at or below 6.

    Remedy: Quantise so that the output range ends at 6 (scale 6/255, zero point 0), or use
    ReLU.
    """
    options = operator.options
    assert isinstance(options, (Convolution, Addition))
    if options.activation in (Activation.NONE, Activation.RELU):
        return None
    if options.activation is Activation.RELU6:
        output = _tensor(graph, operator.outputs[0])
        quantization = output.quantization
        assert quantization is not None
        highest = (255 - quantization.zero_point) * quantization.scale
        # The byte that stands for 6, rounded as LiteRT does when it prepares the kernel.
        six = quantization.zero_point + int(
            np.floor(np.float32(6.0) / np.float32(quantization.scale) + np.float32(0.5))
        )
        return None if six >= 255 else f"ReLU6 with an output range up to {highest:.4g}"
    return f"{options.activation.value}"


def scale_fits(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """The factor from accumulator to output has a multiplier and shift (A311D: 2^-112 to 2^16)."""
    quantizations = [
        _tensor(graph, i).quantization for i in (*operator.inputs[:2], operator.outputs[0])
    ]
    first, second, output = (q for q in quantizations if q is not None)
    generation = generation_of(chip)
    if operator.kind == "ADD":
        scales = requantise.AdditionScales(first, second, output)
        numbers = generation.addition(ImageSize(1, 1, 1), scales, False).numbers
        factor = max(first.scale, second.scale) / output.scale
        return None if generation.fits(numbers.scale) else f"{factor:.4g}"
    scale = requantise.convolution_scale(first.scale, second.scale, output.scale)
    return None if generation.fits(scale) else f"{float(scale):.4g}"


def addition_exact(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """One-byte weights express an addition's two factors to within 0.9 output steps.

    Remedy: Give operands and result ranges that are less unlike.
    """
    quantizations = [
        _tensor(graph, i).quantization for i in (*operator.inputs[:2], operator.outputs[0])
    ]
    first, second, output = (q for q in quantizations if q is not None)
    scales = requantise.AdditionScales(first, second, output)
    size = ImageSize(1, 1, 1)
    numbers = generation_of(chip).addition(size, scales, False).numbers
    error = requantise.addition_error(numbers, scales, numbers.scale)
    return None if error <= requantise.LARGEST_ADDITION_ERROR else f"{error:.2f} steps"


def no_broadcast(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Both operands of an addition and the result have the same shape.

    Remedy: Repeat the smaller operand to the larger one's shape when the model is built.
    """
    shapes = [_tensor(graph, i).shape for i in (*operator.inputs[:2], operator.outputs[0])]
    if shapes[0] == shapes[1] == shapes[2]:
        return None
    return " + ".join(str(list(s)) for s in shapes[:2]) + f" -> {list(shapes[2])}"


def operands_computed(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Images that go in are computed, not constant.

    Remedy: Fold the constant into the bias of the convolution in front.
    """
    for index in _images_in(operator):
        if _tensor(graph, index).data is not None:
            return f"{_tensor(graph, index).name} is constant"
    return None


def addition_size(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """The number of elements added can be seen as an image of at most 8191 x 8191."""
    rows, columns, channels = _image(_tensor(graph, operator.inputs[0]).shape)
    if addition_image(rows, columns, channels) is None:
        return f"{rows * columns * channels} elements"
    return None


def pad_of_rows_and_columns(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Padding is constant and adds rows and columns only.

    Remedy: Pad rows and columns only, with constant amounts.
    """
    amounts = _tensor(graph, operator.inputs[1])
    if amounts.data is None or amounts.data.shape != (4, 2):
        return f"paddings of shape {list(amounts.shape)}"
    values = amounts.data.tolist()
    if values[0] != [0, 0] or values[3] != [0, 0] or min(map(min, values)) < 0:
        return f"paddings {values}"
    return None


def pad_keeps_values(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Padding does not change scale or zero point.

    Remedy: Give input and output of the padding the same quantisation.
    """
    source, target = (
        _tensor(graph, i).quantization for i in (operator.inputs[0], operator.outputs[0])
    )
    if source is None or target is None:
        return "no quantisation"
    pairs = [(q.scale, q.zero_point) for q in (source, target)]
    return None if pairs[0] == pairs[1] else f"{pairs[0]} -> {pairs[1]}"


def pad_shapes_agree(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """The padded image has the size that the paddings say."""
    source = _tensor(graph, operator.inputs[0]).shape
    target = _tensor(graph, operator.outputs[0]).shape
    amounts = _tensor(graph, operator.inputs[1]).data
    assert amounts is not None
    wanted = tuple(int(n + b + a) for n, (b, a) in zip(source, amounts.tolist(), strict=True))
    return None if wanted == target else f"{list(source)} -> {list(target)}"


def divisible_channels(graph: Graph, operator: Operator, chip: Chip) -> str | None:
    """Convolutions have a multiple of 8 output channels (only if asked for: no NPU needs it)."""
    if not isinstance(operator.options, Convolution):
        return None
    channels = _tensor(graph, operator.outputs[0]).shape[3]
    return f"{channels} output channels" if channels % DIVISIBLE_BY else None


OPERATOR_REMEDIES = {
    "FULLY_CONNECTED": "Write it as a 1x1 CONV_2D over a 1x1 image.",
    "RELU": "Fuse it into the convolution in front.",
    "RELU6": "Fuse it into the convolution in front.",
    "SUB": "Turn it into an ADD by negating an operand's weights in front.",
}
"""What to do about operators that the NPU does not take."""
_REMEDY = "Remedy: "


def sentence(rule: Rule) -> str:
    """What must hold, in one line."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[0].split())


def remedy_of(rule: Rule) -> str:
    """What a user can do where it does not, in one line; empty if nothing is known."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[2].split())


CONVOLUTION_RULES: tuple[Rule, ...] = (
    operands_present,
    operands_computed,
    bytes_unsigned,
    image_of_four_dimensions,
    batch_of_one,
    constant_weights,
    quantised_per_tensor,
    no_dilation,
    stride_one_or_two,
    shapes_agree,
    kernel_size,
    padding_reaches,
    image_size,
    activation_exact,
    scale_fits,
)
RULES: dict[str, tuple[Rule, ...]] = {
    "CONV_2D": CONVOLUTION_RULES,
    "DEPTHWISE_CONV_2D": CONVOLUTION_RULES,
    "ADD": (
        operands_present,
        operands_computed,
        bytes_unsigned,
        batch_of_one,
        no_broadcast,
        quantised_per_tensor,
        image_size,
        addition_size,
        activation_exact,
        scale_fits,
        addition_exact,
    ),
    "PAD": (
        operands_present,
        operands_computed,
        bytes_unsigned,
        image_of_four_dimensions,
        batch_of_one,
        pad_of_rows_and_columns,
        quantised_per_tensor,
        pad_shapes_agree,
        pad_keeps_values,
        image_size,
    ),
}


def judge(graph: Graph, operator: Operator, chip: Chip, more: Sequence[Rule] = ()) -> Verdict:
    """The verdict on one operator: the first rule it breaks, if any. ``more``: rules that hold for
    this compilation on top."""
    rules = RULES.get(operator.kind)
    if rules is None:
        names = ", ".join(RULES)
        allowed, remedy = f"The NPU takes {names}.", OPERATOR_REMEDIES.get(operator.kind, "")
        return Verdict(operator.index, False, "operator", allowed, operator.kind, remedy)
    for rule in (*rules, *more):
        found = rule(graph, operator, chip)
        if found is not None:
            allowed, remedy = sentence(rule), remedy_of(rule)
            return Verdict(operator.index, False, rule.__name__, allowed, found, remedy)
    return Verdict(operator.index, True)


def judge_all(graph: Graph, chip: Chip, more: Sequence[Rule] = ()) -> tuple[Verdict, ...]:
    """One verdict for each operator, in order."""
    return tuple(judge(graph, operator, chip, more) for operator in graph.operators)
