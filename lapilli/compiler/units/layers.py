"""The layers with weights, in one layout for all kinds of convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers, logarithm_of_two
from lapilli.model.graph import Activation, Graph, Operator, Tensor
from lapilli.reference.arithmetic import activation_range
from lapilli.reference.convolution import centred_weights

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
NO_WEIGHT = -1.0e4
"""log2 of a weight that is 0."""
LARGEST_WEIGHT = 127


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator with weights.

    ``weights``: [outputs, taps, inputs] less their zero points; depthwise kernels have one input.
    ``factors``: output steps that one unit of each output channel's sums is. ``bias``: in output
    steps. ``multiplier``: a depthwise layer's outputs an input channel. ``low``, ``high``: the
    bytes that the fused activation or the type clamps at. ``share``: of the output pixels that one
    kernel element reaches.
    """

    position: int
    operator: Operator
    source: int
    target: int
    weights: Integers
    factors: Floats
    bias: Floats
    depthwise: bool
    multiplier: int
    low: int
    high: int
    zero_point: int
    share: float

    @property
    def outputs(self) -> int:
        """Output channels."""
        return len(self.weights)

    @property
    def taps(self) -> int:
        """Kernel elements of one input channel."""
        return int(self.weights.shape[1])

    @property
    def above(self) -> int:
        """Steps above the zero point at which values are clamped."""
        return self.high - self.zero_point

    @property
    def below(self) -> int:
        """Steps below the zero point at which values are clamped; 0 for a ReLU."""
        return self.zero_point - self.low

    def input_units(self, units: Floats) -> Floats:
        """The input tensor's units as they meet ``weights``: [outputs or 1, inputs]."""
        if self.depthwise:
            return np.repeat(units, self.multiplier)[:, None]
        repeats = self.weights.shape[2] // len(units)
        return np.tile(units, repeats)[None, :]

    def by_output(self, units: Floats) -> Floats:
        """Values of the input's channels at the output channel that reads them (depthwise)."""
        return np.repeat(units, self.multiplier)

    def by_output_columns(self, values: Floats) -> Floats:
        """[taps, channels] of the input -> [outputs, taps, 1] (depthwise)."""
        return np.repeat(values, self.multiplier, axis=1).T[:, :, None]

    def steps(self, source_units: Floats, target_units: Floats) -> Floats:
        """Weights in output steps for each input step: W' of the units, as ``weights``."""
        scale = self.factors / target_units
        scaled: Floats = self.weights * scale[:, None, None]
        scaled *= self.input_units(source_units)[:, None, :]
        return scaled

    def largest_log2(self) -> Floats:
        """log2 of the largest weight over the taps at units of 1: [outputs, inputs]."""
        magnitudes = np.abs(self.weights).max(axis=1, initial=0).astype(np.float64)
        scaled = magnitudes * self.factors[:, None]
        found = np.full(scaled.shape, NO_WEIGHT)
        present = scaled > 0
        found[present] = logarithm_of_two(scaled[present])
        return found


def operands(operator: Operator) -> tuple[int, int, int]:
    """Tensors (image, weights, bias or -1) of an operator with weights."""
    if operator.kind == "TRANSPOSE_CONV":
        image, weights, rest = operator.inputs[2], operator.inputs[1], operator.inputs[3:]
    else:
        image, weights, rest = operator.inputs[0], operator.inputs[1], operator.inputs[2:]
    return image, weights, rest[0] if rest else -1


def is_layer(graph: Graph, operator: Operator) -> bool:
    """Whether it is a convolution of bytes with constant signed weights that this pass can do."""
    if operator.kind not in WEIGHTED or len(operator.inputs) < 2:
        return False
    image, weights, bias = operands(operator)
    if min(image, weights) < 0:
        return False
    tensors = [graph.tensors[image], graph.tensors[operator.outputs[0]]]
    constants = [graph.tensors[weights]] + ([graph.tensors[bias]] if bias >= 0 else [])
    return (
        all(_has_one_scale(tensor) and tensor.data is None for tensor in tensors)
        and all(tensor.data is not None for tensor in constants)
        and graph.tensors[weights].quantization is not None
        and graph.tensors[weights].dtype == "int8"
    )


def _has_one_scale(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    return (
        tensor.dtype in ("int8", "uint8")
        and quantization is not None
        and len(quantization.scales) == 1
        and quantization.scale > 0
        and bool(np.isfinite(quantization.scale))
    )


def layer_of(graph: Graph, position: int) -> Layer:
    """The layer at a position for which ``is_layer`` holds."""
    operator = graph.operators[position]
    image, weights, bias = (
        graph.tensors[index] if index >= 0 else None for index in operands(operator)
    )
    target = graph.tensors[operator.outputs[0]]
    assert image is not None and weights is not None and weights.data is not None
    assert image.quantization and target.quantization and weights.quantization
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    arranged = arrange(operator.kind, centred_weights(weights, weights.data))
    ratio = image.quantization.scale / target.quantization.scale
    scales = np.broadcast_to(np.array(weights.quantization.scales), len(arranged))
    factors = scales * ratio
    biases = np.zeros(len(arranged))
    if bias is not None and bias.data is not None:
        biases = bias.data.reshape(-1).astype(np.float64) * factors
    activation = getattr(operator.options, "activation", Activation.NONE)
    low, high = activation_range(activation, target)
    return Layer(
        position,
        operator,
        image.index,
        target.index,
        arranged,
        factors,
        biases,
        depthwise,
        len(arranged) // image.shape[-1] if depthwise else 1,
        low,
        high,
        target.quantization.zero_point,
        _share(operator),
    )


def _share(operator: Operator) -> float:
    if operator.kind != "TRANSPOSE_CONV":
        return 1.0
    rows = int(getattr(operator.options, "stride_rows", 1))
    columns = int(getattr(operator.options, "stride_columns", 1))
    return 1.0 / (rows * columns)


def arrange(kind: str, weights: Integers) -> Integers:
    """TFLite's layout -> [outputs, taps, inputs]."""
    if kind == "FULLY_CONNECTED":
        return weights.reshape(len(weights), 1, -1)
    if kind == "DEPTHWISE_CONV_2D":
        channels = weights.shape[3]
        return np.ascontiguousarray(weights.reshape(-1, channels).T)[:, :, None]
    return weights.reshape(len(weights), -1, weights.shape[3])


def restore(kind: str, weights: Integers, shape: Sequence[int]) -> Integers:
    """[outputs, taps, inputs] -> TFLite's layout."""
    if kind == "DEPTHWISE_CONV_2D":
        return np.ascontiguousarray(weights[:, :, 0].T).reshape(tuple(shape))
    return weights.reshape(tuple(shape))


def layers_of(graph: Graph, operators: Sequence[int]) -> tuple[Layer, ...]:
    """The layers among the operators at these positions."""
    return tuple(
        layer_of(graph, position)
        for position in operators
        if is_layer(graph, graph.operators[position])
    )
