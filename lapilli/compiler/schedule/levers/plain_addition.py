"""Plain addition: V7's sum of two planes by a kernel of one tap instead of 2x2 with empty ones.

A tap that is the zero point adds nothing; without it no further row is read, and the image may be
folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, NnJob) or job.kind not in SUMS:
        return
    kernels = job.kernels
    empty = kernels.values.copy()
    empty[:, :, 0, 0] = kernels.zero_point
    if kernels.rows > 1 and (empty == kernels.zero_point).all():
        yield Alternative(
            (replace(job, kernels=replace(kernels, values=kernels.values[:, :, :1, :1])),)
        )


SUMS = ("addition", "subtraction")

LEVER = Lever(
    name="plain-addition",
    sentence="An addition on V7 has kernels of one tap instead of four.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
    generations=(7,),
)
