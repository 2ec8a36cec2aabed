"""RESIZE_NEAREST_NEIGHBOR: every pixel is one of the image's, copied."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import ImageSize
from lapilli.compiler.operators.broadcasting import repeated_planes
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.resampling import Progression, progressions, resampled
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
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import Resizing
from lapilli.reference.resize import nearest_places


def resized_shapes(case: Case) -> str | None:
    """The output must have other rows and columns, as many channels, and a constant size."""
    source, target = case.input(0).shape, case.output().shape
    data = case.input(1).data
    if data is None or tuple(data.reshape(-1).tolist()) != target[1:3]:
        return "a size that is not constant, or not the output's"
    if not isinstance(case.operator.options, Resizing):
        return "no options"
    return None if source[3] == target[3] else f"{list(source)} -> {list(target)}"


def _sides(
    graph: Graph, operator: Operator
) -> tuple[list[Progression] | None, list[Progression] | None]:
    """Progressions of rows and columns; where the image has only one it is repeated instead."""
    options = operator.options
    assert isinstance(options, Resizing)
    source = graph.tensors[operator.inputs[0]].shape
    target = graph.tensors[operator.outputs[0]].shape
    rows, columns = (
        [Progression(0, 1, 0, 1, 1)]
        if source[axis] == 1
        else progressions(
            nearest_places(
                source[axis], target[axis], options.align_corners, options.half_pixel_centers
            ).tolist()
        )
        for axis in (1, 2)
    )
    return rows, columns


def places_repeat(case: Case) -> str | None:
    """After at most 64 rows, and columns, those that are copied must repeat at the same distance.

    Remedy: Resize by a whole factor.
    """
    source, target = case.input(0).shape, case.output().shape
    sides = _sides(case.graph, case.operator)
    for axis, side in zip((1, 2), sides, strict=True):
        if side is None:
            return f"{source[axis]} -> {target[axis]}"
        # An image of one row or column is repeated plane by plane.
        if source[axis] == 1 and not moves.fits(target[1] * target[2]):
            return f"{source[axis]} -> {target[axis]}"
        if max(part.source_step for part in side) * source[2] > moves.FIELD_MAXIMUM:
            return f"{source[axis]} -> {target[axis]}"
    return None


def lower(builder: Builder, operator: Operator) -> None:
    """Copies of the image, one for each row and column of a pixel's copies."""
    tensor = operator.inputs[0]
    result, place = builder.place(operator.outputs[0]), builder.place(tensor)
    rows, columns = _sides(builder.graph, operator)
    assert rows is not None and columns is not None, "the rules check it"
    view = builder.planar(tensor, operator.index)
    width, height = (sum(part.count for part in side) for side in (columns, rows))
    made = ImageSize(width, height, place.size.channels)
    if made != place.size:
        view = resampled(builder, operator, view, place.size, rows, columns)
    view = repeated_planes(builder, operator, view, made, result.size)
    result.planar = view


RECORD = OperatorRecord(
    kinds=("RESIZE_NEAREST_NEIGHBOR",),
    words="Copies on the TP cores, one for each row and column of a pixel's copies.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        resized_shapes,
        quantised_per_tensor,
        quantisation_stays,
        moved_size,
        places_repeat,
    ),
    lower=lower,
    needed=2,
)
