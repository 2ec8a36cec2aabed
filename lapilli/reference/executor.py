"""Runs a graph's operators in order on a batch of samples. Read this file first.

    values = execute(graph, {input: array}, keep=[tensor, ...])

Arrays have the shape [samples, *tensor.shape]: a batch of a model's own (the first dimension of its
tensors) is kept apart from the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lapilli.errors import ModelError, Unsupported
from lapilli.model.graph import Graph, Operator, Tensor
from lapilli.reference.arithmetic import Array
from lapilli.reference.node import Node, Rounding
from lapilli.reference.registry import KERNELS


def execute(
    graph: Graph,
    inputs: Mapping[int, Array],
    keep: Iterable[int] | None = None,
    rounding: Rounding = Rounding.TFLITE,
    watch: Callable[[Node, tuple[Array, ...]], None] | None = None,
    operators: Sequence[int] | None = None,
    change: Callable[[Node], Node] | None = None,
) -> dict[int, Array]:
    """The values of ``keep`` (by default the graph's outputs), by tensor index.

    ``inputs``: values of tensors that no operator of ``operators`` makes, [samples, *shape], of the
    tensor's type. ``operators``: positions of those to run, by default all that are needed.
    ``change`` may give another node in an operator's place, ``watch`` is called behind each with
    what ran and its results. Values live as long as somebody still needs them. Raises Unsupported
    for what no kernel here does, ModelError if a needed input is missing or of another shape or
    type.
    """
    wanted = set(graph.outputs if keep is None else keep)
    chosen = _needed(graph, wanted, set(inputs)) if operators is None else list(operators)
    values: dict[int, Array] = {}
    for index, value in inputs.items():
        values[index] = _checked(graph.tensors[index], value)
    last = _last_uses(graph, chosen)
    for position in chosen:
        operator = graph.operators[position]
        node = node_of(graph, operator, values, rounding)
        if change is not None:
            node = change(node)
        results = run(node)
        if watch is not None:
            watch(node, results)
        values.update(zip(operator.outputs, results, strict=True))
        for index in {*operator.inputs, *operator.outputs}:
            if last.get(index, position) <= position and index not in wanted:
                values.pop(index, None)
    return {index: _value(graph, values, index) for index in wanted}


def node_of(
    graph: Graph,
    operator: Operator,
    values: Mapping[int, Array],
    rounding: Rounding = Rounding.TFLITE,
) -> Node:
    """An operator with the values of its inputs; ModelError if one is missing."""
    present = [index if index >= 0 else None for index in operator.inputs]
    return Node(
        operator,
        tuple(None if index is None else graph.tensors[index] for index in present),
        tuple(graph.tensors[index] for index in operator.outputs),
        tuple(None if index is None else _value(graph, values, index) for index in present),
        rounding,
    )


def run(node: Node) -> tuple[Array, ...]:
    """The operator's results; Unsupported if no kernel does it."""
    kernel = KERNELS.get(node.operator.kind)
    if kernel is None:
        raise Unsupported(
            f"operator {node.operator.index} {node.operator.kind}: no reference for this kind"
        )
    results = kernel(node)
    for tensor, result in zip(node.outputs, results, strict=True):
        if result.shape[1:] != tensor.shape or result.dtype.name != tensor.dtype:
            raise ModelError(
                f"operator {node.operator.index} {node.operator.kind}: found "
                f"{result.dtype} {list(result.shape[1:])}; the model says {tensor.name!r} is "
                f"{tensor.dtype} {list(tensor.shape)}"
            )
    return results


def _checked(tensor: Tensor, value: Array) -> Array:
    if value.shape[1:] != tensor.shape or value.dtype.name != tensor.dtype:
        raise ModelError(
            f"input {tensor.name!r}: found {value.dtype} {list(value.shape)}; allowed: "
            f"{tensor.dtype} [samples, {', '.join(map(str, tensor.shape))}]"
        )
    return value


def _value(graph: Graph, values: Mapping[int, Array], index: int) -> Array:
    """A computed value, or a constant as one sample."""
    if index in values:
        return values[index]
    data = graph.tensors[index].data
    if data is None:
        raise ModelError(f"tensor {graph.tensors[index].name!r} has no value")
    return np.asarray(data)[None]


def _needed(graph: Graph, wanted: set[int], given: set[int]) -> list[int]:
    """Positions of the operators that lead from what is given to what is wanted."""
    needed = set(wanted) - given
    chosen = []
    for position in range(len(graph.operators) - 1, -1, -1):
        operator = graph.operators[position]
        if needed.isdisjoint(operator.outputs):
            continue
        chosen.append(position)
        needed.update(index for index in operator.inputs if index >= 0 and index not in given)
    return chosen[::-1]


def _last_uses(graph: Graph, chosen: Sequence[int]) -> dict[int, int]:
    """Tensor -> position of the last chosen operator that reads it."""
    return {index: position for position in chosen for index in graph.operators[position].inputs}
