"""QUANTIZE from one 8-bit type or scale to another."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.table_functions import Function, identity
from lapilli.compiler.operators.byte_function import (
    COMMON_RULES,
    lowering,
    quantization_of,
    table_exact,
)
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import eight_bit, quantised_per_tensor
from lapilli.model.graph import Graph, Operator


def _alike(graph: Graph, operator: Operator) -> bool:
    first, second = (quantization_of(graph, i) for i in (operator.inputs[0], operator.outputs[0]))
    return (first.scale, first.zero_point) == (second.scale, second.zero_point)


@relies_on(eight_bit, quantised_per_tensor)
def rescaled_exactly(case: Case) -> str | None:
    """A QUANTIZE must give every value the byte it has (the same scale, and zero points that differ
    as the types do), or a look-up table must give all 256 bytes to within 1 of the CPU.

    Remedy: Give the tensors on both sides the same scale.
    """
    return None if _alike(case.graph, case.operator) else table_exact(case)


def function_of(graph: Graph, operator: Operator) -> Function:
    """What the operator makes of a number."""
    return identity


_look_up = lowering(function_of)


def lower(builder: Builder, operator: Operator) -> None:
    """Nothing where both tensors are the same bytes; else a look-up."""
    if _alike(builder.graph, operator):
        builder.places[operator.outputs[0]] = builder.place(operator.inputs[0])
    else:
        _look_up(builder, operator)


RECORD = OperatorRecord(
    kinds=("QUANTIZE",),
    words=(
        "Nothing to do between the types, as int8 tensors lie in the NPU's memory as byte + 128; a "
        "look-up of every byte on the TP cores where the scale changes."
    ),
    rules=(*COMMON_RULES, rescaled_exactly),
    lower=lower,
    function=function_of,
)
