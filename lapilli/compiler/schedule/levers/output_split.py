"""Output split: a convolution as several over some of the output channels each.

Where kernels and a tile's image do not fit the on-chip memory together, a part of the kernels does:
coefficients are then read once, and the image once for each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapilli.compiler.jobs import Kernels, NnJob
from lapilli.compiler.schedule.levers.groups import output_planes
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window

MOST_PIECES = 4


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, NnJob) or not job.kernels.dense or job.native_depthwise:
        return
    kernels, cores = job.kernels, window.chip.nn_cores
    if kernels.values.size < window.chip.vip_sram_bytes // 4:
        return  # they fit beside any image worth caching
    for count in range(2, MOST_PIECES + 1):
        each = -(-kernels.output_channels // (count * cores)) * cores
        if each >= kernels.output_channels:
            return
        starts = range(0, kernels.output_channels, each)
        if len(starts) == count:
            ends = [min(start + each, kernels.output_channels) for start in starts]
            yield Alternative(tuple(piece(job, *pair) for pair in zip(starts, ends, strict=True)))


def piece(job: NnJob, start: int, end: int) -> NnJob:
    """The job's output channels ``start`` to ``end - 1``."""
    kernels = job.kernels
    part = Kernels(
        kernels.values[start:end],
        kernels.first_channel[start:end],
        kernels.input_channels,
        kernels.zero_point,
        kernels.bias[start:end],
        kernels.signed,
    )
    return replace(
        job,
        target=output_planes(job, start, end),
        output_size=replace(job.output_size, channels=end - start),
        kernels=part,
    )


LEVER = Lever(
    name="output-split",
    sentence="Kernels that don't fit the on-chip memory are done in parts of the output channels.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
    generations=(7,),
)
