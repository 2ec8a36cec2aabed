"""Fold: an image that 1x1 kernels read is seen with other columns and rows.

A 1x1 kernel sees no neighbour, so a plane of 14x14 may as well be 49x4: the same bytes in the same
places, in tiles that fill the unit's lines of 64 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapilli.compiler.jobs import ImageSize, NnJob
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window
from lapilli.hw.limits import ACCUMULATOR_LINE_PIXELS
from lapilli.model.geometry import SIDE_MAXIMUM

NARROWEST = 16
"""Columns below which no image of that many pixels is worth a try."""


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, NnJob) or not foldable(job):
        return
    for columns, rows in shapes(job.input_size.plane):
        if columns != job.input_size.columns:
            yield Alternative((folded(job, columns, rows),))


def foldable(job: NnJob) -> bool:
    """Every output pixel depends on the input pixels in its place alone."""
    kernels = job.kernels
    sides = {kernels.rows, kernels.columns}
    offsets = {job.row_offset, job.column_offset}
    return (
        sides == {1}
        and offsets == {0}
        and not job.first_pixel
        and job.input_size.plane == job.output_size.plane
        and job.input_size.columns == job.output_size.columns
    )


def shapes(plane: int) -> Iterator[tuple[int, int]]:
    """Columns and rows, widest lines that the unit fills first: divisors of the plane up to its
    line, and whole multiples of that line."""
    line = ACCUMULATOR_LINE_PIXELS
    wide = [c for c in range(line, 4 * line + 1, line) if plane % c == 0]
    narrow = [c for c in range(line - 1, NARROWEST - 1, -1) if plane % c == 0]
    lines_of_two = [c for c in range(line + 1, 2 * line) if plane % c == 0]
    small = [plane] if plane < NARROWEST else []
    for columns in (*wide, *narrow[:3], *lines_of_two[-2:], *small):
        if plane // columns <= SIDE_MAXIMUM:
            yield columns, plane // columns


def folded(job: NnJob, columns: int, rows: int) -> NnJob:
    """The job over planes seen so."""
    return replace(
        job,
        input_size=ImageSize(columns, rows, job.input_size.channels),
        output_size=ImageSize(columns, rows, job.output_size.channels),
        tile_limits=(columns, rows),
        strided=False,
    )


LEVER = Lever(
    name="fold",
    sentence="An image that 1x1 kernels read is seen as lines of 64 pixels.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
)
