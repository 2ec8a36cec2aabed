"""MAX_POOL_2D by differences of bytes: see ``byte_sums``.

Columns and rows are compared apart, each time twice as many as before. With stride 2 the first job
writes the four pixels of each 2x2 block to planes of their own, so that all further jobs have a
quarter of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import moves
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.byte_sums import (
    Comparisons,
    Stage,
    Taps,
    Work,
    extents,
    run,
    shifted,
    tap,
)
from lapilli.compiler.operators.endings import activation_exact, byte_ending
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    CHANNELS_MAXIMUM,
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import (
    before_of,
    pooling_of,
    quantisation_stays,
    strides_of,
    window_padding,
    window_strides,
    windows_fit,
)
from lapilli.hw.chips import Chip
from lapilli.model.geometry import SIDE_MAXIMUM
from lapilli.model.graph import Graph, Operator

# ----------------------------------------------------------------------------------------- the jobs


def stages_of(rows: int, columns: int, stride: int) -> tuple[Stage, ...]:
    """The jobs for windows of ``rows`` x ``columns`` that move by ``stride`` (1 or 2)."""
    found = Comparisons()
    if stride == 1:
        values, _ = found.sliding([tap(0)], columns, (0, 1), [])
        values, _ = found.sliding(values, rows, (1, 0), [])
        found.job(values)
        return tuple(found.stages)
    # Of the pixels that windows begin at, those beside, below, and both.
    lanes = [(tap(0, row, 0), tap(0, row, 1)) for row in range(min(rows, 2))]
    values = _halved(found, lanes, columns, (0, 1))
    if len(values) == 2:
        values = _halved(found, [(values[0], values[1])], rows, (1, 0))
    found.job(values)
    return tuple(found.stages)


def _halved(
    found: Comparisons, pairs: list[tuple[Taps, Taps]], extent: int, step: tuple[int, int]
) -> list[Taps]:
    """The largest of ``extent`` neighbours, of which ``pairs`` hold the even and the odd ones."""
    if extent == 1:
        return [even for even, _ in pairs]
    odd = extent % 2 == 1
    values, kept = found.larger(pairs, [even for even, _ in pairs] if odd else [])
    values, kept = found.sliding(values, extent // 2, step, kept)
    if odd:
        last = [shifted(k, extent // 2 * step[0], extent // 2 * step[1]) for k in kept]
        values, _ = found.larger(list(zip(last, values, strict=True)))
    return values


@dataclass(frozen=True)
class _Plan:
    """How the image lies for the jobs. ``groups``: images that a plane consists of; each has
    ``each`` channels one below the other, ``rows`` apart, or only one channel. ``top`` and
    ``bottom``: rows that have to be put around every channel first."""

    groups: int
    each: int
    rows: int
    top: int
    bottom: int


def _plan(graph: Graph, operator: Operator, chip: Chip) -> _Plan | None:
    """None if the channels can't lie so that all sizes have fields."""
    _, rows, _, channels = graph.tensors[operator.inputs[0]].shape
    before, _ = before_of(graph, operator)
    if channels <= chip.nn_cores:
        return _Plan(channels, 1, rows, 0, 0)
    stride, _ = strides_of(graph, operator)
    count = graph.tensors[operator.outputs[0]].shape[1]
    needed = (count - 1) * stride + pooling_of(operator).rows - before
    bottom = max(needed - rows, 0)
    bottom += (before + rows + bottom) % stride
    each_rows = before + rows + bottom
    for groups in range(1, channels):
        each = channels // groups
        if channels % groups == 0 and each_rows * each <= SIDE_MAXIMUM:
            return _Plan(groups, each, each_rows, before, bottom)
    return _Plan(channels, 1, rows, 0, 0)


# ------------------------------------------------------------------------------------------- rules


def comparisons_fit(case: Case) -> str | None:
    """There may be at most 16383 channels in any job: groups of channels whose rows lie one below
    the other have at most 8191 rows, and there are up to six planes of each group.

    Remedy: Pool the image in pieces.
    """
    plan = _plan(case.graph, case.operator, case.chip)
    options = pooling_of(case.operator)
    stride, _ = strides_of(case.graph, case.operator)
    stages = stages_of(options.rows, options.columns, stride)
    widest = max(len(stage) for stage in stages)
    assert plan is not None
    found = widest * plan.groups
    return f"{found} channels" if found > CHANNELS_MAXIMUM else None


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator) -> None:
    """The comparisons; a TP job in front where windows reach over a channel's first or last row
    into another channel, and one behind where they did."""
    options = pooling_of(operator)
    place, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    plan = _plan(builder.graph, operator, builder.chip)
    assert plan is not None
    before = before_of(builder.graph, operator)
    stride, _ = strides_of(builder.graph, operator)
    source = builder.planar(operator.inputs[0], operator.index)
    if plan.top or plan.bottom:
        source = _with_rows(builder, operator, source, plan)
    stages = stages_of(options.rows, options.columns, stride)
    sizes = extents(stages, result.size.rows, result.size.columns)
    pitch = plan.rows // stride
    if plan.each > 1:
        sizes = [(pitch * plan.each, columns) for _, columns in sizes]
    made = run(
        builder,
        Work(
            operator.index,
            stages,
            tuple(sizes),
            source,
            planes=1,
            rows=plan.rows * plan.each,
            columns=place.size.columns,
            groups=plan.groups,
            before=(before[0] if plan.each == 1 else 0, before[1]),
            stride=stride,
            ending=byte_ending(builder.quantization(operator.outputs[0]), options.activation),
        ),
    )
    result.planar = made
    if plan.each > 1 and pitch != result.size.rows:
        result.planar = builder.store_planes(result.size)
        row = result.size.columns
        piece = Piece(
            row, result.size.rows, result.size.channels, row, pitch * row, 1, row, result.size.plane
        )
        builder.copy_pieces(operator, made, result.planar, [piece])


def _with_rows(builder: Builder, operator: Operator, source: View, plan: _Plan) -> View:
    """The planes with rows of zeros, which are no byte's larger one."""
    size = builder.place(operator.inputs[0]).size
    sides = (0, 0), (plan.top, plan.bottom), (0, 0)
    extents = size.columns, size.rows, size.channels
    instructions = moves.pad(extents, sides, builder.chip.tp_cores, 0)
    bytes_made = size.columns * plan.rows * size.channels
    return builder.move(operator.index, "pad", source, bytes_made, instructions)


RECORD = OperatorRecord(
    kinds=("MAX_POOL_2D",),
    words=(
        "Convolutions on the NN cores with weights -1, 0 and 1: the larger of two bytes is the one "
        "plus what the other has more. Columns and rows are compared apart, twice as many each "
        "time."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        windows_fit,
        quantised_per_tensor,
        quantisation_stays,
        window_strides,
        image_size,
        window_padding,
        comparisons_fit,
        activation_exact,
    ),
    lower=lower,
)
