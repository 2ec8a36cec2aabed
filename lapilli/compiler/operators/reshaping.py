"""RESHAPE, SQUEEZE and EXPAND_DIMS: the same bytes under another shape."""

from __future__ import annotations

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    byte_count,
    eight_bit,
    no_empty_dimension,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.graph import Operator


def elements_stay(case: Case) -> str | None:
    """Both shapes must have the same number of elements, and both tensors the same scale and zero
    point."""
    source, target = case.input(0), case.output()
    if source.size != target.size:
        return f"{list(source.shape)} -> {list(target.shape)}"
    first, second = source.quantization, target.quantization
    assert first is not None and second is not None
    pairs = [(q.scale, q.zero_point) for q in (first, second)]
    return None if pairs[0] == pairs[1] else f"{pairs[0]} -> {pairs[1]}"


def lower(builder: Builder, operator: Operator) -> None:
    """Nothing is done here: NHWC bytes are the same under any shape, planes as long as the number
    of channels stays; else whoever needs NHWC bytes has them moved."""
    source, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    reshape(builder, source, result)


def reshape(builder: Builder, source: Place, result: Place) -> None:
    """Let ``result`` be ``source`` under its own shape."""
    result.nhwc = source.nhwc
    if result.nhwc is None and source.planar is not None and builder.same_bytes(source.size):
        result.nhwc = source.planar
    if source.size.channels == result.size.channels:
        result.planar = source.planar
    if result.nhwc is None and result.planar is None:
        result.reshaped = source.reshaped or (_planes(source), source.size)


def _planes(place: Place) -> View:
    assert place.planar is not None
    return place.planar


RECORD = OperatorRecord(
    kinds=("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    words=(
        "Nothing where bytes stay; planes whose number changes are first moved back by the TP "
        "cores, unless a fully connected layer takes them as they are."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        no_empty_dimension,
        quantised_per_tensor,
        elements_stay,
        byte_count,
    ),
    lower=lower,
)
