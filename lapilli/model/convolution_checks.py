"""Whether a convolution's tensors fit one another and its options."""

from __future__ import annotations

from dataclasses import replace

from lapilli.model.checks import check_scales, described, some
from lapilli.model.flatbuffer import Table
from lapilli.model.graph import Operator, Tensor
from lapilli.model.options import Convolution, Padding


def checked_convolution(
    table: Table, operator: Operator, options: Convolution, tensors: tuple[Tensor, ...]
) -> Convolution:
    """Options of CONV_2D and DEPTHWISE_CONV_2D, checked against the operator's tensors."""
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    image, kernel, result, bias = _convolution_tensors(table, operator, tensors)
    _check_channels(table, image, kernel, result, bias, depthwise=depthwise)
    _check_window(table, options, image, kernel, result, depthwise=depthwise)
    if not depthwise:
        return options
    # As TFLite since 2.1: the shapes count, whatever the option says.
    return replace(options, depth_multiplier=kernel.shape[3] // image.shape[3])


def _convolution_tensors(
    table: Table, operator: Operator, tensors: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Input, kernel, output and bias (None if absent)."""
    count = len(operator.inputs)
    if count not in (2, 3) or len(operator.outputs) != 1 or -1 in operator.inputs[:2]:
        found = f"inputs {some(operator.inputs)} and outputs {some(operator.outputs)}"
        table.fail(found, "input, kernel and optional bias; one output")
    bias = operator.inputs[2] if count == 3 else -1
    main = [tensors[i] for i in (*operator.inputs[:2], operator.outputs[0])]
    for tensor in main:
        if len(tensor.shape) != 4 or 0 in tensor.shape:
            found = f"shape {list(tensor.shape)} of {described(tensor)}"
            table.fail(found, "four dimensions, none of them 0")
    used = main if bias < 0 else [*main, tensors[bias]]
    check_scales(table, used)
    return main[0], main[1], main[2], tensors[bias] if bias >= 0 else None


def _check_channels(
    table: Table,
    image: Tensor,
    kernel: Tensor,
    result: Tensor,
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
    if result.shape[3] != channels:
        table.fail(f"{result.shape[3]} output channels", f"the kernel's {channels}")
    if bias is not None and bias.size != channels:
        table.fail(f"{bias.size} values of bias", f"one for each of {channels} channels")
    scales = kernel.quantization
    if scales is not None and len(scales.scales) > 1 and scales.axis != axis:
        table.fail(f"scales along dimension {scales.axis} of the kernel", f"{axis}")


def _check_window(
    table: Table,
    options: Convolution,
    image: Tensor,
    kernel: Tensor,
    result: Tensor,
    *,
    depthwise: bool,
) -> None:
    """Raise unless a convolution's output has the shape that its options give."""
    rows = (image.shape[1], kernel.shape[1], options.stride_rows, options.dilation_rows)
    columns = (image.shape[2], kernel.shape[2], options.stride_columns, options.dilation_columns)
    expected = [image.shape[0]]
    for extent, size, stride, dilation in (rows, columns):
        lost = (size - 1) * dilation if options.padding is Padding.VALID else 0
        expected.append(max(0, -(-(extent - lost) // stride)))
    if list(result.shape[:3]) != expected:
        table.fail(
            f"output {list(result.shape[:3])} (batch, rows, columns)",
            f"{expected}, as input {list(image.shape)}, kernel {list(kernel.shape)}, "
            f"{options.padding.value} padding, stride and dilation give",
        )
