"""Operands that are smaller than the result: TP jobs repeat them."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import moves
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import ImageSize, View
from lapilli.compiler.operators import by_constant
from lapilli.compiler.operators.record import Case, relies_on
from lapilli.compiler.operators.rules import no_empty_dimension, operands_present
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Operator


@relies_on(operands_present, no_empty_dimension)
def shapes_broadcast(case: Case) -> str | None:
    """Operands that are not constant numbers must have the result's shape, or an extent of 1 where
    the result has more; then a plane of the result has fewer than 2^16 elements.

    Remedy: Repeat the smaller operand to the larger one's shape when the model is built.
    """
    target = case.output().shape
    found = " and ".join(str(list(tensor.shape)) for tensor in case.images_in)
    wanted = image_extents(target)
    numbers = by_constant.constant_position(case.graph, case.operator)
    for position, tensor in enumerate(case.images_in):
        if position == numbers or tensor.shape == target:
            continue
        extents = image_extents(tensor.shape)
        pairs = list(zip(extents, wanted, strict=True))
        fits = moves.fits(wanted[0] * wanted[1])
        if len(tensor.shape) > len(target) or not fits or any(a not in (1, b) for a, b in pairs):
            return f"{found} -> {list(target)}"
    return None


def repeated(builder: Builder, operator: Operator, tensor: int, size: ImageSize) -> View:
    """The tensor's planes, repeated to an image of ``size``."""
    view = builder.planar(tensor, operator.index)
    return repeated_planes(builder, operator, view, builder.place(tensor).size, size)


def repeated_planes(
    builder: Builder, operator: Operator, view: View, have: ImageSize, size: ImageSize
) -> View:
    """Planes of an image of size ``have``, which has as many rows, columns and channels as ``size``
    or one, repeated."""
    columns = have.columns
    if columns != size.columns:
        view = _repeat(builder, operator, view, have.channels * have.rows, size.columns, 1)
        columns = size.columns
    if have.rows != size.rows:
        view = _repeat(builder, operator, view, have.channels, size.rows, columns)
    if have.channels != size.channels:
        view = _repeat(builder, operator, view, 1, size.channels, size.plane)
    return view


def _repeat(
    builder: Builder, operator: Operator, view: View, outer: int, count: int, inner: int
) -> View:
    """``outer`` runs of ``inner`` bytes, each ``count`` times: every job makes of what there is as
    many copies as there are cores, at least two."""
    have, ways = 1, max(builder.chip.tp_cores, 2)
    while have < count:
        more = min(have * ways, count)
        target = builder.store(outer * more * inner)
        pieces = [
            Piece(
                columns=inner,
                rows=min(have, more - first),
                planes=min(outer - run, moves.FIELD_MAXIMUM),
                source_row=inner,
                source_plane=have * inner,
                target_column=1,
                target_row=inner,
                target_plane=more * inner,
                source_offset=run * have * inner,
                target_offset=(run * more + first) * inner,
            )
            for first in range(0, more, have)
            for run in range(0, outer, moves.FIELD_MAXIMUM)
        ]
        builder.copy_pieces(operator, view, target, pieces)
        view, have = target, more
    return view
