"""The best schedule: the cheapest of what the levers offer, by the timing model.

Every choice is local: jobs follow one another and hand over planes, so a part costs the sum of its
jobs. For every job, and every window of jobs that a lever knows another way for, all alternatives
are tried with all tiles and on-chip ranges; the cheapest row of windows is the part's schedule. No
chance is involved, and ties go to the reference's choice, then to fewer jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from lapilli.compiler.jobs import NnJob, PartJobs, TpJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, on_chip
from lapilli.compiler.schedule.cost import Costs
from lapilli.compiler.schedule.levers.lever import Alternative, Job, Lever, Window
from lapilli.compiler.schedule.levers.registry import MEMORY, PARTIAL_IMAGE, TILES
from lapilli.compiler.storages import settle

JobShape: TypeAlias = tuple[Hashable, ...]

LEAST_SHARE = 0.02
LEAST_SECONDS = 2e-6
"""What another choice has to gain, of the job's time or in all: the model knows no cost of a tile,
of a superblock or of a short burst, so smaller differences say nothing."""


@dataclass(frozen=True)
class Planned:
    """A job with everything chosen, and the cycles that it takes by the model. TP jobs have
    neither tiles nor ranges."""

    job: Job
    cycles: int
    tiling: Tiling | None = None
    memory: OnChipMemory | None = None


@dataclass(frozen=True)
class Plan:
    """Jobs for a window, and their cycles together."""

    jobs: tuple[Planned, ...]
    cycles: int


@dataclass(frozen=True)
class Search:
    """What is searched with. ``choices``: names of the ``CHOICES`` that are open.
    ``remembered``: what was found for a shape; later jobs of that shape are not searched again."""

    costs: Costs
    levers: tuple[Lever, ...]
    choices: frozenset[str]
    effort: int
    remembered: dict[JobShape, Tiling] = field(default_factory=dict)

    @property
    def single(self) -> tuple[Lever, ...]:
        """Levers of one job."""
        return tuple(lever for lever in self.levers if lever.jobs == (1,))

    @property
    def several(self) -> tuple[tuple[Lever, int], ...]:
        """Levers of windows of several jobs, with how many."""
        levers = (lever for lever in self.levers if lever.jobs != (1,))
        return tuple((lever, count) for lever in levers for count in lever.jobs)


def plan(part: PartJobs, search: Search) -> tuple[PartJobs, tuple[Planned, ...]]:
    """The part with its jobs exchanged, without the storages that none of them uses any more, and
    what was chosen for each job."""
    alone = _handed_on(part)
    alternatives = _plans(part, search, alone)
    chosen: list[Planned] = []
    for found in _cheapest_row(alternatives, len(part.jobs)):
        chosen += found.jobs
    jobs = tuple(planned.job for planned in chosen)
    exchanged = settle(replace(part, jobs=jobs), {})
    return exchanged, tuple(map(_with_job, chosen, exchanged.jobs))


def _with_job(planned: Planned, job: Job) -> Planned:
    return replace(planned, job=job)


def _plans(part: PartJobs, search: Search, alone: Sequence[bool]) -> dict[tuple[int, int], Plan]:
    """The cheapest plan for each window: (first job, jobs)."""
    found: dict[tuple[int, int], Plan] = {}
    for i, job in enumerate(part.jobs):
        found[i, 1] = _best_of(job, search, search.single)
    for lever, count in search.several:
        for i in range(len(part.jobs) - count + 1):
            window = Window(
                part.jobs[i : i + count],
                tuple(alone[i : i + count]),
                search.costs.chip,
            )
            plain = sum(found[i + k, 1].cycles for k in range(count))
            for alternative in lever.offers(window):
                known = found.get((i, count))
                cycles = known.cycles if known else plain
                made = _cheaper(alternative, cycles, search, search.single)
                if made is not None:
                    found[i, count] = made
    return found


def _cheapest_row(plans: dict[tuple[int, int], Plan], count: int) -> list[Plan]:
    """Windows that follow one another and cost least together."""
    cost = [0] * (count + 1)
    step = [0] * count
    for i in range(count - 1, -1, -1):
        options = [(plans[i, n].cycles + cost[i + n], n) for n in (1, 2, 3) if (i, n) in plans]
        cost[i], step[i] = min(options)
    row, i = [], 0
    while i < count:
        row.append(plans[i, step[i]])
        i += step[i]
    return row


def _best_of(job: Job, search: Search, levers: tuple[Lever, ...]) -> Plan:
    """The cheapest way to do a job: as it is, or as one of the levers says, each piece of which may
    be changed by the levers behind it."""
    best = _leaf(job, search)
    for number, lever in enumerate(levers):
        window = Window((job,), (False,), search.costs.chip)
        for alternative in lever.offers(window):
            made = _cheaper(alternative, best.cycles, search, levers[number + 1 :])
            best = best if made is None else made
    return best


def _cheaper(
    alternative: Alternative, known: int, search: Search, levers: tuple[Lever, ...]
) -> Plan | None:
    """The plan of an alternative that is worth leaving ``known`` cycles for, else None: as soon as
    its jobs so far, and a start-up for each of the others, take too long."""
    constants = search.costs.constants
    start = min(constants.nn_start_cycles, constants.tp_start_cycles)
    jobs: list[Planned] = []
    spent, rest = 0, len(alternative.jobs)
    for job in alternative.jobs:
        made = _best_of(job, search, levers)
        jobs += made.jobs
        spent, rest = spent + made.cycles, rest - 1
        if not _worth(spent + rest * start, known, search):
            return None
    return Plan(tuple(jobs), spent)


def _worth(cycles: float, known: int, search: Search) -> bool:
    """Whether a choice is cheaper by enough to leave another for it."""
    least = min(LEAST_SHARE * known, LEAST_SECONDS * search.costs.constants.clock_hz)
    return cycles < known - least


def _leaf(job: Job, search: Search) -> Plan:
    """The job itself, with the tiles and ranges that cost least."""
    costs = search.costs
    if isinstance(job, TpJob):
        cycles = costs.tp(job)
        return Plan((Planned(job, cycles),), cycles)
    best = _with_memory(job, costs.generation.tiling(job, costs.chip), search)
    assert best.tiling is not None
    if TILES in search.choices:
        known = costs.size(job, best.tiling.superblocks)
        shape = _shape(job)
        remembered = search.remembered.get(shape)
        tilings = costs.tilings(job, search.effort) if remembered is None else (remembered,)
        for tiling in tilings:
            if not _worth(costs.least(job, tiling, known), best.cycles, search):
                continue
            made = _with_memory(job, tiling, search)
            if _worth(made.cycles, best.cycles, search):
                best = made
        assert best.tiling is not None
        search.remembered.setdefault(shape, best.tiling)
    return Plan((best,), best.cycles)


def _shape(job: NnJob) -> JobShape:
    """All that tells one job from another, but the values of its weights."""
    kernels = job.kernels
    return (
        job.input_size,
        job.output_size,
        kernels.values.shape,
        kernels.input_channels,
        (job.row_offset, job.column_offset),
        (job.native_depthwise, job.strided, job.first_pixel, job.zero_runs),
    )


def _with_memory(job: NnJob, tiling: Tiling, search: Search) -> Planned:
    """The job with such tiles and the ranges that cost least with them."""
    costs = search.costs
    kernel_bytes = costs.size(job, tiling.superblocks).cached
    generation = costs.generation
    if MEMORY in search.choices:
        beside = PARTIAL_IMAGE in search.choices
        memories = list(on_chip.choices(job, costs.chip, tiling, kernel_bytes, beside))
    else:
        memories = [generation.memory(job, costs.chip, tiling, kernel_bytes)]
    return min(
        (Planned(job, costs.nn(job, tiling, memory), tiling, memory) for memory in memories),
        key=lambda planned: planned.cycles,
    )


def _handed_on(part: PartJobs) -> tuple[bool, ...]:
    """For each job whether only the next one reads what it writes, and all of that."""
    readers: Counter[int] = Counter(job.source.storage for job in part.jobs)
    writers: Counter[int] = Counter(job.target.storage for job in part.jobs)
    kept = {crossing.view.storage for crossing in (*part.inputs, *part.outputs)}
    found = []
    for i, job in enumerate(part.jobs):
        storage = job.target.storage
        found.append(
            i + 1 < len(part.jobs)
            and part.jobs[i + 1].source == job.target
            and readers[storage] == writers[storage] == 1
            and storage not in kept
        )
    return tuple(found)
