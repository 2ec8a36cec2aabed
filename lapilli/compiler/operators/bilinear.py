"""RESIZE_BILINEAR: every pixel is a weighted sum of up to four neighbours."""

from __future__ import annotations

from fractions import Fraction

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import ImageSize
from lapilli.compiler.operators.broadcasting import repeated_planes
from lapilli.compiler.operators.nearest_neighbours import resized_shapes
from lapilli.compiler.operators.phases import Side, Weighted, as_it_is, side_of
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import Resizing

MOST_PHASES, MOST_STEP, LARGEST_WHOLE = 8, 8, 16


def _sides(graph: Graph, operator: Operator) -> tuple[Side, Side]:
    """Rows and columns; where the image has only one it stays, to be repeated."""
    source = graph.tensors[operator.inputs[0]].shape
    target = graph.tensors[operator.outputs[0]].shape
    rows, columns = (
        as_it_is(1) if source[axis] == 1 else _side(operator, source[axis], target[axis])
        for axis in (1, 2)
    )
    return rows, columns


def _side(operator: Operator, source: int, target: int) -> Side:
    options = operator.options
    assert isinstance(options, Resizing)
    scale, first = Fraction(source, target), Fraction(0)
    if options.align_corners and target > 1:
        scale = Fraction(source - 1, target - 1)
    if options.half_pixel_centers:
        first = scale / 2 - Fraction(1, 2)
    return side_of(first, scale, source, target)


def few_phases(case: Case) -> str | None:
    """Rows, and columns, of the output must lie at up to 8 different places between those of the
    image, which are up to sixteenths of a step, and at most 8 steps apart.

    Remedy: Resize by 2, 4 or 8, once or several times.
    """
    for axis, side in enumerate(_sides(case.graph, case.operator), start=1):
        wholes = max(phase.whole for phase in side.phases)
        fits = len(side.phases) <= MOST_PHASES and wholes <= LARGEST_WHOLE
        if not fits or side.step > MOST_STEP:
            return f"{case.input(0).shape[axis]} -> {case.output().shape[axis]}"
    return None


def lower(builder: Builder, operator: Operator) -> None:
    """Depthwise convolutions, copies that put their pixels in place, and repetitions of an image
    of one row or column."""
    tensor = operator.inputs[0]
    place, result = builder.place(tensor), builder.place(operator.outputs[0])
    rows, columns = _sides(builder.graph, operator)
    view, channels = builder.planar(tensor, operator.index), place.size.channels
    made = ImageSize(columns.made, rows.made, channels)
    if made != place.size:
        weighted = Weighted(builder, operator, place.zero_point)
        view = weighted.apply(view, channels, rows, columns)
    result.planar = repeated_planes(builder, operator, view, made, result.size)


RECORD = OperatorRecord(
    kinds=("RESIZE_BILINEAR",),
    words=(
        "Depthwise convolutions on the NN cores, one for each place that pixels have between "
        "those of the image, put in place by the TP cores."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        resized_shapes,
        quantised_per_tensor,
        quantisation_stays,
        image_size,
        few_phases,
    ),
    lower=lower,
    needed=2,
)
