"""Sums and products with a constant number, or one for each channel: 1x1 kernels and biases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import LARGEST_ADDITION_ERROR
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators import flat
from lapilli.compiler.operators.endings import ending_of
from lapilli.compiler.operators.flat import LARGEST_WEIGHT, Step
from lapilli.compiler.operators.record import Case
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator, Quantization, Tensor
from lapilli.model.options import Activation

BIAS_BELOW = 1 << 31


@dataclass(frozen=True, eq=False)
class Linear:
    """``(byte - zero point) * weights + bias``, times ``scale``: for all bytes, or one pair for
    each channel. ``error``: output steps that rounding to whole numbers costs."""

    weights: NDArray[np.int64]
    bias: NDArray[np.int64]
    scale: np.float32
    error: float = 0.0


def constant_position(graph: Graph, operator: Operator) -> int | None:
    """Which of the two operands is a constant number, or one for each channel; None if none is, the
    second if both are constant. Other constants are tensors like computed ones."""
    tensors = [graph.tensors[operator.inputs[i]] for i in (0, 1)]
    found = [i for i in (0, 1) if tensors[i].data is not None]
    if len(found) == 1 and not is_numbers(tensors[found[0]], tensors[1 - found[0]]):
        return None
    return found[-1] if found else None


def is_numbers(tensor: Tensor, other: Tensor) -> bool:
    """It is a constant number, or one for each channel of ``other``."""
    last = other.shape[-1] if other.shape else 1
    per_channel = tensor.size == last > 0 and (not tensor.shape or tensor.shape[-1] == last)
    return tensor.data is not None and (tensor.size == 1 or per_channel)


def computed_position(graph: Graph, operator: Operator) -> int:
    """Which of the two operands is computed, if one is constant."""
    return 1 if constant_position(graph, operator) == 0 else 0


def odd_constant(case: Case) -> str | None:
    """What is found where both operands are constant, or where one is a number and the other one
    has not the result's shape."""
    position = constant_position(case.graph, case.operator)
    if position is None:
        return None
    computed = case.input(1 - position)
    if computed.data is not None:
        return "two constants"
    if computed.shape != case.output().shape:
        return f"{list(computed.shape)} -> {list(case.output().shape)}"
    return None


def sum_with(graph: Graph, operator: Operator, chip: Chip, subtract: bool) -> Linear | None:
    """The numbers of a sum, or difference, with a constant; None if the chip has no fields."""
    position = computed_position(graph, operator)
    computed, constant = (graph.tensors[operator.inputs[i]] for i in (position, 1 - position))
    first, second = _known(computed), _known(constant)
    output = _known(graph.tensors[operator.outputs[0]])
    found = flat.split_factor(first.scale / output.scale, chip, LARGEST_WEIGHT)
    if found is None:
        return None
    weight, scale = found
    # Of ``constant - computed`` the computed operand is taken away, else the constant one.
    signs = (-1 if subtract and position == 1 else 1), (-1 if subtract and position == 0 else 1)
    exact = _values(constant, second) * (second.scale / first.scale * weight * signs[1])
    if not np.all(np.abs(exact) < BIAS_BELOW):
        return None
    bias = np.round(exact)
    error = float(np.max(np.abs(bias - exact))) * float(scale)
    weights = np.full(len(bias), weight * signs[0], np.int64)
    return Linear(weights, bias.astype(np.int64), scale, error)


def product_with(graph: Graph, operator: Operator, chip: Chip) -> Linear | None:
    """The numbers of a product with a constant; None if the chip has no fields."""
    position = computed_position(graph, operator)
    computed, constant = (graph.tensors[operator.inputs[i]] for i in (position, 1 - position))
    first, second = _known(computed), _known(constant)
    output = _known(graph.tensors[operator.outputs[0]])
    scale = requantise.convolution_scale(first.scale, second.scale, output.scale)
    if not generation_of(chip).fits(scale):
        return None
    weights = _values(constant, second).astype(np.int64)
    return Linear(weights, np.zeros_like(weights), scale)


def inexact(linear: Linear | None) -> str | None:
    """What is found where numbers are too far off; where there are none another rule says so."""
    if linear is None or linear.error <= LARGEST_ADDITION_ERROR:
        return None
    return f"{linear.error:.2f} steps"


def lower(builder: Builder, operator: Operator, linear: Linear, activation: Activation) -> None:
    """One convolution: over flat bytes, or depthwise with numbers for each channel."""
    tensor = operator.inputs[computed_position(builder.graph, operator)]
    ending = ending_of(builder.quantization(operator.outputs[0]), activation)
    if len(linear.weights) == 1:
        step = Step(
            builder.place(tensor).zero_point,
            ending.zero_point,
            int(linear.weights[0]),
            linear.scale,
            int(linear.bias[0]),
            ending.relu,
        )
        made = flat.append(builder, operator.index, flat.at_hand(builder, tensor), step)
        made = ending.applied(builder, operator.index, made)
        flat.lay_like(builder, tensor, operator.outputs[0], made)
    else:
        place = builder.place(tensor)
        view = builder.planar(tensor, operator.index)
        points = place.zero_point, ending.zero_point
        made = depthwise(builder, operator, view, place.size, linear, points, ending.relu)
        made = ending.applied(builder, operator.index, made)
        builder.place(operator.outputs[0]).planar = made


def depthwise(
    builder: Builder,
    operator: Operator,
    source: View,
    size: ImageSize,
    linear: Linear,
    zero_points: tuple[int, int],
    relu: bool = False,
) -> View:
    """The convolution of planes with numbers for each channel; ``zero_points`` of input and
    output."""
    zero_point = max(0, -int(linear.weights.min()))
    values = (zero_point + linear.weights).astype(np.uint8).reshape(-1, 1, 1, 1)
    each = np.arange(size.channels, dtype=np.int64)
    target = builder.store_planes(size)
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=True,
            source=source,
            target=target,
            input_size=size,
            output_size=size,
            kernels=Kernels(values, each, size.channels, zero_point, linear.bias),
            stride=(1, 1),
            padding_before=(0, 0),
            padding_after=(0, 0),
            padding_same=False,
            scale=linear.scale,
            input_zero_point=zero_points[0],
            output_zero_point=zero_points[1],
            relu=relu,
        )
    )
    return target


def _known(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _values(constant: Tensor, quantization: Quantization) -> NDArray[np.float64]:
    """Bytes less the zero point."""
    assert constant.data is not None
    return constant.data.reshape(-1).astype(np.float64) - quantization.zero_point
