"""Which channels of which tensors must have the same unit.

A part's inner tensors are the compiler's own. A channel's unit ``u`` says that its byte is
z + (q - z) / u, where q is the byte of the model. Operators that treat a channel alike whatever
its unit tie input and output; a layer with weights takes any two; everything else, and every
tensor that somebody outside sees, has units of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Integers
from lapilli.compiler.units.layers import is_layer, operands
from lapilli.model.graph import Activation, Graph, Operator

FIXED: Final = 0
"""The class of the channels whose unit is 1."""


@dataclass(frozen=True, eq=False)
class Ties:
    """``classes[t][c]``: the class of channel c of tensor t; channels of a class share a unit.
    ``count`` classes, the first of which is ``FIXED``. Tensors that are not listed are fixed."""

    classes: Mapping[int, Integers]
    count: int

    def of(self, tensor: int, channels: int) -> Integers:
        """The classes of a tensor's channels."""
        return self.classes.get(tensor, np.zeros(channels, np.int64))


@dataclass
class _Elements:
    """Channels as numbers, and the pairs of them that are tied; 0 stands for a unit of 1."""

    graph: Graph
    first: dict[int, int] = field(default_factory=dict)
    count: int = 1
    left: list[Integers] = field(default_factory=list)
    right: list[Integers] = field(default_factory=list)

    def of(self, tensor: int) -> Integers:
        """The numbers of a tensor's channels; zeros for what is not an inner tensor."""
        shape = self.graph.tensors[tensor].shape
        channels = shape[-1] if shape else 1
        if tensor not in self.first:
            return np.zeros(channels, np.int64)
        return np.arange(self.first[tensor], self.first[tensor] + channels)

    def add(self, tensor: int) -> None:
        """An inner tensor."""
        self.first[tensor] = self.count
        shape = self.graph.tensors[tensor].shape
        self.count += shape[-1] if shape else 1

    def tie(self, left: Integers, right: Integers) -> None:
        """Element by element."""
        self.left.append(left)
        self.right.append(right)

    def fix(self, tensor: int) -> None:
        """Units of 1."""
        elements = self.of(tensor)
        self.tie(elements, np.zeros_like(elements))

    def labels(self) -> Integers:
        """The least number that each element is tied to."""
        labels = np.arange(self.count)
        if not self.left:
            return labels
        left, right = np.concatenate(self.left), np.concatenate(self.right)
        while True:
            least = np.minimum(labels[left], labels[right])
            before = labels.copy()
            # Both ends, and what they were tied to before.
            for ends in (left, right):
                np.minimum.at(labels, before[ends], least)
                np.minimum.at(labels, ends, least)
            labels = labels[labels]
            if np.array_equal(labels, before):
                return labels


Tie = Callable[[_Elements, Operator], bool]
"""Ties an operator's tensors; False if it can't, then they are fixed."""


def find_ties(graph: Graph, parts: Sequence[Sequence[int]]) -> Ties:
    """The ties in ``parts``, each a list of positions in ``graph.operators``."""
    elements = _Elements(graph)
    for part in parts:
        for tensor in inner_tensors(graph, part):
            elements.add(tensor)
    for part in parts:
        for position in part:
            operator = graph.operators[position]
            if is_layer(graph, operator):
                _fix_others(elements, operator)
            elif not _RULES.get(operator.kind, _never)(elements, operator):
                for tensor in (*operator.inputs, *operator.outputs):
                    if tensor >= 0:
                        elements.fix(tensor)
    roots, numbers = np.unique(elements.labels(), return_inverse=True)
    classes = {tensor: numbers[elements.of(tensor)].astype(np.int64) for tensor in elements.first}
    return Ties(MappingProxyType(classes), len(roots))


def inner_tensors(graph: Graph, part: Sequence[int]) -> list[int]:
    """Byte tensors that only operators of the part write and read."""
    chosen = set(part)
    made = {t for position in part for t in graph.operators[position].outputs}
    outside = set(graph.outputs)
    for position, operator in enumerate(graph.operators):
        if position not in chosen:
            outside.update(operator.inputs)
    return sorted(
        tensor
        for tensor in made - outside
        if graph.tensors[tensor].dtype in ("int8", "uint8")
        and graph.tensors[tensor].quantization is not None
        and len(graph.tensors[tensor].quantization.scales) == 1  # type: ignore[union-attr]
    )


def _fix_others(elements: _Elements, operator: Operator) -> None:
    """A layer's operands beside its image, which are constants, have no units; nor an image that
    is an operand twice."""
    image = operands(operator)[0]
    for tensor in operator.inputs:
        if tensor >= 0 and tensor != image:
            elements.fix(tensor)


def _never(elements: _Elements, operator: Operator) -> bool:
    return False


def _shape(elements: _Elements, tensor: int) -> tuple[int, ...]:
    return elements.graph.tensors[tensor].shape


def _clamps(operator: Operator) -> bool:
    """Whether a fused activation clamps elsewhere than at 0, where units would show."""
    activation = getattr(operator.options, "activation", Activation.NONE)
    return activation not in (Activation.NONE, Activation.RELU)


def _through(elements: _Elements, operator: Operator) -> bool:
    """Each channel by itself: u_out[c] = u_in[c]."""
    source, target = operator.inputs[0], operator.outputs[0]
    if _clamps(operator) or _shape(elements, source)[-1:] != _shape(elements, target)[-1:]:
        return False
    elements.tie(elements.of(source), elements.of(target))
    return True


def _sum(elements: _Elements, operator: Operator) -> bool:
    """Two tensors of one shape: u_a[c] = u_b[c] = u_out[c]."""
    shapes = {_shape(elements, t) for t in (*operator.inputs[:2], *operator.outputs)}
    constant = any(elements.graph.tensors[t].data is not None for t in operator.inputs[:2])
    if _clamps(operator) or len(shapes) != 1 or constant:
        return False
    for tensor in operator.inputs[:2]:
        elements.tie(elements.of(tensor), elements.of(operator.outputs[0]))
    return True


def _gate(elements: _Elements, operator: Operator) -> bool:
    """A tensor times a gate or constant: the tensor's units go through, the gate's are 1."""
    target = operator.outputs[0]
    whole = [t for t in operator.inputs[:2] if _shape(elements, t) == _shape(elements, target)]
    if _clamps(operator) or not whole or operator.inputs[0] == operator.inputs[1]:
        return False
    gate = next(t for t in operator.inputs[:2] if t != whole[0])
    elements.fix(gate)
    elements.tie(elements.of(whole[0]), elements.of(target))
    return True


def _mean(elements: _Elements, operator: Operator) -> bool:
    """Over other axes than the last."""
    axes = elements.graph.tensors[operator.inputs[1]].data
    rank = len(_shape(elements, operator.inputs[0]))
    if axes is None or (rank - 1) in {int(axis) % rank for axis in axes.reshape(-1)}:
        return False
    return _through(elements, operator)


def _padding(elements: _Elements, operator: Operator) -> bool:
    """Channels that are added are new and free: they hold the zero point."""
    amounts = elements.graph.tensors[operator.inputs[1]].data
    if amounts is None:
        return False
    before = int(amounts.reshape(-1, 2)[-1, 0])
    source = elements.of(operator.inputs[0])
    elements.tie(source, elements.of(operator.outputs[0])[before : before + len(source)])
    return True


def _concatenation(elements: _Elements, operator: Operator) -> bool:
    """Over channels one behind the other, over another axis all tied."""
    target = elements.of(operator.outputs[0])
    parts = [elements.of(tensor) for tensor in operator.inputs]
    if _clamps(operator):
        return False
    if all(len(part) == len(target) for part in parts):
        for part in parts:
            elements.tie(part, target)
        return True
    if sum(map(len, parts)) != len(target):
        return False
    elements.tie(np.concatenate(parts), target)
    return True


def _reshape(elements: _Elements, operator: Operator) -> bool:
    """The last dimension kept, or rows and columns laid into it: u_out[k] = u_in[k mod C]."""
    source, target = elements.of(operator.inputs[0]), elements.of(operator.outputs[0])
    if len(source) == 0 or len(target) % len(source):
        return False
    elements.tie(np.tile(source, len(target) // len(source)), target)
    return True


_RULES: Final[Mapping[str, Tie]] = MappingProxyType(
    {
        "ADD": _sum,
        "SUB": _sum,
        "MUL": _gate,
        "PAD": _padding,
        "MIRROR_PAD": _through,
        "MAX_POOL_2D": _through,
        "AVERAGE_POOL_2D": _through,
        "MEAN": _mean,
        "RESIZE_BILINEAR": _through,
        "RESIZE_NEAREST_NEIGHBOR": _through,
        "RELU": _through,
        "LEAKY_RELU": _through,
        "QUANTIZE": _through,
        "CONCATENATION": _concatenation,
        "RESHAPE": _reshape,
        "SQUEEZE": _reshape,
        "EXPAND_DIMS": _reshape,
    }
)
"""Operators without weights whose channels keep their units."""
