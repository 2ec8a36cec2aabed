"""Which storages share memory: those that no two jobs need at the same time.

A storage lives from the first job that touches it to the last; inputs from the start, because the
host fills them before, and outputs to the end, because it reads them after. The largest is placed
first, each at the lowest offset that is free as long as it lives. That reaches what the busiest job
needs, or hardly more, for every model tried. Jobs run one after another, each waits for the one
before (job number 0 in every start), so a place may be taken as soon as its last reader is done.
Recorded drivers never use an address twice within a submit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.jobs import Crossing, NnJob, PartJobs, Storage, TpJob, View
from lapilli.compiler.storages import ROLES

ALIGNMENT: Final = 64
"""Of each place in a pool, bytes: what a burst on the bus takes."""


@dataclass(frozen=True)
class Lifetime:
    """The first and the last job that need a storage, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class Need:
    """``size`` bytes for as long as ``life``."""

    size: int
    life: Lifetime


@dataclass(frozen=True)
class Pool:
    """Memory to share, of ``capacity`` bytes, or as much as is needed."""

    capacity: int | None = None


@dataclass(frozen=True)
class Place:
    """Byte ``offset`` of pool number ``pool``."""

    pool: int
    offset: int


@dataclass(frozen=True)
class Region:
    """Where a storage ended up: ``size`` bytes at ``offset`` of storage ``storage`` of the part as
    it is now, and the jobs that need it."""

    storage: int
    offset: int
    size: int
    life: Lifetime


@dataclass(frozen=True)
class MemoryPlan:
    """A part on the storages that it has in the end, and what lies in them."""

    part: PartJobs
    regions: tuple[Region, ...]


def apart(part: PartJobs) -> MemoryPlan:
    """Every storage in a buffer of its own, as the recorded driver has it."""
    regions = (
        Region(i, 0, storage.size, life)
        for i, (storage, life) in enumerate(zip(part.storages, lifetimes(part), strict=True))
        if storage.data is None
    )
    return MemoryPlan(part, tuple(regions))


def shared(part: PartJobs) -> MemoryPlan:
    """All storages in one, but for those that have a content before the first run."""
    lives = lifetimes(part)
    movable = [i for i, storage in enumerate(part.storages) if storage.data is None]
    if len(movable) < 2:
        return apart(part)
    needs = [Need(part.storages[i].size, lives[i]) for i in movable]
    places = dict(zip(movable, place(needs, (Pool(),)), strict=True))
    kept = [i for i in range(len(part.storages)) if i not in places]
    size = max(places[i].offset + part.storages[i].size for i in movable)
    role = min((part.storages[i].role for i in movable), key=ROLES.index)
    homes = {i: (0, places[i].offset) for i in movable}
    homes |= {i: (1 + number, 0) for number, i in enumerate(kept)}
    moved = replace(
        part,
        jobs=tuple(_moved_job(job, homes) for job in part.jobs),
        storages=(Storage(role, size), *(part.storages[i] for i in kept)),
        inputs=_moved_crossings(part.inputs, homes),
        outputs=_moved_crossings(part.outputs, homes),
    )
    regions = (Region(0, places[i].offset, part.storages[i].size, lives[i]) for i in movable)
    return MemoryPlan(moved, tuple(regions))


def lifetimes(part: PartJobs) -> tuple[Lifetime, ...]:
    """Of each storage."""
    end = max(len(part.jobs) - 1, 0)
    first, last = [end] * len(part.storages), [0] * len(part.storages)

    def need(view: View, job: int) -> None:
        first[view.storage] = min(first[view.storage], job)
        last[view.storage] = max(last[view.storage], job)

    for crossing in part.inputs:
        need(crossing.view, 0)
    for number, job in enumerate(part.jobs):
        need(job.source, number)
        need(job.target, number)
        if isinstance(job, TpJob) and job.table is not None:
            need(job.table, number)
    for crossing in part.outputs:
        need(crossing.view, end)
    return tuple(Lifetime(min(a, b), b) for a, b in zip(first, last, strict=True))


def place(needs: Sequence[Need], pools: Sequence[Pool]) -> tuple[Place, ...]:
    """A place for each need, in the first of ``pools`` that has room; the last one must have no
    capacity. Needs whose lives have a job in common don't overlap."""
    assert pools and pools[-1].capacity is None, "the last pool takes what is left"
    occupied = [_Occupied(len(needs)) for _ in pools]
    found: dict[int, Place] = {}
    order = sorted(range(len(needs)), key=lambda i: (-needs[i].size, needs[i].life.first, i))
    for i in order:
        for number, (pool, taken) in enumerate(zip(pools, occupied, strict=True)):
            offset = taken.lowest(needs[i])
            if pool.capacity is None or offset + needs[i].size <= pool.capacity:
                taken.take(needs[i], offset)
                found[i] = Place(number, offset)
                break
    return tuple(found[i] for i in range(len(needs)))


def most_alive(needs: Sequence[Need]) -> int:
    """Bytes that the busiest job needs at once: no plan can do with less."""
    jobs = 1 + max((need.life.last for need in needs), default=0)
    changes = np.zeros(jobs + 1, np.int64)
    for need in needs:
        changes[need.life.first] += need.size
        changes[need.life.last + 1] -= need.size
    return int(changes.cumsum().max())


class _Occupied:
    """What is taken of a pool, and when."""

    def __init__(self, most: int) -> None:
        self._first, self._last, self._start, self._end = np.zeros((4, most), np.int64)
        self._count = 0

    def lowest(self, need: Need) -> int:
        """The lowest offset with room for ``need`` while it lives."""
        first, last, starts, ends = (
            column[: self._count] for column in (self._first, self._last, self._start, self._end)
        )
        meanwhile = np.flatnonzero((first <= need.life.last) & (last >= need.life.first))
        order = meanwhile[np.argsort(starts[meanwhile], kind="stable")]
        tops: NDArray[np.int64] = np.maximum.accumulate(ends[order])
        offsets = np.concatenate(([0], -(-tops // ALIGNMENT) * ALIGNMENT))
        room = starts[order] - offsets[:-1] >= need.size
        return int(offsets[int(room.argmax()) if room.any() else len(order)])

    def take(self, need: Need, offset: int) -> None:
        """Note that ``need`` lies at ``offset``."""
        row = self._count
        self._first[row], self._last[row] = need.life.first, need.life.last
        self._start[row], self._end[row] = offset, offset + need.size
        self._count = row + 1


Homes = dict[int, tuple[int, int]]
"""Storage -> the one that it lies in now, and the offset there."""


def _moved(view: View, homes: Homes) -> View:
    storage, offset = homes[view.storage]
    return View(storage, view.offset + offset, view.size)


def _moved_job(job: NnJob | TpJob, homes: Homes) -> NnJob | TpJob:
    source, target = _moved(job.source, homes), _moved(job.target, homes)
    if isinstance(job, TpJob) and job.table is not None:
        return replace(job, source=source, target=target, table=_moved(job.table, homes))
    return replace(job, source=source, target=target)


def _moved_crossings(crossings: Sequence[Crossing], homes: Homes) -> tuple[Crossing, ...]:
    return tuple(Crossing(each.tensor, _moved(each.view, homes)) for each in crossings)
