"""TRANSPOSE: bytes in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.encode.moves import FIELD_MAXIMUM
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    byte_count,
    eight_bit,
    no_empty_dimension,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.graph import Graph, Operator

MOST_COPIES = 64
"""Of three axes each, where there are more that change their order."""
NHWC, PLANAR = (0, 1, 2, 3), (0, 3, 1, 2)
"""Axes of an image in the order they have in memory."""


def _permutation(graph: Graph, operator: Operator) -> tuple[int, ...] | None:
    """The input's axis that each axis of the output is; None if that is not known."""
    data, shape = graph.tensors[operator.inputs[1]].data, graph.tensors[operator.inputs[0]].shape
    if data is None or data.dtype not in (np.int32, np.int64):
        return None
    axes = tuple(int(axis) % max(len(shape), 1) for axis in data.reshape(-1))
    return axes if sorted(axes) == list(range(len(shape))) else None


def permutation_constant(case: Case) -> str | None:
    """The order of the axes must be constant and name each of them, and the output's shape
    follow."""
    axes, shape = _permutation(case.graph, case.operator), case.input(0).shape
    if axes is None:
        return "another order"
    found = tuple(shape[axis] for axis in axes)
    return None if found == case.output().shape else f"{list(shape)} -> {list(case.output().shape)}"


def few_axes(case: Case) -> str | None:
    """Axes that stay neighbours count as one. There may be at most three of those, or a further one
    with at most 64 elements; the others have at most 65535.

    Remedy: Transpose fewer axes at once.
    """
    axes = _permutation(case.graph, case.operator)
    assert axes is not None
    extents, _ = merged(case.input(0).shape, axes)
    found = "x".join(map(str, extents))
    outer = math.prod(extents[:-3])
    return found if outer > MOST_COPIES or max(extents[-3:], default=1) > FIELD_MAXIMUM else None


def merged(shape: Sequence[int], axes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Extents of the axes that move as one, in the order they have now, and their new order."""
    kept = [axis for axis in axes if shape[axis] > 1]
    runs: list[list[int]] = []
    for axis in kept:
        between = shape[runs[-1][-1] + 1 : axis] if runs and runs[-1][-1] < axis else (0,)
        if math.prod(between) == 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    order = sorted(range(len(runs)), key=lambda number: runs[number][0])
    extents = [math.prod(shape[axis] for axis in runs[number]) for number in order]
    return extents, [order.index(number) for number in range(len(runs))]


def lower(builder: Builder, operator: Operator) -> None:
    """No job where the bytes' order in memory stays, as from planes to NHWC, else a copy."""
    tensor, output = operator.inputs[0], operator.outputs[0]
    source, result = builder.place(tensor), builder.place(output)
    axes = _permutation(builder.graph, operator)
    assert axes is not None
    shape = builder.graph.tensors[tensor].shape
    if len(shape) > 4 or shape[: len(shape) - 3] not in ((), (1,)):
        result.nhwc = _moved(builder, operator, builder.nhwc(tensor, operator.index), shape, axes)
        return
    ahead = 4 - len(shape)
    shape = (1,) * ahead + shape
    axes = (*range(ahead), *(axis + ahead for axis in axes))
    made = output not in builder.graph.outputs
    forms = (PLANAR, NHWC) if made else (NHWC, PLANAR)
    has_planes = source.planar is not None
    view = source.planar if has_planes else builder.nhwc(tensor, operator.index)
    assert view is not None
    memory = PLANAR if has_planes else NHWC
    in_memory = tuple(shape[axis] for axis in memory)
    # The order of what is wanted, among the axes as they lie in memory.
    wanted = [tuple(memory.index(axes[axis]) for axis in form) for form in forms]
    alike = [merged(in_memory, order)[1] in ([], [0]) for order in wanted]
    chosen = 1 if alike[1] and not alike[0] else 0
    moved = _moved(builder, operator, view, in_memory, wanted[chosen])
    if forms[chosen] == PLANAR:
        result.planar = moved
    else:
        result.nhwc = moved


def _moved(
    builder: Builder, operator: Operator, view: View, shape: Sequence[int], axes: Sequence[int]
) -> View:
    """The bytes of ``shape`` in the order of ``axes``."""
    extents, order = merged(shape, axes)
    if len(extents) <= 1:
        return view
    target = builder.store(view.size)
    ahead = max(3 - len(extents), 0)
    extents = [1] * ahead + extents
    order = [*range(ahead), *(axis + ahead for axis in order)]
    source_steps = _steps(extents)
    made = _steps([extents[axis] for axis in order])
    target_steps = [made[order.index(axis)] for axis in range(len(order))]
    (planes, rows, columns), outer = extents[-3:], extents[:-3]
    pieces = [
        Piece(
            columns=columns,
            rows=rows,
            planes=planes,
            source_row=source_steps[-2],
            source_plane=source_steps[-3],
            target_column=target_steps[-1],
            target_row=target_steps[-2],
            target_plane=target_steps[-3],
            source_offset=sum(i * step for i, step in zip(index, source_steps, strict=False)),
            target_offset=sum(i * step for i, step in zip(index, target_steps, strict=False)),
        )
        for index in np.ndindex(*outer)
    ]
    builder.copy_pieces(operator, view, target, pieces)
    return target


def _steps(extents: Sequence[int]) -> list[int]:
    """Bytes from one element of an axis to the next."""
    return [math.prod(extents[axis + 1 :]) for axis in range(len(extents))]


RECORD = OperatorRecord(
    kinds=("TRANSPOSE",),
    words="Nothing where the order of the bytes in memory stays, else a copy on the TP cores.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        no_empty_dimension,
        permutation_constant,
        quantised_per_tensor,
        quantisation_stays,
        byte_count,
        few_axes,
    ),
    lower=lower,
    needed=2,
)
