"""TP cores: a change of layout is done by all TP cores, each some rows or channels of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import TpJob
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window

LAYOUT_CHANGES = {"transpose": moves.to_planar, "detranspose": moves.from_planar}


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, TpJob) or job.kind not in LAYOUT_CHANGES or len(job.instructions) > 1:
        return
    assert job.size is not None
    zero_point = job.instructions[0].fields["in_zp"]
    for cores in range(2, window.chip.tp_cores + 1):
        pieces = LAYOUT_CHANGES[job.kind](job.size, zero_point, cores)
        if len(pieces) == cores:
            yield Alternative((replace(job, instructions=pieces),))


LEVER = Lever(
    name="tp-cores",
    sentence="Changes of layout are split over all TP cores.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
)
