"""Pieces of an image: views where their bytes lie together, else copies on the TP cores."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.encode import moves
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import ImageSize, View
from lapilli.model.graph import Operator

ROWS, COLUMNS, CHANNELS = 0, 1, 2
"""Places of the axes in the triples of a ``Cut``."""


@dataclass(frozen=True)
class Cut:
    """Of an image: the first element taken, how many, and how far apart; of rows, columns and
    channels."""

    first: tuple[int, int, int]
    count: tuple[int, int, int]
    step: tuple[int, int, int] = (1, 1, 1)

    @property
    def size(self) -> ImageSize:
        """Of the piece."""
        return ImageSize(self.count[COLUMNS], self.count[ROWS], self.count[CHANNELS])


def cut_fits(size: ImageSize, cut: Cut) -> bool:
    """The distances between rows, and between pixels, have fields."""
    return moves.fits(cut.step[ROWS] * size.columns) and moves.fits(
        cut.step[COLUMNS] * size.channels
    )


def cut_out(builder: Builder, operator: Operator, source: Place, cut: Cut) -> Place:
    """A piece of an image."""
    size = source.size
    extents = size.rows, size.columns, size.channels
    found = Place(cut.size, source.zero_point)
    whole = [cut.count[i] == extents[i] and cut.step[i] == 1 for i in (ROWS, COLUMNS, CHANNELS)]
    if all(whole):
        found.nhwc, found.planar, found.reshaped = source.nhwc, source.planar, source.reshaped
    elif whole[ROWS] and whole[COLUMNS] and cut.step[CHANNELS] == 1:
        view = builder.planar_of(source, operator.index)
        found.planar = _part(view, cut.first[CHANNELS], cut.count[CHANNELS], size.plane)
    elif whole[COLUMNS] and whole[CHANNELS] and cut.step[ROWS] == 1 and source.nhwc is not None:
        line = size.columns * size.channels
        found.nhwc = _part(source.nhwc, cut.first[ROWS], cut.count[ROWS], line)
    elif cut.step[COLUMNS] == 1 and (source.planar is not None or cut.step[CHANNELS] > 1):
        view = builder.planar_of(source, operator.index)
        found.planar = _copied(builder, operator, view, cut, _of_planes(size, cut))
    elif cut.step[CHANNELS] == 1:
        view = builder.nhwc_of(source, operator.index)
        found.planar = _copied(builder, operator, view, cut, _of_pixels(size, cut))
    else:
        # Pixels apart are taken of NHWC bytes, channels apart of planes.
        (top, left, channel), (rows, columns, channels) = cut.first, cut.count
        planes = Cut(
            (0, 0, channel), (size.rows, size.columns, channels), (1, 1, cut.step[CHANNELS])
        )
        some = cut_out(builder, operator, source, planes)
        only_nhwc = Place(some.size, some.zero_point, nhwc=builder.nhwc_of(some, operator.index))
        steps = cut.step[ROWS], cut.step[COLUMNS], 1
        pixels = Cut((top, left, 0), (rows, columns, channels), steps)
        return cut_out(builder, operator, only_nhwc, pixels)
    return found


def _part(view: View, first: int, count: int, each: int) -> View:
    return View(view.storage, view.offset + first * each, count * each)


def _copied(builder: Builder, operator: Operator, view: View, cut: Cut, piece: Piece) -> View:
    target = builder.store_planes(cut.size)
    builder.copy_pieces(operator, view, target, [piece])
    return target


def _of_planes(size: ImageSize, cut: Cut) -> Piece:
    """From planes to planes."""
    made = cut.size
    return Piece(
        columns=made.columns,
        rows=made.rows,
        planes=made.channels,
        source_row=cut.step[ROWS] * size.columns,
        source_plane=cut.step[CHANNELS] * size.plane,
        target_column=1,
        target_row=made.columns,
        target_plane=made.plane,
        source_offset=cut.first[CHANNELS] * size.plane
        + cut.first[ROWS] * size.columns
        + cut.first[COLUMNS],
    )


def _of_pixels(size: ImageSize, cut: Cut) -> Piece:
    """From NHWC bytes to planes."""
    made, line = cut.size, size.columns * size.channels
    return Piece(
        columns=made.channels,
        rows=made.columns,
        planes=made.rows,
        source_row=cut.step[COLUMNS] * size.channels,
        source_plane=cut.step[ROWS] * line,
        target_column=made.plane,
        target_row=1,
        target_plane=made.columns,
        source_offset=cut.first[ROWS] * line
        + cut.first[COLUMNS] * size.channels
        + cut.first[CHANNELS],
    )
