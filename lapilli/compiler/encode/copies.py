"""TP jobs that copy pieces of images: any part of the source to any part of the target.

They read as recorded reshuffles on several cores do (rows and planes further apart than the piece
is wide) and write as recorded transposes do (one increment an axis). Sizes are in elements (bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lapilli.compiler.encode.moves import FIELD_MAXIMUM, image, loops, tile, window
from lapilli.compiler.jobs import TpInstruction


@dataclass(frozen=True)
class Piece:
    """``columns`` x ``rows`` x ``planes`` elements. Columns lie side by side in the source; the
    other strides are bytes from one to the next."""

    columns: int
    rows: int
    planes: int
    source_row: int
    source_plane: int
    target_column: int
    target_row: int
    target_plane: int
    source_offset: int = 0
    target_offset: int = 0

    @property
    def fits(self) -> bool:
        """All sizes have fields."""
        sizes = (self.columns, self.rows, self.planes, self.source_row)
        return max(sizes) <= FIELD_MAXIMUM


def instruction(piece: Piece, last: bool = True) -> TpInstruction:
    """The copy of a piece on one core; ``last``: no further core of the job follows."""
    assert piece.fits, piece
    fields = {
        **image(piece.columns, piece.rows, piece.planes, piece.source_row, piece.source_plane),
        **window(0, 0, piece.columns - 1, piece.rows - 1),
        **tile(piece.columns, piece.rows),
        **loops(
            (piece.target_column, piece.columns),
            (piece.target_row, piece.rows),
            (piece.target_plane, piece.planes),
        ),
        "no_flush": int(not last),
    }
    return TpInstruction(piece.source_offset, piece.target_offset, fields)


def shared_out(piece: Piece, cores: int) -> tuple[TpInstruction, ...]:
    """The copy of a piece on several cores: planes are shared out among them, or rows if there are
    more of those."""
    by_planes = piece.planes >= piece.rows
    extent = piece.planes if by_planes else piece.rows
    steps = (
        (piece.source_plane, piece.target_plane)
        if by_planes
        else (piece.source_row, piece.target_row)
    )
    parts = []
    done, count = 0, min(cores, extent)
    for core in range(count):
        share = -(-(extent - done) // (count - core))
        parts.append(
            replace(
                piece,
                **{"planes" if by_planes else "rows": share},
                source_offset=piece.source_offset + done * steps[0],
                target_offset=piece.target_offset + done * steps[1],
            )
        )
        done += share
    return together(parts)


def together(pieces: Sequence[Piece]) -> tuple[TpInstruction, ...]:
    """Copies of several pieces in one job, a core each."""
    last = len(pieces) - 1
    return tuple(instruction(piece, number == last) for number, piece in enumerate(pieces))


def linear(size: int, cores: int) -> list[Piece]:
    """``size`` bytes to the same number of bytes, in pieces of about the same size."""
    if size <= FIELD_MAXIMUM * cores:
        share = -(-size // cores)
        return [_run(first, min(share, size - first), 1) for first in range(0, size, share)]
    row = 1 << 15
    rows, rest = divmod(size, row)
    share = -(-rows // cores)
    pieces = [_run(first * row, row, min(share, rows - first)) for first in range(0, rows, share)]
    return [*pieces, _run(rows * row, rest, 1)] if rest else pieces


def _run(offset: int, columns: int, rows: int) -> Piece:
    return Piece(columns, rows, 1, columns, 0, 1, columns, 0, offset, offset)
