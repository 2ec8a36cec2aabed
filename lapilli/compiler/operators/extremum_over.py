"""REDUCE_MAX and REDUCE_MIN over rows, or rows and columns: halves are compared, then theirs."""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.byte_sums import Work, run
from lapilli.compiler.operators.extremum import comparing
from lapilli.compiler.operators.flat import no_image
from lapilli.compiler.operators.mean import COLUMNS, ROWS, axes_of, mean_shapes_agree
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    moved_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.geometry import addition_image, image_extents
from lapilli.model.graph import Graph, Operator

LARGEST = "REDUCE_MAX"


def compared_axes(case: Case) -> str | None:
    """The axes must be constant: rows, or rows and columns.

    Remedy: Transpose the tensor first, or use a max pool.
    """
    axes = axes_of(case.graph, case.operator)
    if axes is None:
        return "axes that are not constant numbers of the tensor's dimensions"
    rows = image_extents(case.input(0).shape)[0]
    if axes in (set(), {ROWS}, {ROWS, COLUMNS}) or (axes == {COLUMNS} and rows == 1):
        return None
    return f"axes {sorted(axes)} of rows 1, columns 2, channels 3"


def _compared(graph: Graph, operator: Operator) -> tuple[int, int]:
    """How many are compared, and how many bytes each of them has."""
    axes = axes_of(graph, operator)
    assert axes is not None
    rows, columns, channels = image_extents(graph.tensors[operator.inputs[0]].shape)
    if COLUMNS in axes:
        return rows * columns, channels
    return (rows, columns * channels) if ROWS in axes else (1, rows * columns * channels)


def _halves(count: int) -> Iterator[int]:
    """How many are left of ``count`` from step to step, an odd one not counted."""
    while count > 1:
        yield count // 2
        count = count // 2 + count % 2


def halves_fit(case: Case) -> str | None:
    """Halves, halves of those and so on must fit into images of at most 8191 x 8191."""
    count, each = _compared(case.graph, case.operator)
    misfit = next((half for half in _halves(count) if no_image(half * each)), None)
    return None if misfit is None else f"{misfit * each} elements"


def lower(builder: Builder, operator: Operator) -> None:
    """Rows of NHWC bytes, or pixels, lie one behind the other, so halves do."""
    count, each = _compared(builder.graph, operator)
    view = builder.nhwc(operator.inputs[0], operator.index)
    while count > 1:
        half = count // 2
        made = _larger(builder, operator, View(view.storage, view.offset, 2 * half * each))
        if count % 2:
            last = View(view.storage, view.offset + 2 * half * each, each)
            made = builder.lay([made, last], operator)
        view, count = made, half + count % 2
    builder.place(operator.outputs[0]).nhwc = view


def _larger(builder: Builder, operator: Operator, pair: View) -> View:
    """The larger (or smaller) of each byte of the first half and its like in the second."""
    pixels = addition_image(1, pair.size // 2, 1)
    assert pixels is not None, "the rules check the size"
    size, stages = (pixels[1], pixels[0]), comparing(operator.kind == LARGEST)
    sizes = tuple(size for _ in stages)
    work = Work(operator.index, stages, sizes, pair, 2, *size, groups=1)
    return run(builder, work)


RECORD = OperatorRecord(
    kinds=(LARGEST, "REDUCE_MIN"),
    words=(
        "Convolutions on the NN cores with weights -1, 0 and 1, as MAXIMUM: halves are compared "
        "until one element is left."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        compared_axes,
        quantised_per_tensor,
        quantisation_stays,
        mean_shapes_agree,
        moved_size,
        halves_fit,
    ),
    lower=lower,
    needed=2,
)
