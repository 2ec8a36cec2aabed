"""Dilated convolutions: every so-manieth row and column makes a small image, all of them stacked.

Taps that lie ``d`` apart see only pixels that do, so an image is ``d * d`` images on which the
kernel has no gaps. The TP cores write them one below the other, each with the padding around it;
one NN job convolves them all, and its results are put in place again. What it makes of rows of two
images is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lapilli.compiler.encode import blocks, copies
from lapilli.compiler.encode.blocks import Block
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Storage, TpJob, View
from lapilli.compiler.ways.direct import direct
from lapilli.compiler.ways.taps_as_planes import Geometry, geometry_of
from lapilli.compiler.ways.way import Done, Terms
from lapilli.hw.chips import Chip
from lapilli.model.geometry import SIDE_MAXIMUM

BYTES_BELOW = 1 << 28
MOST_PHASES = 512
"""Images that are stacked: a copy each."""


@dataclass(frozen=True)
class Stack:
    """``rows`` x ``columns``: of each small image's results; ``height`` x ``width``: of the small
    image. ``phases``: how many there are along rows and columns."""

    rows: int
    columns: int
    height: int
    width: int
    phases: tuple[int, int]

    @property
    def count(self) -> int:
        """Of the small images."""
        return self.phases[0] * self.phases[1]

    @property
    def all_rows(self) -> int:
        """Of the whole stack."""
        return self.count * self.height


def stack_of(geometry: Geometry) -> Stack:
    """The small images of a dilated convolution."""
    down, across = geometry.dilation
    rows, columns = -(-geometry.result.rows // down), -(-geometry.result.columns // across)
    return Stack(
        rows,
        columns,
        rows + geometry.taps[0] - 1,
        columns + geometry.taps[1] - 1,
        geometry.dilation,
    )


def stackable(geometry: Geometry, chip: Chip) -> bool:
    """It is dilated, and the stack is an image that the unit convolves."""
    stack, most = stack_of(geometry), (chip.maximum_kernel_rows, chip.maximum_kernel_columns)
    return (
        geometry.stride == (1, 1)
        and geometry.dilation != (1, 1)
        and geometry.taps[0] <= most[0]
        and geometry.taps[1] <= most[1]
        and max(stack.all_rows, stack.width) <= SIDE_MAXIMUM
        and stack.count <= MOST_PHASES
        and geometry.source.channels * stack.all_rows * stack.width < BYTES_BELOW
    )


def stacked_phases(intent: ConvolutionIntent, terms: Terms) -> Done:
    """TP jobs that make the stack, an NN job over it, TP jobs that put its results in place."""
    stack, size = stack_of(geometry_of(intent)), intent.input_size
    channels = intent.output_size.channels
    made = ImageSize(stack.columns, stack.all_rows - intent.kernels.rows + 1, channels)
    cores = min(channels, terms.chip.nn_cores)
    slack = made.plane * (-(-channels // cores) * cores - channels)
    before = View(terms.next_storage, 0, stack.all_rows * stack.width * size.channels)
    behind = View(terms.next_storage + 1, 0, made.plane * channels)
    over = replace(
        intent,
        source=before,
        target=behind,
        input_size=ImageSize(stack.width, stack.all_rows, size.channels),
        output_size=made,
        dilation=(1, 1),
        padding_before=(0, 0),
        padding_after=(0, 0),
        padding_same=False,
    )
    jobs = blocks.jobs_of([_block(intent, stack)], intent.input_zero_point, terms.chip.tp_cores)
    pieces = [_piece(intent, stack, made, number) for number in range(stack.count)]
    inside = [piece for piece in pieces if piece.rows > 0 and piece.columns > 0]
    firsts = range(0, len(inside), terms.chip.tp_cores)
    groups = [inside[first : first + terms.chip.tp_cores] for first in firsts]
    return Done(
        (
            *(TpJob(intent.operator, "planes", intent.source, before, job) for job in jobs),
            *direct(over, terms).jobs,
            *(
                TpJob(intent.operator, "copy", behind, intent.target, copies.together(group))
                for group in groups
            ),
        ),
        (Storage("tensor", before.size), Storage("tensor", behind.size + slack)),
    )


def _block(intent: ConvolutionIntent, stack: Stack) -> Block:
    each = stack.height * stack.width
    return Block(
        source=intent.input_size,
        top=-intent.padding_before[0],
        left=-intent.padding_before[1],
        steps=stack.phases,
        rows=stack.height,
        columns=stack.width,
        offset=0,
        by_row=stack.phases[1] * each,
        by_column=each,
        by_plane=stack.count * each,
    )


def _piece(intent: ConvolutionIntent, stack: Stack, made: ImageSize, number: int) -> Piece:
    """The results of a small image."""
    output, (down, across) = intent.output_size, stack.phases
    top, left = divmod(number, across)
    return Piece(
        columns=len(range(left, output.columns, across)),
        rows=len(range(top, output.rows, down)),
        planes=output.channels,
        source_row=made.columns,
        source_plane=made.plane,
        target_column=across,
        target_row=down * output.columns,
        target_plane=output.plane,
        source_offset=number * stack.height * made.columns,
        target_offset=top * output.columns + left,
    )
