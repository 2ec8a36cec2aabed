"""LEAKY_RELU."""

from __future__ import annotations

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function
from lapilli.compiler.operators.byte_function import RULES, lowering
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import LeakyRelu


def function_of(graph: Graph, operator: Operator) -> Function:
    """What the operator makes of a number."""
    options = operator.options
    return functions.leaky_relu(options.slope if isinstance(options, LeakyRelu) else 0.0)


RECORD = OperatorRecord(
    kinds=("LEAKY_RELU",),
    words="A look-up of every byte on the TP cores.",
    rules=RULES,
    lower=lowering(function_of),
    function=function_of,
)
