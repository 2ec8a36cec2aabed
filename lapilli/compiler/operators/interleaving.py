"""Images whose pixels lie apart in a larger one: copies on the TP cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import ImageSize, View
from lapilli.model.graph import Operator


@dataclass(frozen=True)
class Pixels:
    """Planes of an image of ``rows`` x ``columns``, one behind the other from ``offset``, whose
    pixel (0, 0) becomes pixel (``top``, ``left``) of a larger image."""

    offset: int
    rows: int
    columns: int
    top: int
    left: int


def interleaved(
    builder: Builder,
    operator: Operator,
    view: View,
    parts: Sequence[Pixels],
    steps: tuple[int, int],
    size: ImageSize,
) -> View:
    """Planes of ``size`` whose pixels come from ``parts`` of ``view``; pixels of a part become
    ``steps`` (rows, columns) apart. What lies outside is left out."""
    target = builder.store_planes(size)
    pieces = [_piece(part, steps, size) for part in parts if part.top < size.rows]
    builder.copy_pieces(operator, view, target, [piece for piece in pieces if piece is not None])
    return target


def _piece(part: Pixels, steps: tuple[int, int], size: ImageSize) -> Piece | None:
    rows = min(part.rows, -(-(size.rows - part.top) // steps[0]))
    columns = min(part.columns, -(-(size.columns - part.left) // steps[1]))
    if min(rows, columns) < 1:
        return None
    return Piece(
        columns=columns,
        rows=rows,
        planes=size.channels,
        source_row=part.columns,
        source_plane=part.rows * part.columns,
        target_column=steps[1],
        target_row=steps[0] * size.columns,
        target_plane=size.plane,
        source_offset=part.offset,
        target_offset=part.top * size.columns + part.left,
    )
