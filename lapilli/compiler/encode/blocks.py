"""TP jobs that make planes of rows and columns: every so-manieth of them, from any start.

They read and count as recorded reshuffles do, which make four planes of each; what lies outside the
image becomes zero points. Sizes are in elements (bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapilli.compiler.encode.moves import image, loops, tile, window
from lapilli.compiler.jobs import ImageSize, TpInstruction


@dataclass(frozen=True)
class Block:
    """Planes made of each plane of ``source``: pixel (y, x) of plane (a, b) is pixel
    (``top`` + y * ``steps[0]`` + a, ``left`` + x * ``steps[1]`` + b), for all a and b below the
    steps.

    ``rows`` x ``columns``: of a plane that is made. The result's planes begin at ``offset``; bytes
    from one to the next: ``by_row`` and ``by_column`` along a and b, ``by_plane`` for the next
    plane of the source.
    """

    source: ImageSize
    top: int
    left: int
    steps: tuple[int, int]
    rows: int
    columns: int
    offset: int
    by_row: int
    by_column: int
    by_plane: int

    @property
    def inside(self) -> bool:
        """Some of it lies in the image."""
        return (
            -self.rows * self.steps[0] < self.top < self.source.rows
            and -self.columns * self.steps[1] < self.left < self.source.columns
        )


def jobs_of(
    blocks: Sequence[Block], zero_point: int, cores: int
) -> Iterator[tuple[TpInstruction, ...]]:
    """Blocks that lie inside the image at least in part, on all cores: a job for as many as there
    are; where these are fewer, each on several cores."""
    share = max(cores // len(blocks), 1)
    pieces = [piece for block in blocks for piece in _pieces(block, share)]
    for first in range(0, len(pieces), cores):
        some = pieces[first : first + cores]
        yield tuple(
            _instruction(*piece, zero_point, last=number == len(some) - 1)
            for number, piece in enumerate(some)
        )


def _pieces(block: Block, cores: int) -> list[tuple[Block, int, int]]:
    """(block, first plane, planes): the source's planes shared out."""
    planes, done, found = block.source.channels, 0, []
    count = min(cores, planes)
    for core in range(count):
        some = -(-(planes - done) // (count - core))
        found.append((block, done, some))
        done += some
    return found


def _instruction(
    block: Block, first: int, planes: int, zero_point: int, *, last: bool
) -> TpInstruction:
    """A block of some of the planes on one core."""
    assert block.inside, block
    source, (down, across) = block.source, block.steps
    # The image begins where the window does, unless that begins before it.
    top, left = max(block.top, 0), max(block.left, 0)
    height, width = block.rows * down, block.columns * across
    before_rows, before_columns = min(block.top, 0), min(block.left, 0)
    fields = {
        **image(source.columns - left, source.rows - top, planes, source.columns, source.plane),
        **window(before_columns, before_rows, before_columns + width - 1, before_rows + height - 1),
        **tile(width, height),
        **loops(
            (block.by_column, across),
            (1, block.columns),
            (block.by_row, down),
            (block.columns, block.rows),
        ),
        "out_loop_6_inc": block.by_plane,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
        "in_zp": zero_point,
        "out_zp": zero_point,
        "no_flush": int(not last),
    }
    start = first * source.plane + top * source.columns + left
    return TpInstruction(start, block.offset + first * block.by_plane, fields)
