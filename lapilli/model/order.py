"""Whether the operators can run in their order."""

from __future__ import annotations

from lapilli.model.checks import described
from lapilli.model.flatbuffer import File, shown
from lapilli.model.graph import Graph


def check_order(file: File, graph: Graph, variables: frozenset[int]) -> None:
    """Raise unless the operators can run in their order, each tensor written once at most."""
    # TFLite gives tensors without elements no data, so nobody writes them.
    ready = {t.index for t in graph.tensors if t.data is not None or t.size == 0}
    written = {t.index for t in graph.tensors if t.data is not None} | set(graph.inputs)
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
            if index in written:
                found = f"output {described(graph.tensors[index])}, which has a value already"
                file.fail(where, found, "a tensor nothing else writes")
            written.add(index)
            ready.add(index)
    for index in graph.outputs:
        if index not in ready:
            found = f"output {described(graph.tensors[index])}, which nothing has written"
            file.fail("graph", found, "tensors that an operator writes, or its inputs")
