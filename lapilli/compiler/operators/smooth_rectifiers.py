"""ELU, GELU and HARD_SWISH: rectifiers without a corner at 0."""

from __future__ import annotations

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function
from lapilli.compiler.operators.byte_function import RULES, lowering
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import Gelu


def function_of(graph: Graph, operator: Operator) -> Function:
    """What the operator makes of a number."""
    if operator.kind == "ELU":
        return functions.elu
    if operator.kind == "HARD_SWISH":
        return functions.hard_swish
    options = operator.options
    by_tanh = isinstance(options, Gelu) and options.approximate
    return functions.gelu_by_tanh if by_tanh else functions.gelu


RECORD = OperatorRecord(
    kinds=("ELU", "GELU", "HARD_SWISH"),
    words="A look-up of every byte on the TP cores.",
    rules=RULES,
    lower=lowering(function_of),
    function=function_of,
)
