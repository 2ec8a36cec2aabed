"""Other constants than the timing model's: is it the model or the lever that gains?

A set changes one figure, or what is assumed of the unit. As a changed figure also moves the
reference schedule, which published times hold in place, the bus rate can be fitted again so that
the reference keeps its times: sets that need a bus slower than what counters show are not
plausible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from schedule_jobs import Job

from lapilli.timing.constants import TimingConstants
from lapilli.timing.cycles import charge
from lapilli.timing.work import Work

SLOWEST_BUS = 4.85
"""Bytes a cycle. Counters show 5.1 to 5.4 on average for another model on the same board, and a bus
is no slower than what it moves on average; 5 % for the scatter of published times."""


@dataclass(frozen=True)
class ConstantSet:
    """``values`` replace constants, ``factors`` multiply them. ``patch_cycles``: of a weight of
    kernels larger than 1x1, at least. ``packed``: narrow rows share a line of the unit."""

    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    patch_cycles: Fraction = Fraction(0)
    packed: bool = False

    def constants(self, nominal: TimingConstants) -> TimingConstants:
        """The chip's constants, changed."""
        multiplied = {name: getattr(nominal, name) * by for name, by in self.factors.items()}
        return replace(nominal, **self.values, **multiplied)


def start(factor: float) -> dict[str, float]:
    """Factors of both units' start-up."""
    return {"nn_start_cycles": factor, "tp_start_cycles": factor}


NOMINAL = ConstantSet("nominal")
SETS = (
    NOMINAL,
    *(ConstantSet(f"start x{by:g}", factors=start(by)) for by in (0.1, 0.5, 2)),
    *(ConstantSet(f"multiplier_use {v:g}", {"multiplier_use": v}) for v in (0.6, 1)),
    *(ConstantSet(f"zero_run {v:g}", {"zero_run_cycles": v}) for v in (0, 0.25, 1, 1.5)),
    *(ConstantSet(f"on_chip {v:g}", {"on_chip_bytes": v}) for v in (8, 32)),
    *(ConstantSet(f"bus {v:g}", {"bus_bytes": v}) for v in (4.5, 6.5)),
    ConstantSet("patches 1/3", patch_cycles=Fraction(1, 3)),
    ConstantSet("patches 1", patch_cycles=Fraction(1)),
    ConstantSet("rows packed", packed=True),
    ConstantSet(
        "zero_run 0, use 1, start x0.1", {"zero_run_cycles": 0, "multiplier_use": 1}, start(0.1)
    ),
    ConstantSet(
        "zero_run 1, use 0.6, start x2", {"zero_run_cycles": 1, "multiplier_use": 0.6}, start(2)
    ),
)


def milliseconds(jobs: Iterable[Job], changed: ConstantSet, constants: TimingConstants) -> float:
    """All jobs' time; ``constants`` are those of the set already."""
    cycles = sum(charge(_assumed(job, changed), constants).total_cycles for job in jobs)
    return 1e3 * cycles / constants.clock_hz


def _assumed(job: Job, changed: ConstantSet) -> Work:
    work = job.work
    if job.patched and changed.patch_cycles > work.weight_cycles:
        work = replace(work, weight_cycles=changed.patch_cycles)
    if changed.packed and work.unit == "NN":
        work = replace(work, rows=job.lines)
    return work


def refitted(
    changed: ConstantSet, references: Sequence[Sequence[Job]], nominal: TimingConstants
) -> TimingConstants:
    """The set's constants with the bus rate that keeps the references' times best: least squares of
    the ratios' logarithms, by golden section."""
    wanted = [milliseconds(jobs, NOMINAL, nominal) for jobs in references]
    base = changed.constants(nominal)

    def error(bus: float) -> float:
        with_bus = replace(base, bus_bytes=bus)
        found = [milliseconds(jobs, changed, with_bus) for jobs in references]
        return sum(math.log(f / w) ** 2 for f, w in zip(found, wanted, strict=True))

    low, high, ratio = 2.0, 14.0, (math.sqrt(5) - 1) / 2
    for _ in range(22):
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if error(first) < error(second):
            high = second
        else:
            low = first
    return replace(base, bus_bytes=(low + high) / 2)
