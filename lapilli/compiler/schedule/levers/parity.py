"""Parity: the job in front of a strided convolution writes the four parities of its result itself.

A kernel that is moved by (a, b) pixels, of whose results every second row and column is stored,
gives the rows 2y + a and columns 2x + b: four such kernels for each output channel make the planes
that the TP would make in a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import Kernels, NnJob, TpJob, View
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window
from lapilli.compiler.schedule.levers.one_pass import unpadded


def _alternatives(window: Window) -> Iterator[Alternative]:
    producer, reshuffle, consumer = window.jobs
    if not (isinstance(producer, NnJob) and _movable(producer, window)):
        return
    if not (isinstance(reshuffle, TpJob) and unpadded(reshuffle) and isinstance(consumer, NnJob)):
        return
    assert reshuffle.size is not None
    made = producer.output_size
    # 1x1 jobs of tall images have their sides changed over.
    if not all(window.alone[:2]) or reshuffle.size != made:
        return
    half = moves.halved(reshuffle.size)
    planes = View(reshuffle.target.storage, reshuffle.target.offset, half.plane * half.channels)
    yield Alternative(
        (
            replace(
                producer,
                target=planes,
                output_size=half,
                kernels=moved_kernels(producer.kernels),
                tile_limits=(half.columns, half.rows),
                strided=True,
                first_pixel=True,
            ),
            replace(consumer, source=planes, input_size=half),
        )
    )


def _movable(job: NnJob, window: Window) -> bool:
    """Its kernels may become four, a row and a column larger, each."""
    kernels, chip = job.kernels, window.chip
    return (
        not job.first_pixel
        and not job.strided
        and not job.native_depthwise
        and job.kind == "convolution"
        and kernels.dense
        and chip.first_pixel_pooling
        and kernels.rows < chip.maximum_kernel_rows
        and kernels.columns < chip.maximum_kernel_columns
    )


def moved_kernels(kernels: Kernels) -> Kernels:
    """Four kernels for each: moved by no pixel, one column, one row and both."""
    count, planes, rows, columns = kernels.values.shape
    values = np.full((count, 4, planes, rows + 1, columns + 1), kernels.zero_point, np.uint8)
    for number in range(4):
        down, right = divmod(number, 2)
        values[:, number, :, down : down + rows, right : right + columns] = kernels.values
    return replace(
        kernels,
        values=values.reshape(4 * count, planes, rows + 1, columns + 1),
        first_channel=np.repeat(kernels.first_channel, 4),
        bias=np.repeat(kernels.bias, 4),
    )


LEVER = Lever(
    name="parity",
    sentence="The job in front of a strided convolution writes the parities of rows and columns.",
    evidence=Evidence.COMBINED,
    jobs=(3,),
    alternatives=_alternatives,
)
