"""ABS and NEG."""

from __future__ import annotations

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function
from lapilli.compiler.operators.byte_function import RULES, lowering, quantization_of
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import quantised_per_tensor
from lapilli.compiler.unsigned import MIDDLE
from lapilli.model.graph import Graph, Operator


@relies_on(quantised_per_tensor)
def negated_in_place(case: Case) -> str | None:
    """A NEG must have the same scale on both sides and zero points of 0, as int8: LiteRT's kernel
    looks at neither.

    Remedy: Quantise symmetrically, with the same range on both sides.
    """
    if case.operator.kind != "NEG":
        return None
    ends = [quantization_of(case.graph, tensor.index) for tensor in (case.input(0), case.output())]
    pairs = [(end.scale, end.zero_point - MIDDLE) for end in ends]
    return None if pairs[0] == pairs[1] and pairs[0][1] == 0 else f"{pairs[0]} -> {pairs[1]}"


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
