"""In what order a TP reads elements, and where it writes them, as arrays of offsets.

The elements of a plane are read in runs: rows of a tile. ``Runs`` lists those of one plane, as all
planes are read alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Runs of one plane in reading order: row, first column, length, tile."""

    row: Integers
    column: Integers
    length: Integers
    tile: Integers


@dataclass(frozen=True)
class Window:
    """The part of an image that is read; pairs are (rows, columns), ``end`` is inclusive."""

    image: tuple[int, int]
    planes: int
    stride: int
    slice: int
    start: tuple[int, int]
    end: tuple[int, int]
    tile: tuple[int, int]
    step: tuple[int, int]
    planes_before: int
    planes_behind: int

    def _tiles(self, axis: int) -> tuple[Integers, Integers]:
        """First position and extent, clipped to the window, of the tiles along an axis."""
        first = np.arange(self.start[axis], self.end[axis] + 1, self.step[axis])
        return first, np.minimum(self.tile[axis], self.end[axis] + 1 - first)

    @property
    def all_planes(self) -> int:
        """Planes including those that are over-fetched."""
        return self.planes_before + self.planes + self.planes_behind

    @property
    def elements(self) -> int:
        """How many elements are read."""
        return self.all_planes * int(self._tiles(0)[1].sum()) * int(self._tiles(1)[1].sum())

    @property
    def inside(self) -> int:
        """How many of them the image has."""
        found = self.planes
        for axis in (0, 1):
            first, extent = self._tiles(axis)
            behind = np.minimum(first + extent, self.image[axis])
            found *= int(np.maximum(behind - np.maximum(first, 0), 0).sum())
        return found

    def runs(self) -> Runs:
        """The runs of one plane."""
        (top, rows), (left, columns) = self._tiles(0), self._tiles(1)
        tile = np.repeat(np.arange(len(top) * len(left)), np.repeat(rows, len(left)))
        rows_of_tile = np.repeat(rows, len(left))
        row_in_tile = np.arange(len(tile)) - np.repeat(_before(rows_of_tile), rows_of_tile)
        across = tile % len(left)
        return Runs(top[tile // len(left)] + row_in_tile, left[across], columns[across], tile)


@dataclass(frozen=True)
class Loops:
    """The nested counters of the write address; loop 6 has no count, a count of 0 never wraps."""

    counts: tuple[int, ...]
    increments: tuple[int, ...]
    resets: tuple[bool, ...]


def _before(sizes: Integers) -> Integers:
    """Sum of the sizes in front of each."""
    return np.cumsum(sizes) - sizes


@dataclass(frozen=True)
class Order:
    """Where every element is read and written, plane by plane, so that many planes need no more
    memory than one.

    ``inner``: offset of a plane's elements from its first byte, -1 outside the image. ``offset``
    and ``position``: what the loops inside a plane add to the write address, and each element's
    position among the wraps of those from ``loop`` on, of which a plane has ``size``.
    """

    window: Window
    loops: Loops
    inner: Integers
    offset: Integers
    position: Integers
    loop: int
    size: int

    @property
    def planes(self) -> int:
        """How many there are, over-fetched ones included."""
        return self.window.all_planes

    def read(self, first: int, end: int) -> Integers:
        """Offset from the image's first byte of every element of planes ``first`` to ``end``, in
        reading order; -1 outside."""
        z = np.arange(first, end) - self.window.planes_before
        offsets = np.where(self.inner >= 0, self.inner + (z * self.window.slice)[:, None], -1)
        offsets[(z < 0) | (z >= self.window.planes)] = -1
        return offsets.reshape(-1)

    def write(self, first: int, end: int) -> Integers:
        """Offset from the output's base address of the same elements."""
        positions = np.arange(first, end)[:, None] * self.size + self.position
        taken, rest = _digits(positions, self.loops, self.loop, 5)
        return (self.offset + taken + rest * self.loops.increments[6]).reshape(-1)


def order_of(window: Window, loops: Loops) -> Order:
    """The order of a window that has elements."""
    runs = window.runs()
    return Order(window, loops, _inner(window, runs), *_outer(window, runs, loops))


def _inner(window: Window, runs: Runs) -> Integers:
    """Offset of a plane's elements from its first byte; -1 outside the image."""
    run = np.repeat(np.arange(len(runs.length), dtype=np.int32), runs.length)
    before = runs.column - _before(runs.length)
    x = before[run] + np.arange(len(run))
    y = runs.row[run]
    inside = (x >= 0) & (x < window.image[1]) & (y >= 0) & (y < window.image[0])
    return np.where(inside, y * window.stride + x, -1)


def _outer(window: Window, runs: Runs, loops: Loops) -> tuple[Integers, Integers, int, int]:
    """``offset``, ``position``, ``loop`` and ``size`` of an Order.

    A reset at the end of a group (run, tile, plane) rounds the position up to where the loop it
    resets would have wrapped by counting, which changes nothing if it just did. So position inside
    a group is all that matters to the loops inside, and each group above counts whole wraps.
    """
    total = window.elements
    run = np.repeat(np.arange(len(runs.length), dtype=np.int32), runs.length)
    position = np.arange(len(run)) - _before(runs.length)[run]
    size = runs.length
    offset = np.zeros(len(run), np.int64)
    loop = 0
    groups = (runs.tile, np.zeros(int(runs.tile[-1]) + 1, np.int64))
    member: NDArray[np.integer[Any]] = run
    for level, reset in enumerate(loops.resets[:2], start=1):
        if reset:
            taken, position, size = _wrap(position, size, loops, loop, level, total)
            offset += taken
            loop = level + 1
        parent = groups[level - 1]
        first = _before(size)
        starts = np.flatnonzero(np.diff(parent, prepend=-1))
        position = position + (first - first[starts][parent])[member]
        size = np.add.reduceat(size, starts)
        member = parent[member]
    if loops.resets[2]:
        taken, position, size = _wrap(position, size, loops, loop, 3, total)
        offset += taken
        loop = 4
    return offset, position, loop, int(size[0])


def _wrap(
    position: Integers, size: Integers, loops: Loops, first: int, last: int, total: int
) -> tuple[Integers, Integers, Integers]:
    """Offset that loops ``first`` to ``last`` add; position and group sizes in wraps of them."""
    period = 1
    for count in loops.counts[first : last + 1]:
        period = min(period * count, total + 1) if count else total + 1
        if not count:
            break
    taken, _ = _digits(position % period, loops, first, last)
    return taken, position // period, -(-size // period)


def _digits(position: Integers, loops: Loops, first: int, last: int) -> tuple[Integers, Integers]:
    """Offset that loops ``first`` to ``last`` add at ``position``, and what carries out of them."""
    offset = np.zeros_like(position)
    for loop in range(first, last + 1):
        count = loops.counts[loop]
        if count == 0:
            return offset + position * loops.increments[loop], np.zeros_like(position)
        if count > 1:
            offset += position % count * loops.increments[loop]
            position = position // count
    return offset, position
