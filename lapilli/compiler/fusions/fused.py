"""What becomes of a graph when operators are done by others' jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from lapilli.model.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Fused:
    """``graph``: the same tensors with the same values, of fewer operators; further constants may
    stand behind the last tensor. ``folded``: operator (index in the .tflite) that is not there any
    more -> the one whose jobs do its work. ``gone``: tensors that nobody makes any more.
    ``members``: operator that was changed -> all whose work it does, those with other readers, too.
    """

    graph: Graph
    folded: Mapping[int, int] = field(default_factory=dict)
    gone: frozenset[int] = frozenset()
    members: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def together(self, index: int) -> tuple[int, ...]:
        """The operators that give what operator ``index``, or the one it is folded into, gives now:
        indices in the .tflite, in order."""
        done_by = self.folded.get(index, index)
        return tuple(sorted(self.members.get(done_by, {done_by})))


@dataclass(frozen=True)
class Replacement:
    """``operator`` in place of the one at ``position``. It does the work of those at ``members``,
    too: they go if nobody else needs what they make, or if ``operator`` makes it."""

    position: int
    operator: Operator
    members: tuple[int, ...]


def consumers(graph: Graph) -> dict[int, list[int]]:
    """Tensor -> positions of the operators that read it."""
    found: dict[int, list[int]] = {}
    for position, operator in enumerate(graph.operators):
        for tensor in dict.fromkeys(operator.inputs):
            found.setdefault(tensor, []).append(position)
    return found


def private(graph: Graph, readers: Mapping[int, list[int]], tensor: int, own: set[int]) -> bool:
    """Whether none but the operators at the positions ``own`` needs the tensor."""
    return tensor not in graph.outputs and own.issuperset(readers.get(tensor, ()))


def replaced(before: Fused, graph: Graph, changes: Collection[Replacement]) -> Fused:
    """``graph`` (the one of ``before``, perhaps with more tensors) with the changes, without the
    operators that are not needed any more."""
    operators: list[Operator | None] = list(graph.operators)
    doer: dict[int, int] = {}
    made_anew: set[int] = set()
    members = dict(before.members)
    for change in changes:
        parts = [graph.operators[i].index for i in (*change.members, change.position)]
        all_parts = frozenset().union(*(members.get(i, frozenset({i})) for i in parts))
        members[change.operator.index] = all_parts | {change.operator.index}
        operators[change.position] = change.operator
        doer |= dict.fromkeys(change.members, change.operator.index)
        made_anew.update(change.operator.outputs)
    needed = set(graph.outputs)
    folded = dict(before.folded)
    for position in range(len(operators) - 1, -1, -1):
        operator = operators[position]
        assert operator is not None
        left = needed.intersection(operator.outputs)
        elsewhere = position in doer and operator.index != doer[position] and left <= made_anew
        if position in doer and (elsewhere or not left):
            operators[position] = None
            _fold(folded, operator.index, doer[position])
        else:
            needed.update(operator.inputs)
    kept = tuple(operator for operator in operators if operator is not None)
    made = {tensor for operator in kept for tensor in operator.outputs}
    lost = {t for operator in graph.operators for t in operator.outputs} - made
    return Fused(replace(graph, operators=kept), folded, before.gone | lost, members)


def _fold(folded: dict[int, int], index: int, into: int) -> None:
    """Note it, also for what was folded into ``index`` before."""
    into = folded.get(into, into)
    for other, doer in folded.items():
        if doer == index:
            folded[other] = into
    folded[index] = into
