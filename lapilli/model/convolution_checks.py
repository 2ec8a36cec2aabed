"""Whether a convolution's tensors fit one another and its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lapilli.model.checks import described, some
from lapilli.model.flatbuffer import Table
from lapilli.model.graph import Operator, Tensor
from lapilli.model.options import Convolution
from lapilli.model.shapes import window

SIDES = {1: "rows", 2: "columns"}


def checked_convolution(
    table: Table, operator: Operator, options: Convolution, tensors: Sequence[Tensor]
) -> Convolution:
    """Options of CONV_2D and DEPTHWISE_CONV_2D, checked against the operator's tensors."""
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    image, kernel, bias = _convolution_tensors(table, operator, tensors)
    _check_channels(table, image, kernel, bias, depthwise=depthwise)
    _check_window(table, options, image, kernel)
    return with_depth(options, operator, tensors) if depthwise else options


def with_depth(options: Convolution, operator: Operator, tensors: Sequence[Tensor]) -> Convolution:
    """As TFLite since 2.1: the shapes count, whatever the option says. 1 where they say nothing."""
    shapes = [tensors[index].shape for index in operator.inputs[:2] if index >= 0]
    if [len(shape) for shape in shapes] != [4, 4] or shapes[0][3] < 1:
        return replace(options, depth_multiplier=1)
    return replace(options, depth_multiplier=shapes[1][3] // shapes[0][3])


def _convolution_tensors(
    table: Table, operator: Operator, tensors: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Input, kernel and bias (None if absent)."""
    count = len(operator.inputs)
    if count not in (2, 3) or len(operator.outputs) != 1 or -1 in operator.inputs[:2]:
        found = f"inputs {some(operator.inputs)} and outputs {some(operator.outputs)}"
        table.fail(found, "input, kernel and optional bias; one output")
    bias = operator.inputs[2] if count == 3 else -1
    image, kernel = (tensors[i] for i in operator.inputs[:2])
    for tensor in (image, kernel):
        if len(tensor.shape) != 4 or 0 in tensor.shape:
            found = f"shape {list(tensor.shape)} of {described(tensor)}"
            table.fail(found, "four dimensions, none of them 0")
    return image, kernel, tensors[bias] if bias >= 0 else None


def _check_channels(
    table: Table,
    image: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    *,
    depthwise: bool,
) -> None:
    """Raise unless the numbers of channels of a convolution's tensors fit one another."""
    axis = 3 if depthwise else 0
    channels = kernel.shape[axis]
    if depthwise:
        fits = kernel.shape[0] == 1 and channels % image.shape[3] == 0
    else:
        fits = image.shape[3] % kernel.shape[3] == 0
    if not fits:
        found = f"kernel {list(kernel.shape)} for {image.shape[3]} input channels"
        allowed = "a kernel [1, rows, columns, whole multiple of the input channels]"
        if not depthwise:
            allowed = "a kernel [outputs, rows, columns, input channels or a divisor of them]"
        table.fail(found, allowed)
    if bias is not None and bias.size != channels:
        table.fail(f"{bias.size} values of bias", f"one for each of {channels} channels")
    scales = kernel.quantization
    if scales is not None and len(scales.scales) > 1 and scales.axis != axis:
        table.fail(f"scales along dimension {scales.axis} of the kernel", f"{axis}")


def _check_window(table: Table, options: Convolution, image: Tensor, kernel: Tensor) -> None:
    """Raise unless the kernel fits into the image."""
    for axis, stride, dilation in (
        (1, options.stride_rows, options.dilation_rows),
        (2, options.stride_columns, options.dilation_columns),
    ):
        extent, size = image.shape[axis], kernel.shape[axis]
        if window(extent, size, stride, dilation, options.padding) < 1:
            table.fail(
                f"a kernel {list(kernel.shape)} with dilation {dilation} for an image "
                f"{list(image.shape)}",
                f"images of {(size - 1) * dilation + 1} {SIDES[axis]} and more with "
                f"{options.padding.value} padding; --shape gives an input another size",
            )
