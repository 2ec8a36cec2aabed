"""The operators that the NPU takes: a line each."""

from __future__ import annotations

from lapilli.compiler.operators import addition, convolution, padding, quantize, subtraction
from lapilli.compiler.operators.record import OperatorRecord

RECORDS: tuple[OperatorRecord, ...] = (
    convolution.RECORD,
    addition.RECORD,
    subtraction.RECORD,
    padding.RECORD,
    quantize.RECORD,
)
BY_KIND = {kind: record for record in RECORDS for kind in record.kinds}


def record_of(kind: str) -> OperatorRecord | None:
    """The record of an operator's kind (TFLite's name), or None if the NPU does not take it."""
    return BY_KIND.get(kind)
