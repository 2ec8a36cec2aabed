"""Which storages a part has in the end: those that lie in others are merged into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lapilli.compiler.jobs import Crossing, PartJobs, Storage, TpJob, View

ROLES = ("input", "output", "tensor", "table")
"""What the host fills or reads stays marked as such when storages are merged: the first counts."""


def settle(unsettled: PartJobs, placed: Mapping[int, tuple[int, int]]) -> PartJobs:
    """The part with its storages merged (``placed``: storage -> holder, byte offset there) and
    numbered: inputs first, then in the order in which jobs first write them, look something up
    there, or read a constant."""
    homes = {i: _home(i, placed) for i in range(len(unsettled.storages))}
    merged = _merged(unsettled.storages, homes)
    order = _order(unsettled, homes)
    number = {old: new for new, old in enumerate(order)}

    def moved(view: View) -> View:
        storage, offset = homes[view.storage]
        return View(number[storage], view.offset + offset, view.size)

    def moved_crossings(crossings: Iterable[Crossing]) -> tuple[Crossing, ...]:
        return tuple(Crossing(c.tensor, moved(c.view)) for c in crossings)

    jobs = []
    for job in unsettled.jobs:
        job = replace(job, source=moved(job.source), target=moved(job.target))
        if isinstance(job, TpJob) and job.table is not None:
            job = replace(job, table=moved(job.table))
        jobs.append(job)
    return replace(
        unsettled,
        jobs=tuple(jobs),
        storages=tuple(merged[i] for i in order),
        inputs=moved_crossings(unsettled.inputs),
        outputs=moved_crossings(unsettled.outputs),
    )


def _home(storage: int, placed: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """The storage that holds ``storage`` in the end, and the offset there."""
    offset = 0
    for _ in range(len(placed)):
        if storage not in placed:
            break
        storage, more = placed[storage]
        offset += more
    assert storage not in placed, "storages lie in each other"
    return storage, offset


def _merged(
    storages: Sequence[Storage], homes: Mapping[int, tuple[int, int]]
) -> dict[int, Storage]:
    """The holders, with the sizes and roles that what lies in them asks for."""
    merged = {home: storages[home] for home, _ in homes.values()}
    for part, (home, offset) in homes.items():
        if part == home:
            continue
        held, holder = storages[part], merged[home]
        assert held.data is None and holder.data is None, "what has content lies alone"
        role = min(held.role, holder.role, key=ROLES.index)
        merged[home] = Storage(role, max(holder.size, offset + held.size))
    return merged


def _order(unsettled: PartJobs, homes: Mapping[int, tuple[int, int]]) -> list[int]:
    """Holders in the order of their first mention: by themselves, or else by what lies in them."""
    first: dict[int, int] = {}
    for crossing in unsettled.inputs:
        first.setdefault(crossing.view.storage, len(first))
    for view in _views(unsettled):
        first.setdefault(view.storage, len(first))
    by_part: dict[int, int] = {}
    for storage, rank in first.items():
        home = homes[storage][0]
        by_part[home] = min(by_part.get(home, rank), rank)
    return sorted(by_part, key=lambda home: first.get(home, by_part[home]))


def _views(unsettled: PartJobs) -> Iterable[View]:
    for job in unsettled.jobs:
        if isinstance(job, TpJob) and job.table is not None:
            yield job.table
        if unsettled.storages[job.source.storage].data is not None:
            yield job.source
        yield job.target
