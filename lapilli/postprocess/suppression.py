"""Which of a sequence of boxes, best first, overlap no better one of their group too much.

Boxes come in batches, so that those which the best make superfluous are never looked at. In each
batch all pairs are compared at once in three steps, each on fewer pairs than the one before:

1. Whether the second's centre lies in a window around the first's, on a coarse grid of bytes. Two
   boxes with an intersection over union above t have one above t along each axis, and then their
   centres are at most (1 - t) / (2 t) of the smaller one's side apart.
2. The intersection over union itself, with LiteRT's operations in LiteRT's order and precision.
3. In order, those that are left: whoever is kept drops the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lapilli.postprocess.boxes import Edges, Indices

BATCH: Final = 128
"""Boxes compared at once; a power of two."""
_SHIFT: Final = 7
_GRID: Final = np.float32(128)
"""Grid steps to a unit, which is the picture's side; the grid begins at -0.5 and ends at 1.5."""
_HALF_GRID: Final = np.float32(64)
_ORIGIN: Final = np.float32(64)
_NONE: Final = np.float32(0)
_LAST: Final = np.float32(255)
_SAFETY: Final = 1e-4
"""By how much windows are wider than in exact arithmetic, relative to the box's side."""
_PLACE: Final = np.float32(1e-6)
"""The same, relative to where the centre is."""
_TINY: Final = np.float32(1e-30)
"""Areas below have too few bits for a bound on the error; such boxes' windows are everything."""
_CORNERS: Final = np.dtype(np.complex128)
"""Four single-precision numbers as one element, which NumPy gathers fastest."""


@dataclass(frozen=True)
class Limits:
    """``overlap``: the intersection over union above which a box is dropped, in (0, 1]. ``boxes``
    kept end it, ``of_a_group`` end a group."""

    overlap: float
    boxes: int
    of_a_group: int


class Suppression:
    """Boxes kept so far."""

    def __init__(self, limits: Limits) -> None:
        overlap, limit = limits.overlap, limits.boxes
        self._overlap = np.float32(overlap)
        self._reach = np.float32((1 - overlap) / (2 * overlap) + _SAFETY / overlap) * _GRID
        self._limit = limit
        self._group_limit = limits.of_a_group if limits.of_a_group < limit else None
        rows = limit + BATCH
        self._corners = np.empty((rows, 4), np.float32)
        self._quadruples = self._corners.view(_CORNERS)[:, 0]
        self._area = np.empty(rows, np.float32)
        self._windows = np.empty((2, 2, rows, 1), np.uint8)
        self._group = np.empty((rows, 1), np.int32)
        self._near = np.empty((2, rows, BATCH), bool)
        self._other = np.empty((2, rows, BATCH), bool)
        self._later = np.triu(np.ones((BATCH, BATCH), bool), 1)
        self._in_group: dict[int, int] = {}
        self._kept = 0

    def restart(self) -> None:
        """Forget all boxes."""
        self._kept = 0
        self._in_group.clear()

    @property
    def full(self) -> bool:
        """No further box would be kept."""
        return self._kept >= self._limit

    def keep(self, low: Edges, high: Edges, groups: NDArray[np.int32] | None = None) -> Indices:
        """Which of the next boxes (up to ``BATCH``) stay; ``groups`` None if all are of one."""
        first, last = self._kept, self._kept + low.shape[1]
        cells = self._enter(low, high, first, last)
        rows, columns = self._near_pairs(cells, first, last, groups)
        worse = self._overlapping(rows, columns)
        alive = bytearray(b"\1" * last)
        if self._group_limit is None or groups is None:
            for better, other in zip(rows[worse].tolist(), columns[worse].tolist(), strict=True):
                if alive[better]:
                    alive[other] = 0
        else:
            pairs = zip(rows[worse].tolist(), columns[worse].tolist(), strict=True)
            self._within_groups(alive, list(pairs), groups.tolist())
        kept = np.flatnonzero(np.frombuffer(alive, bool)[first:])[: self._limit - first]
        self._retain(first, kept)
        return kept

    def _enter(self, low: Edges, high: Edges, first: int, last: int) -> NDArray[np.uint8]:
        """Put the batch's boxes behind those kept; their centres' cells, [2, boxes]."""
        size = high - low
        area = np.multiply(size[0], size[1], out=self._area[first:last])
        corners = self._corners[first:last].T
        np.negative(low, out=corners[:2])
        corners[2:] = high
        centre = low + high
        centre *= _HALF_GRID
        size *= self._reach
        size += np.abs(centre) * _PLACE
        if not area.min() >= _TINY:
            size[:, ~(area >= _TINY)] = np.inf
        places = np.empty((3, *size.shape), np.float32)
        # All that follows keeps any order, so what is inside a window stays inside.
        np.add(centre, _ORIGIN, out=places[0])
        np.subtract(centre, size, out=places[1])
        np.add(centre, size, out=places[2])
        places[1:] += _ORIGIN
        np.maximum(places, _NONE, out=places)
        cells = np.minimum(places, _LAST, out=places).astype(np.uint8)
        self._windows[:, :, first:last, 0] = cells[1:]
        found: NDArray[np.uint8] = cells[0]
        return found

    def _near_pairs(
        self, cells: NDArray[np.uint8], first: int, last: int, groups: NDArray[np.int32] | None
    ) -> tuple[Indices, Indices]:
        """Pairs (better, worse) that may overlap too much; worse ones are of the batch."""
        count = last - first
        near, other = self._near[:, :last, :count], self._other[:, :last, :count]
        np.greater_equal(cells[:, None], self._windows[0, :, :last], out=near)
        np.less_equal(cells[:, None], self._windows[1, :, :last], out=other)
        near &= other
        both, spare = near[0], other[0]
        both &= near[1]
        both[first:] &= self._later[:count, :count]
        if groups is not None:
            self._group[first:last, 0] = groups
            both &= np.equal(groups, self._group[:last], out=spare)
        self._near[0, :last, count:] = False
        # NumPy finds what is set in a flat array several times as fast as in a table.
        flat = np.flatnonzero(self._near[0, :last])
        columns = flat & (BATCH - 1)
        columns += first
        flat >>= _SHIFT
        return flat, columns

    def _overlapping(self, rows: Indices, columns: Indices) -> NDArray[np.bool_]:
        """Whether the intersection over union of each pair is above the limit."""
        common: NDArray[Any] = np.minimum(
            self._quadruples.take(rows).view(np.float32),
            self._quadruples.take(columns).view(np.float32),
        )
        height = common[2::4] + common[0::4]
        width = common[3::4] + common[1::4]
        np.maximum(height, _NONE, out=height)
        np.maximum(width, _NONE, out=width)
        height *= width
        first, second = self._area.take(rows), self._area.take(columns)
        union = first + second
        union -= height
        ratio = np.divide(height, union, out=union)
        above: NDArray[np.bool_] = ratio > self._overlap
        above &= np.minimum(first, second, out=first) > 0
        return above

    def _within_groups(
        self, alive: bytearray, pairs: list[tuple[int, int]], groups: list[int]
    ) -> None:
        """The same in order of the boxes, as a group that is full takes and drops none."""
        assert self._group_limit is not None
        first = self._kept
        drops: dict[int, list[int]] = {}
        for better, other in pairs:
            if better < first:
                alive[other] = 0
            else:
                drops.setdefault(better, []).append(other)
        for index, group in enumerate(groups, first):
            if alive[index]:
                count = self._in_group.get(group, 0)
                if count >= self._group_limit:
                    alive[index] = 0
                    continue
                self._in_group[group] = count + 1
                for other in drops.get(index, ()):
                    alive[other] = 0

    def _retain(self, first: int, kept: Indices) -> None:
        """Move the boxes kept together."""
        source, last = kept + first, first + len(kept)
        self._quadruples[first:last] = self._quadruples.take(source)
        self._area[first:last] = self._area.take(source)
        self._windows[:, :, first:last] = self._windows.take(source, axis=2)
        self._group[first:last] = self._group.take(source, axis=0)
        self._kept = last
