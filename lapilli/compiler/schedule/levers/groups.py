"""Groups: a depthwise convolution as several over some of the channels each.

V7 has no depthwise kernels: each one is written over all input planes, zeros and all. A group of
channels reads its own planes only, so the runs of zeros are shorter, fewer coefficients are
fetched, and kernels and image find room on chip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapilli.compiler.jobs import ImageSize, Kernels, NnJob, View
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window

COUNTS = (2, 3, 4, 5, 7, 10, 14)
FEWEST_CHANNELS = 32


def _alternatives(window: Window) -> Iterator[Alternative]:
    (job,) = window.jobs
    if not isinstance(job, NnJob) or not divisible(job):
        return
    tried = set()
    cores, channels = window.chip.nn_cores, job.kernels.output_channels
    for count in COUNTS:
        # Groups of whole rounds of the cores: kernels that fill up a round would write the planes
        # of the next group. The last one may have what is left.
        each = -(-channels // (count * cores)) * cores
        if each < FEWEST_CHANNELS or each >= channels or each in tried:
            continue
        tried.add(each)
        starts = range(0, channels, each)
        yield Alternative(tuple(piece(job, s, min(s + each, channels)) for s in starts))


def divisible(job: NnJob) -> bool:
    """Each kernel covers a few planes only, those of later kernels behind those of earlier ones."""
    first = job.kernels.first_channel
    return (
        not job.native_depthwise
        and not job.kernels.dense
        and job.kernels.output_channels > 1
        and bool((first[1:] >= first[:-1]).all())
    )


def piece(job: NnJob, start: int, end: int) -> NnJob:
    """The job's kernels ``start`` to ``end - 1`` over the planes that they read."""
    kernels, size = job.kernels, job.input_size
    low = int(kernels.first_channel[start])
    planes = int(kernels.first_channel[end - 1]) + kernels.values.shape[1] - low
    part = Kernels(
        kernels.values[start:end],
        kernels.first_channel[start:end] - low,
        planes,
        kernels.zero_point,
        kernels.bias[start:end],
        kernels.signed,
    )
    source = View(job.source.storage, job.source.offset + low * size.plane, planes * size.plane)
    return replace(
        job,
        source=source,
        target=output_planes(job, start, end),
        input_size=ImageSize(size.columns, size.rows, planes),
        output_size=replace(job.output_size, channels=end - start),
        kernels=part,
    )


def output_planes(job: NnJob, start: int, end: int) -> View:
    """Where output channels ``start`` to ``end - 1`` lie."""
    plane = job.output_size.plane
    offset = job.target.offset + start * plane
    return View(job.target.storage, offset, (end - start) * plane)


LEVER = Lever(
    name="groups",
    sentence="A depthwise convolution on V7 is done in groups of channels, each over its planes.",
    evidence=Evidence.COMBINED,
    jobs=(1,),
    alternatives=_alternatives,
    generations=(7,),
)
