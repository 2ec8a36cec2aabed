"""MIRROR_PAD: larger images whose borders repeat the image, turned round."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import moves
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.padding import (
    IMAGE,
    amounts_of,
    pad_amounts,
    pad_keeps_values,
    pad_shapes_agree,
)
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Operator
from lapilli.model.options import MirrorPadding

MOST_LINES = 64
"""Lines of border; each is an instruction."""


def mirrored_lines(case: Case) -> str | None:
    """The border must be no wider than the image it repeats, and may have at most 64 rows, columns
    and channels together; planes that are repeated have fewer than 2^16 elements."""
    amounts, shape = amounts_of(case.graph, case.operator), case.input(IMAGE).shape
    options = case.operator.options
    assert amounts is not None
    if not isinstance(options, MirrorPadding):
        return "no options"
    found = f"paddings {[list(pair) for pair in amounts]} of {list(shape)}"
    rows, columns, _ = image_extents(case.output().shape)
    planes_fit = amounts[-1] == (0, 0) or moves.fits(rows * columns)
    if sum(map(sum, amounts)) > MOST_LINES or not planes_fit:
        return found
    most = [extent - (0 if options.symmetric else 1) for extent in shape]
    fits = all(max(pair) <= limit for pair, limit in zip(amounts, most, strict=True))
    return None if fits else found


def lower(builder: Builder, operator: Operator) -> None:
    """For each axis that is padded, copies of the planes and of the lines of their border."""
    options = operator.options
    assert isinstance(options, MirrorPadding)
    amounts = amounts_of(builder.graph, operator)
    assert amounts is not None
    rows, columns, channels = [*[(0, 0)] * 3, *amounts][-3:]
    size, result = builder.place(operator.inputs[IMAGE]).size, builder.place(operator.outputs[0])
    view = builder.planar(operator.inputs[IMAGE], operator.index)
    extra = 0 if options.symmetric else 1
    made = size.columns + sum(columns)
    steps = (
        (columns, size.channels * size.rows, size.columns, 1),
        (rows, size.channels, size.rows, made),
        (channels, 1, size.channels, made * (size.rows + sum(rows))),
    )
    for sides, outer, extent, inner in steps:
        if sides != (0, 0):
            view = mirrored(builder, operator, view, sides, (outer, extent, inner), extra)
    result.planar = view


def mirrored(
    builder: Builder,
    operator: Operator,
    view: View,
    sides: tuple[int, int],
    shape: tuple[int, int, int],
    extra: int,
) -> View:
    """``shape``: (outer, extent, inner) with the border along the middle axis; ``extra``: lines at
    the image's edge that the border begins behind."""
    outer, extent, inner = shape
    before, behind = sides
    made = before + extent + behind
    target = builder.store(outer * made * inner)
    lines = [(i, before - 1 - i + extra, 1) for i in range(before)]
    lines += [(before + extent + i, extent - 1 - extra - i, 1) for i in range(behind)]
    pieces = [
        Piece(
            columns=inner,
            rows=count,
            planes=min(outer - run, moves.FIELD_MAXIMUM),
            source_row=inner,
            source_plane=extent * inner,
            target_column=1,
            target_row=inner,
            target_plane=made * inner,
            source_offset=(run * extent + source) * inner,
            target_offset=(run * made + place) * inner,
        )
        for place, source, count in ((before, 0, extent), *lines)
        for run in range(0, outer, moves.FIELD_MAXIMUM)
    ]
    builder.copy_pieces(operator, view, target, pieces)
    return target


RECORD = OperatorRecord(
    kinds=("MIRROR_PAD",),
    words="Copies on the TP cores of the image and of the lines of its border.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        pad_amounts,
        quantised_per_tensor,
        pad_shapes_agree,
        pad_keeps_values,
        mirrored_lines,
        image_size,
    ),
    lower=lower,
    needed=2,
)
