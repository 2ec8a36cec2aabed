"""The operators that the NPU takes: a line each."""

from __future__ import annotations

from lapilli.compiler.operators import (
    addition,
    average_pooling,
    bilinear,
    convolution,
    extremum,
    extremum_over,
    fully_connected,
    joining,
    leaky_relu,
    look_up,
    max_pooling,
    mean,
    mirror_padding,
    multiplication,
    nearest_neighbours,
    padding,
    pixel_blocks,
    powers,
    prelu,
    quantize,
    rectifiers,
    reshaping,
    sigmoids,
    signs,
    slicing,
    smooth_rectifiers,
    splitting,
    subtraction,
    transposed_convolution,
    transposing,
)
from lapilli.compiler.operators.record import OperatorRecord

RECORDS: tuple[OperatorRecord, ...] = (
    convolution.RECORD,
    addition.RECORD,
    subtraction.RECORD,
    padding.RECORD,
    mirror_padding.RECORD,
    quantize.RECORD,
    rectifiers.RECORD,
    leaky_relu.RECORD,
    prelu.RECORD,
    sigmoids.RECORD,
    smooth_rectifiers.RECORD,
    signs.RECORD,
    powers.RECORD,
    reshaping.RECORD,
    fully_connected.RECORD,
    average_pooling.RECORD,
    max_pooling.RECORD,
    mean.RECORD,
    multiplication.RECORD,
    extremum.RECORD,
    extremum_over.RECORD,
    joining.CONCATENATION,
    joining.PACK,
    *splitting.RECORDS,
    *slicing.RECORDS,
    nearest_neighbours.RECORD,
    *pixel_blocks.RECORDS,
    transposing.RECORD,
    bilinear.RECORD,
    *transposed_convolution.RECORDS,
)
MADE_HERE: tuple[OperatorRecord, ...] = (look_up.RECORD,)
"""Operators that no model has, but that fusions make."""
_MADE_HERE_BY_KIND = {kind: record for record in MADE_HERE for kind in record.kinds}
BY_KIND = {kind: record for record in RECORDS for kind in record.kinds}


def record_of(kind: str) -> OperatorRecord | None:
    """The record of an operator's kind (TFLite's name), or None if the NPU does not take it."""
    return BY_KIND.get(kind) or _MADE_HERE_BY_KIND.get(kind)
