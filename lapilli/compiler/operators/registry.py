"""The operators that the NPU takes: a line each."""

from __future__ import annotations

from lapilli.compiler.operators import (
    addition,
    convolution,
    leaky_relu,
    padding,
    powers,
    prelu,
    quantize,
    rectifiers,
    sigmoids,
    signs,
    smooth_rectifiers,
    subtraction,
)
from lapilli.compiler.operators.record import OperatorRecord

RECORDS: tuple[OperatorRecord, ...] = (
    convolution.RECORD,
    addition.RECORD,
    subtraction.RECORD,
    padding.RECORD,
    quantize.RECORD,
    rectifiers.RECORD,
    leaky_relu.RECORD,
    prelu.RECORD,
    sigmoids.RECORD,
    smooth_rectifiers.RECORD,
    signs.RECORD,
    powers.RECORD,
)
BY_KIND = {kind: record for record in RECORDS for kind in record.kinds}


def record_of(kind: str) -> OperatorRecord | None:
    """The record of an operator's kind (TFLite's name), or None if the NPU does not take it."""
    return BY_KIND.get(kind)
