"""Whose channels may stand in another order, so that those of a job stand side by side.

A job writes planes that follow one another. Where only layers and operators that take each channel
by itself touch a tensor of a part, its channels can stand in any order: the layer in front makes
them in it, the layer behind has its weights in it, and every value is the same. Tensors that must
have the same order share a class; those that must keep the model's have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Integers
from lapilli.compiler.units.layers import Layer, is_layer, operands
from lapilli.compiler.units.rewrite import NewWeights
from lapilli.compiler.units.ties import inner_tensors
from lapilli.model.graph import Graph, Operator

_EACH_BY_ITSELF: Final = frozenset(
    {
        *("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU"),
        *("RELU6", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "QUANTIZE"),
        *("LOGISTIC", "TANH", "HARD_SWISH"),
    }
)
"""Their tensors have the same channels, and a channel's values depend on that channel alone."""


def find_orders(graph: Graph, parts: Sequence[Sequence[int]]) -> Mapping[int, int]:
    """Tensor -> class, of tensors inside ``parts`` whose channels may stand in another order."""
    owner = {tensor: tensor for part in parts for tensor in inner_tensors(graph, part)}
    kept: set[int] = set()
    for position in (position for part in parts for position in part):
        operator = graph.operators[position]
        tied, fixed = _touched(graph, operator)
        kept.update(fixed)
        for tensor in tied[1:]:
            _join(owner, kept, tied[0], tensor)
    roots = {tensor: _root(owner, tensor) for tensor in owner}
    closed = {roots[tensor] for tensor in kept if tensor in roots}
    return MappingProxyType({t: root for t, root in roots.items() if root not in closed})


def _touched(graph: Graph, operator: Operator) -> tuple[list[int], list[int]]:
    """(tensors that must have one order, tensors that must keep theirs)."""
    images = [t for t in (*operator.inputs, *operator.outputs) if t >= 0]
    if is_layer(graph, operator):
        source, target = operands(operator)[0], operator.outputs[0]
        others = [t for t in operator.inputs if t >= 0 and t != source]
        if operator.kind != "DEPTHWISE_CONV_2D":
            return [], others
        same = graph.tensors[source].shape[-1] == graph.tensors[target].shape[-1]
        return ([source, target], others) if same else ([], [source, target, *others])
    constant = any(graph.tensors[t].data is not None for t in images)
    shapes = {graph.tensors[t].shape[-1:] for t in images if graph.tensors[t].data is None}
    resized = operator.kind.startswith("RESIZE")  # its size is a constant, the channels stay
    if operator.kind in _EACH_BY_ITSELF and len(shapes) == 1 and (resized or not constant):
        return [t for t in images if graph.tensors[t].data is None], []
    return [], images


def _root(owner: Mapping[int, int], tensor: int) -> int:
    while owner[tensor] != tensor:
        tensor = owner[tensor]
    return tensor


def _join(owner: dict[int, int], kept: set[int], first: int, second: int) -> None:
    """One class for both; a tensor that is none of the part's own keeps the other's order."""
    if first not in owner or second not in owner:
        kept.update((first, second))
        return
    roots = sorted((_root(owner, first), _root(owner, second)))
    owner[roots[1]] = roots[0]


def in_order(
    new: NewWeights, classes: Mapping[int, int], orders: Mapping[int, Integers]
) -> NewWeights:
    """A layer's weights for channels in other orders; ``orders``: class -> the channels as they
    are to stand."""
    layer: Layer = new.layer
    rows = orders.get(classes.get(layer.target, -1))
    columns = None if layer.depthwise else orders.get(classes.get(layer.source, -1))
    weights, bias, scales = new.weights, new.bias, new.scales
    if rows is not None:
        weights, bias, scales = weights[rows], bias[rows], scales[rows]
    if columns is not None:
        repeats = weights.shape[2] // len(columns)
        starts = np.arange(repeats)[:, None] * len(columns)
        weights = weights[:, :, (starts + columns[None, :]).reshape(-1)]
    return replace(new, weights=weights, bias=bias, scales=scales)
