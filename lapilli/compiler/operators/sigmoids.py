"""LOGISTIC and TANH."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function
from lapilli.compiler.operators.byte_function import RULES, lowering
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.model.graph import Graph, Operator

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "LOGISTIC": functions.logistic,
        "TANH": functions.tanh,
    }
)


def function_of(graph: Graph, operator: Operator) -> Function:
    """What the operator makes of a number."""
    return FUNCTIONS[operator.kind]


RECORD = OperatorRecord(
    kinds=tuple(FUNCTIONS),
    words="A look-up of every byte on the TP cores.",
    rules=RULES,
    lower=lowering(function_of),
    function=function_of,
)
