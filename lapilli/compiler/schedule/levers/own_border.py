"""Own border: the NN unit adds a padding's border itself, as it does for its convolutions.

A convolution of a padded image reads the image as it is, from as many rows and columns further in
front: what lies outside, the unit takes for zero points anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import ImageSize, NnJob, TpJob
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window
from lapilli.compiler.schedule.levers.one_pass import reshuffled

FURTHEST = 8
"""Rows or columns in front of the image that a kernel may begin at: the field has four bits."""


@dataclass(frozen=True)
class Border:
    """What a padding does: ``before`` and ``behind`` are (rows, columns) around an image of
    ``size``, which becomes one of ``padded``."""

    size: ImageSize
    padded: ImageSize
    before: tuple[int, int]


def _alternatives(window: Window) -> Iterator[Alternative]:
    pad, *others = window.jobs
    consumer = others[-1]
    if not (isinstance(pad, TpJob) and isinstance(consumer, NnJob) and all(window.alone[:-1])):
        return
    border = border_of(pad, consumer.input_zero_point)
    if border is None:
        return
    if len(others) == 1:
        moved = without_padding(consumer, pad, border)
        if moved is not None:
            yield Alternative((moved,))
        return
    reshuffle = others[0]
    if isinstance(reshuffle, TpJob) and reshuffle.kind == "reshuffle":
        read = reshuffled(reshuffle, consumer)
        if read is not None and read.source == border.padded:
            before = read.top + border.before[0], read.left + border.before[1]
            geometry = moves.SpaceToDepth(border.size, read.result, *before)
            pieces = moves.space_to_depth(geometry, window.chip.tp_cores, consumer.input_zero_point)
            job = replace(reshuffle, source=pad.source, instructions=pieces, size=border.size)
            yield Alternative((job, consumer))


def border_of(pad: TpJob, zero_point: int) -> Border | None:
    """The border of planes that a TP job makes, if it is of zero points and along rows and columns
    alone."""
    if pad.kind != "pad":
        return None
    fields = [instruction.fields for instruction in pad.instructions]
    first = fields[0]
    deep = any(
        each["in_window_z_start_overfetch"] or each["in_window_z_end_overfetch"] for each in fields
    )
    if deep or first["in_zp"] != zero_point:
        return None
    channels = sum(each["in_image_z_size"] for each in fields)
    size = ImageSize(first["in_image_x_size"], first["in_image_y_size"], channels)
    starts = first["in_window_y_start"], first["in_window_x_start"]
    ends = first["in_window_y_end"], first["in_window_x_end"]
    rows, columns = (end - start + 1 for start, end in zip(starts, ends, strict=True))
    return Border(size, ImageSize(columns, rows, channels), (-starts[0], -starts[1]))


def without_padding(job: NnJob, pad: TpJob, border: Border) -> NnJob | None:
    """The job on the image in front of the padding; None if a kernel would see nothing of it, or
    begin further outside than there is a field for."""
    if job.input_size != border.padded:
        return None
    step = 2 if job.first_pixel else 1
    offsets = job.row_offset - border.before[0], job.column_offset - border.before[1]
    kernel = job.kernels.rows, job.kernels.columns
    image = border.size.rows, border.size.columns
    made = job.output_size.rows * step, job.output_size.columns * step
    for offset, reach, extent, results in zip(offsets, kernel, image, made, strict=True):
        behind = results - 1 + offset + reach - extent
        if -offset > min(reach - 1, FURTHEST) or behind > reach - 1:
            return None
    return replace(
        job,
        source=pad.source,
        input_size=border.size,
        row_offset=offsets[0],
        column_offset=offsets[1],
    )


LEVER = Lever(
    name="own-border",
    sentence="A padding in front of a convolution is the border that the NN unit adds itself.",
    evidence=Evidence.COMBINED,
    jobs=(2, 3),
    alternatives=_alternatives,
)
