"""Functions of one byte in a row become one look-up: x * LOGISTIC(x), x * relu6(x + 3) / 6, ...

Whatever leads from a tensor to another one of its shape element by element, by way of constant
numbers only, is a function of one byte, however many operators it takes. All 256 bytes are sent
through those operators, as XNNPACK and TFLite's reference kernels compute them; if a table gives
both results to within 1, it takes their place. Where a value between lies halfway between two bytes
it may be rounded either way: then both results count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from lapilli.compiler.encode import tables
from lapilli.compiler.encode.tables import Table
from lapilli.compiler.every_byte import every_byte
from lapilli.compiler.fusions.elementwise import is_elementwise, real_bytes
from lapilli.compiler.fusions.fused import Fused, Replacement, consumers, private, replaced
from lapilli.compiler.fusions.ties import other_roundings, rounded_once
from lapilli.compiler.judge import judge
from lapilli.compiler.operators import cpu_range, look_up
from lapilli.compiler.operators.registry import record_of
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator, Tensor
from lapilli.program.program import Bytes

MOST_OPERATORS = 16
"""That become one."""


@dataclass(frozen=True)
class Span:
    """Operators, by their positions, that lead from the bytes of tensor ``root`` alone to the
    result of the last one. ``inner``: tensors between."""

    root: int
    members: tuple[int, ...]
    inner: frozenset[int]


@dataclass(frozen=True, eq=False)
class _Search:
    """A graph, with what is asked of it again and again. ``excluded``: positions of operators that
    stay as they are."""

    graph: Graph
    chip: Chip
    producers: Mapping[int, int]
    readers: Mapping[int, list[int]]
    elementwise: frozenset[int]


def byte_functions(before: Fused, chip: Chip, excluded: Collection[int]) -> Fused:
    """The graph with look-ups in place of functions of a byte. ``excluded``: indices of operators
    that stay as they are."""
    graph = before.graph
    search = _Search(
        graph,
        chip,
        {t: i for i, operator in enumerate(graph.operators) for t in operator.outputs},
        consumers(graph),
        frozenset(
            i
            for i, operator in enumerate(graph.operators)
            if operator.index not in excluded
            and is_elementwise(graph, operator)
            and _in_range(graph, operator)
        ),
    )
    changes: list[Replacement] = []
    tensors = list(graph.tensors)
    done: set[int] = set()
    for position in sorted(search.elementwise, reverse=True):
        if position in done:
            continue
        for span in _wanted(search, position):
            found = _table(graph, span)
            if found is not None:
                changes.append(_replacement(tensors, graph.operators[position], span, *found))
                done |= _absorbed(search, span)
                break
    if not changes:
        return before
    return replaced(before, replace(graph, tensors=tuple(tensors)), changes)


def _in_range(graph: Graph, operator: Operator) -> bool:
    """The CPU has bits for all that the operator computes, and looks at its scales."""
    record = record_of(operator.kind)
    function = None
    if record is not None and record.function is not None:
        function = record.function(graph, operator)
    if operator.kind == "NEG" and cpu_range.elsewhere(graph, operator) is not None:
        return False
    return cpu_range.beyond(graph, operator, function) is None


def spans(search: _Search, position: int) -> Iterator[Span]:
    """Ways to see an operator's result as a function of one byte, the nearest first."""
    graph = search.graph
    members, inner = {position}, set[int]()
    open_ends = _computed(graph, graph.operators[position])
    while len(members) <= MOST_OPERATORS:
        if len(open_ends) == 1:
            (root,) = open_ends
            yield Span(root, tuple(sorted(members)), frozenset(inner))
        # What is made last can't be what the others come from.
        last = max(open_ends, key=lambda tensor: search.producers.get(tensor, -1))
        producer = search.producers.get(last, -1)
        if producer not in search.elementwise:
            return
        members.add(producer)
        inner.add(last)
        open_ends = (open_ends - {last}) | _computed(graph, graph.operators[producer])


def _computed(graph: Graph, operator: Operator) -> set[int]:
    return {tensor for tensor in operator.inputs if graph.tensors[tensor].data is None}


def _wanted(search: _Search, position: int) -> Iterator[Span]:
    """The spans that are worth a look-up, the best first: those whose inner tensors nobody else
    needs, the longest first; else the shortest, if the NPU would not take the operator itself or
    not in a single job."""
    graph, operator = search.graph, search.graph.operators[position]
    found = list(spans(search, position))
    own = [span for span in found if _is_private(search, span)]
    yield from (span for span in reversed(own) if len(span.members) > 1)
    if found and (_of_two_tensors(operator, graph) or not _taken(search, position)):
        nearest = found[0]
        if nearest not in own or len(nearest.members) == 1:
            others = [i for i in nearest.members if i != position]
            if all(_taken(search, i) for i in others):
                yield nearest


def _taken(search: _Search, position: int) -> bool:
    return judge(search.graph, search.graph.operators[position], search.chip).supported


def _of_two_tensors(operator: Operator, graph: Graph) -> bool:
    """A product of two computed operands takes several jobs (``operators/products.py``)."""
    return operator.kind == "MUL" and all(graph.tensors[i].data is None for i in operator.inputs)


def _is_private(search: _Search, span: Span) -> bool:
    own = set(span.members)
    return all(private(search.graph, search.readers, tensor, own) for tensor in span.inner)


def _absorbed(search: _Search, span: Span) -> set[int]:
    """Members that are not needed for anything else."""
    return set(span.members) if _is_private(search, span) else {span.members[-1]}


def _table(graph: Graph, span: Span) -> tuple[Table, Bytes] | None:
    """The table for a span, and the bytes it is to give; None if there is no good one."""
    operators = [graph.operators[i] for i in span.members]
    result = operators[-1].outputs[0]
    first, last = graph.tensors[span.root].quantization, graph.tensors[result].quantization
    assert first is not None and last is not None
    try:
        reference = every_byte(graph, operators, span.root, result)
    except Unsupported:
        return None
    values = rounded_once(graph, operators, span.root)
    others = other_roundings(graph, operators, values, span.root)
    target = real_bytes(graph, operators, span.root, result)
    table = tables.fit(target, first.zero_point, last.zero_point, values[result])
    rights = (values[result], reference, *others)
    good = all(tables.judge(table, right).usable for right in rights)
    return (table, values[result]) if good else None


def _replacement(
    tensors: list[Tensor], operator: Operator, span: Span, table: Table, wanted: Bytes
) -> Replacement:
    """The look-up; its constants are appended to ``tensors``."""
    constants = []
    for name, data in (("words", table.words), ("bytes", wanted)):
        number = len(tensors)
        tensors.append(Tensor(number, f"look-up {name}", data.shape, data.dtype.name, data=data))
        constants.append(number)
    inputs = (span.root, *constants)
    made = Operator(operator.index, look_up.KIND, inputs, operator.outputs)
    others = tuple(i for i in span.members if i != span.members[-1])
    return Replacement(span.members[-1], made, others)
