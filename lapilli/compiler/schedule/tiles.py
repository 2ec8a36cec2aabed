"""Tiles and superblocks that are worth a try for a job: legal ones that differ in what they cost.

For every width of tile, and for every number of superblocks, the highest tile that leaves the
accumulation buffer room for a superblock's kernels, evened out over the image.
"""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import Tiling, legal
from lapilli.hw.chips import Chip
from lapilli.hw.limits import ACCUMULATOR_LINE_PIXELS

SUPERBLOCKS = {0: 0, 1: 8, 2: 24}
"""Most superblocks tried, by effort."""
CUTS = {0: 0, 1: 4, 2: 8}
"""Most tiles across an image tried, by effort, beside lines that the unit fills."""
WIDTHS = (64, 32, 16)


def choices(job: NnJob, chip: Chip, limits: legal.Limits, effort: int) -> Iterator[Tiling]:
    """Tilings, each once."""
    shape, even = legal.shape_of(job), 2 if job.first_pixel else 1
    columns = job.output_size.columns * even
    rows = job.output_size.rows * even
    channels = job.kernels.output_channels
    seen = set()
    for width in _widths(columns, even, effort):
        highest = legal.rows_within(limits, shape, width, rows, chip)
        for wanted in range(1, SUPERBLOCKS[effort] + 1):
            each = legal.kernels_of_a_superblock(channels, wanted, chip)
            height = _height(limits, shape, (width, highest), each, chip)
            if height < 1 or (even > 1 and height % 2):
                continue
            at_once = legal.kernels_at_once(limits, shape, width, height, chip)
            superblocks = legal.superblocks_within(channels, at_once, chip)
            for tiling in (
                Tiling(width, height, superblocks),
                Tiling(width, _evened(rows, height, shape.strided), superblocks),
            ):
                if tiling not in seen:
                    seen.add(tiling)
                    yield tiling


def _widths(columns: int, even: int, effort: int) -> Iterator[int]:
    wanted = [-(-columns // cuts) for cuts in range(1, CUTS[effort] + 1)]
    found = {-(-min(width, columns) // even) * even for width in (*WIDTHS, *wanted)}
    yield from sorted((w for w in found if w <= ACCUMULATOR_LINE_PIXELS), reverse=True)


def _height(
    limits: legal.Limits, shape: legal.Shape, tile: tuple[int, int], each: int, chip: Chip
) -> int:
    """The most rows with room for ``each`` kernels a core, 0 if one row has none."""
    width, rows = tile
    step = 2 if shape.strided and rows > 1 else 1
    while rows > 0 and legal.kernels_at_once(limits, shape, width, rows, chip) < each:
        rows -= step
    return max(rows, 0)


def _evened(rows: int, height: int, strided: bool) -> int:
    """As many tiles, all about as high."""
    each = -(-rows // -(-rows // height))
    return min(each + (each % 2 if strided else 0), height)
