"""Which operators form one submit: the NPU's share of a graph, cut as LiteRT cuts it.

LiteRT collects, again and again, all operators of one kind (NPU or not) whose inputs are ready, in
execution order. Cutting a model the same way gives programs with the parts the delegate will see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lapilli.model.graph import Graph


@dataclass(frozen=True)
class Partition:
    """Operators (positions in ``graph.operators``) done by one processor without a break, and the
    tensors that enter and leave."""

    on_npu: bool
    operators: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def partition(graph: Graph, on_npu: Sequence[bool]) -> tuple[Partition, ...]:
    """All partitions in execution order; ``on_npu[i]`` tells where operator i belongs."""
    produced = {t for operator in graph.operators for t in operator.outputs}
    ready = {t.index for t in graph.tensors if t.index not in produced}
    left = list(range(len(graph.operators)))
    groups: list[tuple[bool, list[int]]] = []
    while left:
        kind: bool | None = None
        taken: list[int] = []
        progress = True
        while progress:
            progress = False
            for i in tuple(left):
                operator = graph.operators[i]
                if kind not in (None, on_npu[i]):
                    continue
                if all(t < 0 or t in ready for t in operator.inputs):
                    kind = on_npu[i]
                    taken.append(i)
                    left.remove(i)
                    ready.update(operator.outputs)
                    progress = True
        assert kind is not None, "the reader only lets graphs in executable order pass"
        groups.append((kind, taken))
    return tuple(with_borders(graph, sorted(taken), kind) for kind, taken in groups)


def with_borders(graph: Graph, operators: Sequence[int], on_npu: bool = True) -> Partition:
    """The partition made of ``operators``, with the tensors that cross its border."""
    chosen = set(operators)
    made = [t for i in operators for t in graph.operators[i].outputs]
    used = [t for i in operators for t in graph.operators[i].inputs if t >= 0]
    inputs = [t for t in used if t not in made and graph.tensors[t].data is None]
    needed = set(graph.outputs)
    for i, operator in enumerate(graph.operators):
        if i not in chosen:
            needed.update(operator.inputs)
    consumed = set(used)
    # A result that nobody reads still is a result.
    outputs = [t for t in made if t in needed or t not in consumed]
    return Partition(
        on_npu, tuple(operators), tuple(dict.fromkeys(inputs)), tuple(dict.fromkeys(outputs))
    )


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
