"""How much a channel's noise matters: variance at the outputs per variance of the channel.

Backwards through the original model: 1 / s^2 at the outputs (s the scale, so outputs count in
their own steps); a layer passes on L_x[i] += sum_c g_y[c] L_y[c] sum_k W[c,k]^2 over the k that
read channel i, where g is the share of values that the activation lets through; sums and
operators that pass channels on give theirs to their inputs; any other operator counts as an output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, ordered_sum
from lapilli.compiler.units.layers import Layer
from lapilli.compiler.units.statistics import Channels
from lapilli.model.graph import Graph, Operator

_PASSING: Final = frozenset(
    {
        *("ADD", "SUB", "PAD", "MIRROR_PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RELU"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "QUANTIZE", "RESHAPE"),
        *("SQUEEZE", "EXPAND_DIMS", "CONCATENATION", "DEQUANTIZE", "RELU6"),
    }
)


def find_sensitivities(
    graph: Graph, layers: Sequence[Layer], statistics: Mapping[int, Channels]
) -> Mapping[int, Floats]:
    """Tensor -> L of each channel, for every quantised tensor that leads to an output."""
    by_position = {layer.position: layer for layer in layers}
    found: dict[int, Floats] = {}
    for tensor in graph.outputs:
        _give(graph, found, tensor, _own(graph, tensor))
    for position in range(len(graph.operators) - 1, -1, -1):
        operator = graph.operators[position]
        layer = by_position.get(position)
        if layer is not None:
            _give(graph, found, layer.source, _through_layer(graph, layer, found, statistics))
        elif operator.kind in _PASSING and operator.outputs[0] in found:
            _pass_on(graph, found, operator)
        elif operator.kind not in _PASSING:
            for tensor in operator.inputs:
                if tensor >= 0 and graph.tensors[tensor].data is None:
                    _give(graph, found, tensor, _own(graph, tensor))
    return MappingProxyType(found)


def _channels(graph: Graph, tensor: int) -> int:
    shape = graph.tensors[tensor].shape
    return shape[-1] if shape else 1


def _own(graph: Graph, tensor: int) -> Floats:
    """Noise counts in the tensor's own steps."""
    quantization = graph.tensors[tensor].quantization
    scale = quantization.scale if quantization is not None and quantization.scales else 1.0
    return np.full(_channels(graph, tensor), 1.0 / (scale * scale) if scale > 0 else 0.0)


def _give(graph: Graph, found: dict[int, Floats], tensor: int, more: Floats) -> None:
    if tensor in found:
        more = found[tensor] + more
    found[tensor] = more


def _through_layer(
    graph: Graph,
    layer: Layer,
    found: Mapping[int, Floats],
    statistics: Mapping[int, Channels],
) -> Floats:
    target, source = graph.tensors[layer.target], graph.tensors[layer.source]
    channels = _channels(graph, layer.source)
    if layer.target not in found or target.quantization is None or source.quantization is None:
        return np.zeros(channels)
    seen = statistics.get(layer.target)
    active = seen.active if seen is not None else np.ones(layer.outputs)
    # Real weights: output steps an input step, times the scales' ratio.
    ratio = target.quantization.scale / source.quantization.scale
    squares = (layer.weights.astype(np.float64) ** 2).sum(axis=1)
    squares = squares * ((layer.factors * ratio) ** 2 * active * found[layer.target])[:, None]
    if layer.depthwise:
        return ordered_sum(squares.reshape(channels, layer.multiplier), axis=1)
    passed = ordered_sum(squares)
    if len(passed) != channels:  # a fully connected layer on flattened rows
        return ordered_sum(passed.reshape(-1, channels)) if len(passed) % channels == 0 else passed
    return passed


def _pass_on(graph: Graph, found: dict[int, Floats], operator: Operator) -> None:
    passed = found[operator.outputs[0]]
    start = 0
    for tensor in operator.inputs:
        if tensor < 0 or graph.tensors[tensor].data is not None:
            continue
        channels = _channels(graph, tensor)
        if operator.kind == "CONCATENATION" and channels < len(passed):
            share = passed[start : start + channels]
            start += channels
        elif channels == len(passed):
            share = passed
        elif channels and len(passed) % channels == 0:
            share = ordered_sum(passed.reshape(-1, channels))
        else:
            share = passed[:channels]
        if len(share) == channels:
            _give(graph, found, tensor, share)
        else:
            _give(graph, found, tensor, _own(graph, tensor))
