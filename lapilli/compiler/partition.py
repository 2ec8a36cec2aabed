"""Which operators form one submit: the NPU's share of a graph, cut as LiteRT cuts it.

LiteRT collects, again and again, all operators of one kind (NPU or not) whose inputs are ready, in
execution order. Cutting a model the same way gives programs with the parts the delegate will see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from lapilli.model.graph import Graph

OUTSIDE = -1
"""Stands for whoever reads the graph's outputs."""


@dataclass(frozen=True)
class Partition:
    """Operators (positions in ``graph.operators``) done by one processor without a break, and the
    tensors that enter and leave."""

    on_npu: bool
    operators: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def partition(graph: Graph, on_npu: Sequence[bool]) -> tuple[Partition, ...]:
    """All partitions in execution order; ``on_npu[i]`` tells where operator i belongs.

    The next one has the kind of the first operator whose inputs are ready, and all of that kind
    that are, or become so by it. Each operator and each input is looked at once.
    """
    readers = readers_of(graph)
    waiting = _waiting(graph)
    ready: tuple[list[int], list[int]] = ([], [])
    for i, count in enumerate(waiting):
        if count == 0:
            heappush(ready[on_npu[i]], i)
    made: set[int] = set()
    found = []
    while ready[False] or ready[True]:
        kind = not ready[False] or (bool(ready[True]) and ready[True][0] < ready[False][0])
        taken: list[int] = []
        while ready[kind]:
            taken.append(heappop(ready[kind]))
            for tensor in graph.operators[taken[-1]].outputs:
                if tensor in made:
                    continue
                made.add(tensor)
                for reader in readers.get(tensor, ()):
                    if reader == OUTSIDE:
                        continue
                    waiting[reader] -= 1
                    if waiting[reader] == 0:
                        heappush(ready[on_npu[reader]], reader)
        found.append(with_borders(graph, sorted(taken), kind, readers))
    assert not any(waiting), "the reader only lets graphs in executable order pass"
    return tuple(found)


def readers_of(graph: Graph) -> dict[int, list[int]]:
    """Tensor -> positions of the operators that read it, once for each time that they do, and
    ``OUTSIDE`` for an output of the graph."""
    readers: dict[int, list[int]] = {tensor: [OUTSIDE] for tensor in graph.outputs}
    for i, operator in enumerate(graph.operators):
        for tensor in operator.inputs:
            if tensor >= 0:
                readers.setdefault(tensor, []).append(i)
    return readers


def _waiting(graph: Graph) -> list[int]:
    """How many of its inputs each operator waits for."""
    produced = {t for operator in graph.operators for t in operator.outputs}
    return [sum(t in produced for t in operator.inputs) for operator in graph.operators]


def with_borders(
    graph: Graph,
    operators: Sequence[int],
    on_npu: bool = True,
    readers: Mapping[int, Sequence[int]] | None = None,
) -> Partition:
    """The partition made of ``operators``, with the tensors that cross its border. ``readers``: see
    ``readers_of``, for who makes many of one graph."""
    readers = readers_of(graph) if readers is None else readers
    chosen = set(operators)
    made = dict.fromkeys(t for i in operators for t in graph.operators[i].outputs)
    used = dict.fromkeys(t for i in operators for t in graph.operators[i].inputs if t >= 0)
    inputs = [t for t in used if t not in made and graph.tensors[t].data is None]
    # A result that nobody reads still is a result.
    outputs = [t for t in made if t not in used or any(i not in chosen for i in readers.get(t, ()))]
    return Partition(on_npu, tuple(operators), tuple(inputs), tuple(outputs))


def cut_out(
    graph: Graph, operators: Sequence[int], inputs: Iterable[int], outputs: Iterable[int]
) -> Graph:
    """A part as a graph of its own: the same tensors, ``operators`` (positions in
    ``graph.operators``) only, and the tensors that cross its border as inputs and outputs."""
    return replace(
        graph,
        operators=tuple(graph.operators[i] for i in operators),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
