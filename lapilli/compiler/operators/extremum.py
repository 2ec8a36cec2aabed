"""MAXIMUM and MINIMUM of two tensors, or of a tensor and a constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import View
from lapilli.compiler.operators import by_constant, flat
from lapilli.compiler.operators.by_constant import Linear
from lapilli.compiler.operators.byte_sums import Comparisons, Stage, Work, run, tap, weighted
from lapilli.compiler.operators.endings import LARGEST, Ending
from lapilli.compiler.operators.flat import Step, flat_size
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    eight_bit,
    image_size,
    no_empty_dimension,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.weighted_sum import constant_operand
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Operator

MAXIMUM = "MAXIMUM"


@relies_on(operands_present)
def shapes_alike(case: Case) -> str | None:
    """Operands that are not constant numbers must have the result's shape.

    Remedy: Repeat the smaller operand to the larger one's shape when the model is built.
    """
    target = case.output().shape
    numbers = by_constant.constant_position(case.graph, case.operator)
    for position, tensor in enumerate(case.images_in):
        if position != numbers and tensor.shape != target:
            return f"{list(tensor.shape)} -> {list(target)}"
    return None


def lower(builder: Builder, operator: Operator) -> None:
    """Two convolutions; one where a constant number cuts below."""
    position = by_constant.constant_position(builder.graph, operator)
    largest = operator.kind == MAXIMUM
    if position is None:
        _of_two(builder, operator, comparing(largest))
        return
    constant = builder.graph.tensors[operator.inputs[position]].data
    assert constant is not None
    if constant.size > 1:
        _with_each(builder, operator, constant.reshape(-1).astype(np.int64), largest)
        return
    byte, tensor = int(constant.reshape(-1)[0]), operator.inputs[1 - position]
    source = flat.at_hand(builder, tensor)
    if largest:
        # The relu bit cuts below the zero point, which is added to ``a - byte``.
        made = flat.append(builder, operator.index, source, Step(byte, byte, relu=True))
    else:
        moved = LARGEST - byte
        made = flat.append(builder, operator.index, source, Step(0, moved))
        made = Ending(moved, shift=moved).applied(builder, operator.index, made)
    flat.lay_like(builder, tensor, operator.outputs[0], made)


def _with_each(
    builder: Builder, operator: Operator, limits: NDArray[np.int64], largest: bool
) -> None:
    """A limit for each channel: bytes are moved until it is 0, or 255, and back."""
    tensor = operator.inputs[by_constant.computed_position(builder.graph, operator)]
    place, view = builder.place(tensor), builder.planar(tensor, operator.index)
    there = -limits if largest else LARGEST - limits
    for moved in (there, -there):
        linear = Linear(np.ones_like(limits), moved, flat.ONE)
        view = by_constant.depthwise(builder, operator, view, place.size, linear, (0, 0))
    builder.place(operator.outputs[0]).planar = view


def comparing(largest: bool) -> tuple[Stage, ...]:
    """a + max(b - a, 0), or a - max(a - b, 0)."""
    found = Comparisons()
    if largest:
        sums, _ = found.larger([(tap(1), tap(0))])
        found.job(sums)
    else:
        excess, first = found.job([weighted(tap(0), tap(1), -1), tap(0)])
        found.job([weighted(first, excess, -1)])
    return tuple(found.stages)


def _of_two(builder: Builder, operator: Operator, stages: tuple[Stage, ...]) -> None:
    first, second = operator.inputs[:2]
    result = builder.place(operator.outputs[0])
    in_nhwc = all(builder.place(tensor).planar is None for tensor in (first, second))
    layout = builder.nhwc if in_nhwc else builder.planar
    views = builder.beside(layout(first, operator.index), layout(second, operator.index), operator)
    pixels = addition_image(1, views[0].size, 1)
    assert pixels is not None, "the rules check the size"
    size = pixels[1], pixels[0]
    made = run(
        builder,
        Work(
            operator.index,
            stages,
            tuple(size for _ in stages),
            View(views[0].storage, views[0].offset, 2 * views[0].size),
            planes=2,
            rows=size[0],
            columns=size[1],
            groups=1,
        ),
    )
    if in_nhwc:
        result.nhwc = made
    else:
        result.planar = made


RECORD = OperatorRecord(
    kinds=(MAXIMUM, "MINIMUM"),
    words=(
        "Convolutions on the NN cores with weights -1, 0 and 1: the larger of two bytes is the one "
        "plus what the other has more."
    ),
    rules=(
        operands_present,
        eight_bit,
        no_empty_dimension,
        constant_operand,
        shapes_alike,
        quantised_per_tensor,
        quantisation_stays,
        image_size,
        flat_size,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
