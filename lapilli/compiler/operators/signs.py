"""ABS and NEG."""

from __future__ import annotations

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function
from lapilli.compiler.operators import cpu_range
from lapilli.compiler.operators.byte_function import RULES, lowering
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import quantised_per_tensor
from lapilli.model.graph import Graph, Operator


@relies_on(quantised_per_tensor)
def negated_in_place(case: Case) -> str | None:
    """A NEG must have the same scale on both sides and zero points of 0, as int8: LiteRT's kernel
    looks at neither.

    Remedy: Quantise symmetrically, with the same range on both sides.
    """
    return cpu_range.elsewhere(case.graph, case.operator) if case.operator.kind == "NEG" else None


def function_of(graph: Graph, operator: Operator) -> Function:
    """What the operator makes of a number."""
    return functions.negative if operator.kind == "NEG" else functions.absolute


RECORD = OperatorRecord(
    kinds=("ABS", "NEG"),
    words=(
        "A look-up of every byte on the TP cores; the negative of -128 is 127 (LiteRT's is -128)."
    ),
    rules=(*RULES, negated_in_place),
    lower=lowering(function_of),
    function=function_of,
)
