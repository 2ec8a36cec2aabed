"""Rows and columns that are taken of an image, any of them any number of times: copies on the TP
cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.encode.moves import FIELD_MAXIMUM
from lapilli.compiler.jobs import ImageSize, View
from lapilli.model.graph import Operator

MOST_PERIOD = 64
"""Progressions of an axis: a copy each."""
MOST_PIECES = 16
"""Of rows and columns at once; more are copied in two steps."""


@dataclass(frozen=True)
class Progression:
    """``count`` elements: every ``source_step``-th from ``source`` becomes every
    ``target_step``-th from ``target``."""

    source: int
    source_step: int
    target: int
    target_step: int
    count: int


def progressions(places: Sequence[int]) -> list[Progression] | None:
    """Which element each one of an axis is taken from, as few progressions; None if they are more
    than ``MOST_PERIOD``."""
    for period in range(1, min(len(places), MOST_PERIOD) + 1):
        steps = {b - a for a, b in zip(places, places[period:], strict=False)}
        # Nothing is read twice by one copy.
        if len(steps) <= 1 and 0 not in steps:
            step = steps.pop() if steps else 1
            return [
                Progression(places[j], step, j, period, len(range(j, len(places), period)))
                for j in range(period)
            ]
    return None


def resampled(
    builder: Builder,
    operator: Operator,
    view: View,
    size: ImageSize,
    rows: Sequence[Progression],
    columns: Sequence[Progression],
) -> View:
    """The planes of an image of ``size`` with the rows and columns that the progressions say."""
    side_by_side = all(part.source_step == 1 for part in columns)
    if len(rows) * len(columns) <= MOST_PIECES and side_by_side:
        return _both(builder, operator, view, size, rows, columns)
    made = sum(part.count for part in rows)
    view = _along(builder, operator, view, rows, (size.channels, size.rows, size.columns))
    lines = size.channels * made
    return _along(builder, operator, view, columns, (lines, size.columns, 1))


def _both(
    builder: Builder,
    operator: Operator,
    view: View,
    size: ImageSize,
    rows: Sequence[Progression],
    columns: Sequence[Progression],
) -> View:
    """A copy for each pair of progressions."""
    width, height = (sum(part.count for part in side) for side in (columns, rows))
    made = ImageSize(width, height, size.channels)
    target = builder.store_planes(made)
    pieces = [
        Piece(
            columns=across.count,
            rows=down.count,
            planes=size.channels,
            source_row=down.source_step * size.columns,
            source_plane=size.plane,
            target_column=across.target_step,
            target_row=down.target_step * made.columns,
            target_plane=made.plane,
            source_offset=down.source * size.columns + across.source,
            target_offset=down.target * made.columns + across.target,
        )
        for down in rows
        for across in columns
    ]
    builder.copy_pieces(operator, view, target, pieces)
    return target


def _along(
    builder: Builder,
    operator: Operator,
    view: View,
    parts: Sequence[Progression],
    shape: tuple[int, int, int],
) -> View:
    """Along the middle one of three axes (outer, extent, inner)."""
    outer, extent, inner = shape
    made = sum(part.count for part in parts)
    if made == extent and len(parts) == 1:
        return view
    target = builder.store(outer * made * inner)
    pieces = [
        Piece(
            columns=inner,
            rows=part.count,
            planes=min(outer - run, FIELD_MAXIMUM),
            source_row=part.source_step * inner,
            source_plane=extent * inner,
            target_column=1,
            target_row=part.target_step * inner,
            target_plane=made * inner,
            source_offset=(run * extent + part.source) * inner,
            target_offset=(run * made + part.target) * inner,
        )
        for part in parts
        for run in range(0, outer, FIELD_MAXIMUM)
    ]
    builder.copy_pieces(operator, view, target, pieces)
    return target
