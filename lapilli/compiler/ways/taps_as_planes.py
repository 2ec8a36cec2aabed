"""Convolutions that the unit has no field for: rows and columns become planes until it has.

Strides other than 1 and 2 make a plane of every so-manieth row and column, kernels larger than the
chip's are cut into pieces that see planes which begin further down or to the right, and taps that
dilation puts too far apart get a plane each. The TP cores make the planes, with the padding in
front; one NN job with a small kernel sees them all. Every product of the model is summed up there,
so nothing is rounded twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lapilli.compiler import program_size
from lapilli.compiler.encode import blocks
from lapilli.compiler.encode.blocks import Block
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, Storage, TpJob, View
from lapilli.compiler.ways.direct import direct
from lapilli.compiler.ways.way import Done, Terms
from lapilli.hw.chips import Chip

UNIT_STRIDES = ((1, 1), (2, 2))


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution; pairs are (rows, columns). ``before``: padding."""

    source: ImageSize
    result: ImageSize
    taps: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]

    @property
    def reach(self) -> tuple[int, int]:
        """From a kernel's first tap to its last."""
        rows, columns = ((n - 1) * d + 1 for n, d in zip(self.taps, self.dilation, strict=True))
        return rows, columns


def geometry_of(intent: ConvolutionIntent) -> Geometry:
    """Of a convolution that is to be done."""
    return Geometry(
        intent.input_size,
        intent.output_size,
        (intent.kernels.rows, intent.kernels.columns),
        intent.stride,
        intent.dilation,
        intent.padding_before,
    )


def without_field(geometry: Geometry, chip: Chip) -> bool:
    """Stride, kernel or padding have no field."""
    rows, columns = geometry.reach
    return (
        geometry.stride not in UNIT_STRIDES
        or rows > chip.maximum_kernel_rows
        or columns > chip.maximum_kernel_columns
        or max(geometry.before) > -chip.smallest_image_offset
    )


def without_fields(intent: ConvolutionIntent, chip: Chip) -> bool:
    """The same of what is to be done."""
    return without_field(geometry_of(intent), chip)


@dataclass(frozen=True)
class _Side:
    """Rows or columns. ``starts``: of the groups of planes, from the first window's first element;
    a group has ``step`` planes, whose elements are ``step`` apart. ``taps``: of the kernel over
    them. ``extent``: of a plane. ``places``: (tap of the model, plane, tap) for all that count."""

    starts: tuple[int, ...]
    step: int
    taps: int
    extent: int
    places: tuple[tuple[int, int, int], ...]

    @property
    def planes(self) -> int:
        """Made of each plane of the image."""
        return len(self.starts) * self.step


def _side(
    count: int, dilation: int, stride: int, most: int, before: int, size: int, made: int
) -> _Side:
    """``count`` taps of the model; ``most``: of the chip's kernels; ``made``: output extent."""
    reached = (count - 1) * dilation + 1
    if stride == 1 and dilation > 1:
        starts, taps = [i * dilation for i in range(count)], 1
        spots = [(i, i, 0, 0) for i in range(count)]
    else:
        steps = -(-reached // stride)
        groups = -(-steps // most)
        taps = -(-steps // groups)
        starts = [i * taps * stride for i in range(groups)]
        spots = [
            (
                i,
                i * dilation // stride // taps,
                i * dilation % stride,
                i * dilation // stride % taps,
            )
            for i in range(count)
        ]
    extent = made + taps - 1
    # What lies outside the image altogether adds nothing.
    kept = [g for g, start in enumerate(starts) if -extent * stride < start - before < size]
    places = tuple(
        (i, kept.index(group) * stride + phase, tap)
        for i, group, phase, tap in spots
        if group in kept
    )
    if not kept:
        return _Side((before,), stride, taps, extent, ())
    return _Side(tuple(starts[g] for g in kept), stride, taps, extent, places)


@dataclass(frozen=True)
class Plan:
    """How rows and columns of a convolution become planes of its input."""

    rows: _Side
    columns: _Side
    size: ImageSize

    @property
    def each(self) -> int:
        """Planes made of each channel."""
        return self.rows.planes * self.columns.planes


def plan_of(geometry: Geometry, chip: Chip) -> Plan:
    """The planes of a convolution that has no field."""
    source, result = geometry.source, geometry.result
    most = chip.maximum_kernel_rows, chip.maximum_kernel_columns
    sizes, made = (source.rows, source.columns), (result.rows, result.columns)
    rows, columns = (
        _side(
            geometry.taps[i],
            geometry.dilation[i],
            geometry.stride[i],
            most[i],
            geometry.before[i],
            sizes[i],
            made[i],
        )
        for i in (0, 1)
    )
    channels = source.channels * rows.planes * columns.planes
    return Plan(rows, columns, ImageSize(columns.extent, rows.extent, channels))


def taps_as_planes(intent: ConvolutionIntent, terms: Terms) -> Done:
    """TP jobs that make the planes, and an NN job over them."""
    plan = plan_of(geometry_of(intent), terms.chip)
    bytes_made = plan.size.plane * plan.size.channels
    view = View(terms.next_storage, 0, bytes_made)
    parts = list(_blocks(intent, plan))
    moves = [
        TpJob(intent.operator, "planes", intent.source, view, job)
        for job in blocks.jobs_of(parts, intent.input_zero_point, terms.chip.tp_cores)
    ]
    over = replace(
        intent,
        depthwise=False,
        source=view,
        input_size=plan.size,
        kernels=_kernels(intent.kernels, plan, terms.options.most_bytes),
        stride=(1, 1),
        dilation=(1, 1),
        padding_before=(0, 0),
        padding_after=(0, 0),
        padding_same=False,
    )
    return Done((*moves, *direct(over, terms).jobs), (Storage("tensor", bytes_made),))


def _blocks(intent: ConvolutionIntent, plan: Plan) -> Iterator[Block]:
    """One for each group of rows and of columns."""
    plane, (top, left) = plan.size.plane, intent.padding_before
    steps = plan.rows.step, plan.columns.step
    for i, down in enumerate(plan.rows.starts):
        for j, across in enumerate(plan.columns.starts):
            first = i * steps[0] * plan.columns.planes + j * steps[1]
            yield Block(
                source=intent.input_size,
                top=down - top,
                left=across - left,
                steps=steps,
                rows=plan.size.rows,
                columns=plan.size.columns,
                offset=first * plane,
                by_row=plan.columns.planes * plane,
                by_column=plane,
                by_plane=plan.each * plane,
            )


def _kernels(kernels: Kernels, plan: Plan, most_bytes: int) -> Kernels:
    """Each tap in its plane; zero points where there is none."""
    count, planes = kernels.values.shape[:2]
    shape = (count, planes, plan.each, plan.rows.taps, plan.columns.taps)
    program_size.Budget(most_bytes).spend(math.prod(shape))
    values = np.full(shape, kernels.zero_point, np.uint8)
    for i, row_plane, row in plan.rows.places:
        for j, column_plane, column in plan.columns.places:
            plane = row_plane * plan.columns.planes + column_plane
            values[:, :, plane, row, column] = kernels.values[:, :, i, j]
    return replace(
        kernels,
        values=values.reshape(count, planes * plan.each, plan.rows.taps, plan.columns.taps),
        first_channel=plan.each * kernels.first_channel,
        input_channels=plan.each * kernels.input_channels,
    )
