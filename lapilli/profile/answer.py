"""A profile in one sentence: what it waits for, who costs most, what to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lapilli.profile.events import OperatorRecord, Processor, Profile

COSTLIEST: Final = 3
MUCH: Final = 0.05
"""Share of the multiplications from which what stays on the CPU comes first."""
REMEDIES: Final[Mapping[str, str]] = {
    "memory": "smaller images or fewer channels in these, as fewer bytes then cross the bus",
    "coefficients": "fewer weights other than zero in these, or fewer output rows",
    "TP": "keeping the NPU's operators together, so that fewer layouts change",
    "start-up": "fewer and larger operators, as each job costs time before it begins",
}


def answer(profile: Profile) -> str:
    """For the head of a report; a sentence or two."""
    if not profile.npu_cycles:
        return "The NPU has nothing to do."
    spent: dict[str, int] = {}
    for job in profile.jobs:
        spent[job.cycles.bound.value] = spent.get(job.cycles.bound.value, 0) + job.cycles.total
    bound = max(spent, key=lambda name: spent[name])
    rows = sorted(
        (op for op in profile.operators if op.processor is Processor.NPU),
        key=lambda op: -op.total_cycles,
    )[:COSTLIEST]
    share = sum(op.total_cycles for op in rows) / profile.npu_cycles
    costly = ", ".join(map(_named, rows))
    verb = "costs" if len(rows) == 1 else "cost"
    waiting = 100 * spent[bound] / profile.npu_cycles
    return (
        f"{1e3 * profile.npu_seconds:.2f} ms on the NPU, {waiting:.0f} % of it waiting for "
        f"{bound}; {costly} {verb} most ({100 * share:.0f} %). To try: {_remedy(profile, bound)}."
    )


def _named(op: OperatorRecord) -> str:
    number = op.operators[0] if op.operators else op.row
    return f"{op.kind} {number}"


def _remedy(profile: Profile, bound: str) -> str:
    left = profile.blocking
    if left is not None and left.rules and left.share >= MUCH:
        return f"first what keeps {100 * left.share:.0f} % of the multiplications on the CPU"
    if profile.schedule == "reference":
        return "the best schedule"
    return REMEDIES[bound]
