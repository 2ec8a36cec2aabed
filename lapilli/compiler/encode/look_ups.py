"""TP jobs that send every byte of an image through a table, as instruction fields.

The job moves nothing: each byte stays where it is, so layouts do not matter. Source: the rule for
table functions in the hardware notes, met word for word by the recorded jobs; instructions for
cores that would get no planes, which the recorded driver writes too, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapilli.compiler.encode.moves import fits
from lapilli.compiler.encode.tables import Table
from lapilli.compiler.jobs import ImageSize, TpInstruction

TILE_COLUMNS, TILE_ROWS = 64, 16
FEW_ROWS = 6
"""Of an image with fewer rows the recorded driver does RELU and LOGISTIC on one core."""
ONE_CORE_IF_FEW_ROWS = ("relu", "logistic")
LEAST_BYTES = 256
"""Fewer are not worth a second core."""


@dataclass(frozen=True)
class Piece:
    """``columns`` x ``rows`` x ``planes`` bytes in a row, from byte ``offset``, for one core."""

    offset: int
    columns: int
    rows: int
    planes: int


def recorded_pieces(size: ImageSize, kind: str, cores: int) -> list[Piece]:
    """As recorded: a plane is a row of the image, whatever layout it has."""
    if kind in ONE_CORE_IF_FEW_ROWS and size.rows < FEW_ROWS:
        cores = 1
    step = size.channels * size.columns
    return [
        Piece(first * step, size.channels, size.columns, planes)
        for first, planes in _shares(size.rows, cores)
    ]


def even_pieces(size: ImageSize, cores: int) -> list[Piece]:
    """As evenly as whole rows of the image, else whole pixels, else bytes can be spread."""
    row, total = size.channels * size.columns, size.plane * size.channels
    cores = max(min(cores, total // LEAST_BYTES), 1)
    if size.rows >= cores or not fits(size.plane):
        return [
            Piece(first * row, size.channels, size.columns, planes)
            for first, planes in _shares(size.rows, cores)
        ]
    if size.plane >= cores or not fits(total):
        return [
            Piece(first * size.channels, size.channels, rows, 1)
            for first, rows in _shares(size.plane, cores)
        ]
    return [Piece(first, columns, 1, 1) for first, columns in _shares(total, cores)]


def _shares(total: int, cores: int) -> Iterator[tuple[int, int]]:
    """(first, count) for each core that gets any."""
    first = 0
    for core in range(cores):
        count = -(-(total - first) // (cores - core))
        if count:
            yield first, count
        first += count


def look_up(pieces: list[Piece], table: Table) -> tuple[TpInstruction, ...]:
    """An instruction for each piece."""
    last = len(pieces) - 1
    return tuple(
        TpInstruction(
            piece.offset,
            piece.offset,
            {**_geometry(piece), **table.fields, "no_flush": int(core < last)},
        )
        for core, piece in enumerate(pieces)
    )


def _geometry(piece: Piece) -> dict[str, int]:
    columns, plane = piece.columns, piece.columns * piece.rows
    return {
        "in_image_x_size": columns,
        "in_image_y_size": piece.rows,
        "in_image_z_size": piece.planes,
        "in_image_stride": columns,
        "in_image_slice": plane,
        "in_window_x_end": columns - 1,
        "in_window_y_end": piece.rows - 1,
        "in_tile_x_size": TILE_COLUMNS,
        "in_tile_y_size": TILE_ROWS,
        "in_tile_x_inc": TILE_COLUMNS,
        "in_tile_y_inc": TILE_ROWS,
        "out_loop_1_reset": 1,
        "out_loop_2_reset": 1,
        "out_loop_0_inc": 0,
        "out_loop_0_count": 1,
        "out_loop_1_inc": 1,
        "out_loop_1_count": 0,
        "out_loop_2_inc": columns,
        "out_loop_2_count": 0,
        "out_loop_3_inc": TILE_COLUMNS,
        "out_loop_3_count": -(-columns // TILE_COLUMNS),
        "out_loop_4_inc": TILE_ROWS * columns,
        "out_loop_4_count": -(-piece.rows // TILE_ROWS),
        "out_loop_6_inc": plane,
    }
