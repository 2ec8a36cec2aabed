"""SLICE and STRIDED_SLICE: one piece of a tensor, or every so-manieth element of it."""

from __future__ import annotations

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import ImageSize
from lapilli.compiler.operators.cutting import Cut, cut_fits, cut_out
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.reshaping import reshape
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    moved_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import StridedSlice

SLICE = "SLICE"


def _numbers(graph: Graph, operator: Operator, position: int) -> list[int] | None:
    """A constant list with a number for each dimension of the tensor."""
    data = graph.tensors[operator.inputs[position]].data
    shape = graph.tensors[operator.inputs[0]].shape
    if data is None or data.dtype not in (np.int32, np.int64) or data.shape != (len(shape),):
        return None
    return [int(number) for number in data]


def _ranges(graph: Graph, operator: Operator) -> list[range] | None:
    """The elements taken along each of the tensor's dimensions; None if they are not known."""
    shape = graph.tensors[operator.inputs[0]].shape
    count = 2 if operator.kind == SLICE else 3
    lists = [_numbers(graph, operator, 1 + i) for i in range(count)]
    known = [numbers for numbers in lists if numbers is not None]
    if len(known) < count:
        return None
    if operator.kind == SLICE:
        pairs = zip(shape, known[0], known[1], strict=True)
        return [range(b, n if s == -1 else b + s) for n, b, s in pairs]
    options = operator.options
    if not isinstance(options, StridedSlice) or options.ellipsis_mask or options.new_axis_mask:
        return None
    return [
        _strided(options, i, extent, *(numbers[i] for numbers in known))
        for i, extent in enumerate(shape)
    ]


def _strided(
    options: StridedSlice, axis: int, extent: int, begin: int, end: int, stride: int
) -> range:
    """Along one dimension, as Python counts."""
    if options.shrink_axis_mask >> axis & 1:
        first = begin + extent if begin < 0 else begin
        return range(first, first + 1)
    if options.offset:
        end += begin
    chosen = slice(
        None if options.begin_mask >> axis & 1 else begin,
        None if options.end_mask >> axis & 1 else end,
        stride or None,
    )
    return range(*chosen.indices(extent))


def slice_constant(case: Case) -> str | None:
    """Begins, sizes or ends, and strides must be constant and say something of each dimension by
    its place (no ellipsis, no new axis).

    Remedy: Name all dimensions.
    """
    found = _ranges(case.graph, case.operator)
    return None if found is not None else "others"


def slice_inside(case: Case) -> str | None:
    """What is taken must lie inside the tensor, in rising order, and be as much as the output
    has."""
    ranges, shape = _ranges(case.graph, case.operator), case.input(0).shape
    assert ranges is not None
    for taken, extent in zip(ranges, shape, strict=True):
        if taken.step < 1 or len(taken) < 1 or taken[0] < 0 or taken[-1] >= extent:
            return f"{taken} of {extent}"
    counts = [len(taken) for taken in ranges if len(taken) > 1]
    target = case.output().shape
    if counts != [extent for extent in target if extent > 1]:
        return f"{[len(taken) for taken in ranges]} -> {list(target)}"
    return None


def slice_steps(case: Case) -> str | None:
    """Bytes between the rows, and between the pixels, that are taken must be fewer than 2^16."""
    rows, columns, channels = image_extents(case.input(0).shape)
    cut = _cut(case.graph, case.operator)
    return None if cut_fits(ImageSize(columns, rows, channels), cut) else f"steps {cut.step}"


def _cut(graph: Graph, operator: Operator) -> Cut:
    ranges = _ranges(graph, operator)
    assert ranges is not None
    taken = [*[range(1)] * (3 - len(ranges)), *ranges][-3:]
    rows, columns, channels = (r if len(r) > 1 else range(r[0], r[0] + 1) for r in taken)
    return Cut(
        (rows[0], columns[0], channels[0]),
        (len(rows), len(columns), len(channels)),
        (rows.step, columns.step, channels.step),
    )


def lower(builder: Builder, operator: Operator) -> None:
    """A view where the bytes lie together, else a copy."""
    source, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    piece = cut_out(builder, operator, source, _cut(builder.graph, operator))
    reshape(builder, piece, result)


def _record(kind: str, needed: int) -> OperatorRecord:
    return OperatorRecord(
        kinds=(kind,),
        words=(
            "Nothing where the piece's bytes lie together, as channels of planes and rows of NHWC "
            "do, else a copy on the TP cores."
        ),
        rules=(
            operands_present,
            operands_computed,
            eight_bit,
            batch_of_one,
            slice_constant,
            slice_inside,
            quantised_per_tensor,
            quantisation_stays,
            moved_size,
            slice_steps,
        ),
        lower=lower,
        needed=needed,
    )


RECORDS = (_record(SLICE, 3), _record("STRIDED_SLICE", 4))
