"""SPLIT, SPLIT_V and UNPACK: several pieces of one tensor."""

from __future__ import annotations

import math

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.operators.cutting import Cut, cut_out
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
from lapilli.model.options import Stack

SPLIT, SPLIT_V, UNPACK = "SPLIT", "SPLIT_V", "UNPACK"
IMAGE = {SPLIT: 1, SPLIT_V: 0, UNPACK: 0}
"""Position of the tensor that is cut."""
AXIS = {SPLIT: 0, SPLIT_V: 2}
"""Position of the axis."""


def _axis(graph: Graph, operator: Operator) -> int | None:
    """The axis among the tensor's own; None if it is not known, or no axis of it."""
    rank = len(graph.tensors[operator.inputs[IMAGE[operator.kind]]].shape)
    if operator.kind == UNPACK:
        if not isinstance(operator.options, Stack):
            return None
        axis = operator.options.axis
    else:
        data = graph.tensors[operator.inputs[AXIS[operator.kind]]].data
        if data is None or data.size != 1 or data.dtype != np.int32:
            return None
        axis = int(data.reshape(-1)[0])
    return axis % rank if -rank <= axis < rank else None


def split_axis(case: Case) -> str | None:
    """The axis must be constant: rows, columns or channels.

    Remedy: Cut along another axis than the batch.
    """
    axis = _axis(case.graph, case.operator)
    if axis is None:
        return "an axis that is no constant number of the tensor's dimensions"
    shape = case.images_in[0].shape
    return None if axis + 4 - len(shape) > 0 else f"axis {axis} of {list(shape)}"


def pieces_add_up(case: Case) -> str | None:
    """The pieces' extents must be the tensor's, along the axis they add up to it."""
    source, axis = case.images_in[0].shape, _axis(case.graph, case.operator)
    assert axis is not None
    total = 0
    for tensor in case.outputs:
        shape = list(tensor.shape)
        if case.operator.kind == UNPACK:
            shape.insert(axis, 1)
        if len(shape) != len(source):
            return f"{list(source)} -> {list(tensor.shape)}"
        total += shape[axis]
        shape[axis] = source[axis]
        if tuple(shape) != source:
            return f"{list(source)} -> {list(tensor.shape)}"
    return None if total == source[axis] else f"{total} elements of {source[axis]}"


def lower(builder: Builder, operator: Operator) -> None:
    """Channels are views of the tensor's planes, rows of its NHWC bytes; others are copied."""
    tensor, axis = operator.inputs[IMAGE[operator.kind]], _axis(builder.graph, operator)
    assert axis is not None
    shape = builder.graph.tensors[tensor].shape
    source, extents = builder.place(tensor), image_extents(shape)
    along = axis + 3 - len(shape)
    each = math.prod(extents) // extents[along]
    done = 0
    for output in operator.outputs:
        result = builder.place(output)
        count = result.size.plane * result.size.channels // each
        first, counts = [0, 0, 0], list(extents)
        first[along], counts[along] = done, count
        cut = Cut((first[0], first[1], first[2]), (counts[0], counts[1], counts[2]))
        reshape(builder, cut_out(builder, operator, source, cut), result)
        done += count


def _record(kind: str, words: str, needed: int) -> OperatorRecord:
    return OperatorRecord(
        kinds=(kind,),
        words=words,
        rules=(
            operands_present,
            operands_computed,
            eight_bit,
            batch_of_one,
            split_axis,
            pieces_add_up,
            quantised_per_tensor,
            quantisation_stays,
            moved_size,
        ),
        lower=lower,
        images=(IMAGE[kind],),
        needed=needed,
        outputs=None,
    )


_WORDS = (
    "Nothing where the pieces' bytes lie together, as channels of planes and rows of NHWC do, else "
    "copies on the TP cores."
)
RECORDS = (
    _record(SPLIT, _WORDS, 2),
    _record(SPLIT_V, _WORDS, 3),
    _record(UNPACK, "As SPLIT into pieces of one element, without the axis.", 1),
)
