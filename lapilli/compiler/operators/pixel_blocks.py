"""DEPTH_TO_SPACE and SPACE_TO_DEPTH: blocks of pixels against channels."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import blocks, moves
from lapilli.compiler.encode.blocks import Block
from lapilli.compiler.jobs import TpJob
from lapilli.compiler.operators.interleaving import Pixels, interleaved
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    moved_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.graph import Operator
from lapilli.model.options import Blocks

DEPTH_TO_SPACE, SPACE_TO_DEPTH = "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"
MOST = 16
"""Rows and columns of a block: a copy for each of its pixels."""


def _block(operator: Operator) -> int:
    assert isinstance(operator.options, Blocks)
    return operator.options.size


def blocks_agree(case: Case) -> str | None:
    """Blocks must have 1 to 16 rows and columns, and the larger image must be made of whole
    ones."""
    if not isinstance(case.operator.options, Blocks):
        return "no options"
    size = case.operator.options.size
    images = [case.input(0).shape, case.output().shape]
    deep, wide = images if case.operator.kind == DEPTH_TO_SPACE else images[::-1]
    agree = wide[1:] == (deep[1] * size, deep[2] * size, deep[3] // max(size, 1) ** 2)
    if 1 <= size <= MOST and agree and deep[3] % size**2 == 0:
        return None
    return f"{list(images[0])} -> {list(images[1])} with blocks of {size}x{size}"


def block_lines(case: Case) -> str | None:
    """A row of blocks may have at most 65535 pixels in a line."""
    for tensor in case.images:
        if not moves.fits(tensor.shape[2] * _block(case.operator)):
            return f"{tensor.name} has {tensor.shape[2]} columns"
    return None


def depth_to_space(builder: Builder, operator: Operator) -> None:
    """A copy for each pixel of a block."""
    source, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    step, size = _block(operator), source.size
    view = builder.planar(operator.inputs[0], operator.index)
    each = size.plane * result.size.channels
    parts = [
        Pixels((a * step + b) * each, size.rows, size.columns, a, b)
        for a in range(step)
        for b in range(step)
    ]
    result.planar = interleaved(builder, operator, view, parts, (step, step), result.size)


def space_to_depth(builder: Builder, operator: Operator) -> None:
    """A reshuffle that puts the channels of a pixel of the block side by side."""
    source, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    step, made = _block(operator), result.size
    view = builder.planar(operator.inputs[0], operator.index)
    target = builder.store_planes(made)
    each = made.plane * source.size.channels
    block = Block(
        source=source.size,
        top=0,
        left=0,
        steps=(step, step),
        rows=made.rows,
        columns=made.columns,
        offset=0,
        by_row=step * each,
        by_column=each,
        by_plane=made.plane,
    )
    jobs = blocks.jobs_of([block], source.zero_point, builder.chip.tp_cores)
    builder.steps += [TpJob(operator.index, "planes", view, target, job) for job in jobs]
    result.planar = target


_RULES = (
    operands_present,
    operands_computed,
    eight_bit,
    image_of_four_dimensions,
    batch_of_one,
    blocks_agree,
    quantised_per_tensor,
    quantisation_stays,
    moved_size,
    block_lines,
)
RECORDS = (
    OperatorRecord(
        kinds=(DEPTH_TO_SPACE,),
        words="Copies on the TP cores, one for each pixel of a block.",
        rules=_RULES,
        lower=depth_to_space,
    ),
    OperatorRecord(
        kinds=(SPACE_TO_DEPTH,),
        words="A move on the TP cores, as in front of convolutions with stride 2.",
        rules=_RULES,
        lower=space_to_depth,
    ),
)
