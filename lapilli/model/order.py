"""Whether the operators can run in their order."""

from __future__ import annotations

from lapilli.model.checks import described
from lapilli.model.flatbuffer import File, shown
from lapilli.model.graph import Graph


def check_order(file: File, graph: Graph, variables: frozenset[int]) -> None:
    """Raise unless the operators can run in their order, and none writes a constant. Whether a
    tensor has one value only, ``rewritten`` tells."""
    # TFLite gives tensors without elements no data, so nobody writes them.
    ready = {t.index for t in graph.tensors if t.data is not None or t.size == 0}
    constant = {t.index for t in graph.tensors if t.data is not None}
    ready.update(variables, graph.inputs)
    ready.add(-1)
    for operator in graph.operators:
        where = f"operator {operator.index} {shown(operator.kind)}"
        for index in operator.inputs:
            if index not in ready:
                found = f"input {described(graph.tensors[index])}, which nothing has written"
                file.fail(
                    where, found, "constants, graph inputs, variables, outputs of operators before"
                )
        for index in operator.outputs:
            if index in constant:
                found = f"output {described(graph.tensors[index])}, which is constant"
                file.fail(where, found, "a tensor without a value of its own")
            ready.add(index)
    for index in graph.outputs:
        if index not in ready:
            found = f"output {described(graph.tensors[index])}, which nothing has written"
            file.fail("graph", found, "tensors that an operator writes, or its inputs")


def rewritten(graph: Graph) -> frozenset[int]:
    """Tensors that have more than one value while the model runs: two operators write them, or one
    writes what another has read before, of an input or a variable. Their readers depend on the
    order. A runtime does not tell a delegate which tensors are inputs, so that doesn't count."""
    seen: set[int] = set()
    found: set[int] = set()
    for operator in graph.operators:
        seen.update(index for index in operator.inputs if index >= 0)
        for index in operator.outputs:
            if index in seen:
                found.add(index)
            seen.add(index)
    return frozenset(found)
