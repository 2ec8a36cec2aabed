"""Empty taps: depthwise kernels of one tap get three more that do nothing.

V7 writes depthwise kernels over all planes, and codes runs of zeros for kernels larger than 1x1
only: 192 kernels of one tap are 39 KB as they are, and 11 KB with three taps more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window

AROUND = ((0, 0), (0, 0), (0, 1), (0, 1))


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, NnJob) or job.native_depthwise or not job.zero_runs:
        return
    kernels = job.kernels
    if kernels.dense or (kernels.rows, kernels.columns) != (1, 1):
        return
    values = np.pad(kernels.values, AROUND, constant_values=kernels.zero_point)
    yield Alternative((replace(job, kernels=replace(kernels, values=values)),))


LEVER = Lever(
    name="empty-taps",
    sentence="Depthwise kernels of one tap on V7 get three empty ones: zeros are coded as runs.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
    generations=(7,),
)
