"""PAD of rows and columns."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import moves
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_of_four_dimensions,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.graph import Operator

IMAGE, AMOUNTS = 0, 1
"""Positions among the inputs."""


@relies_on(operands_present)
def pad_of_rows_and_columns(case: Case) -> str | None:
    """Padding is constant and adds rows and columns only.

    Remedy: Pad rows and columns only, with constant amounts.
    """
    amounts = case.input(AMOUNTS)
    if amounts.data is None or amounts.data.shape != (4, 2):
        return f"paddings of shape {list(amounts.shape)}"
    values = amounts.data.tolist()
    if values[0] != [0, 0] or values[3] != [0, 0] or min(map(min, values)) < 0:
        return f"paddings {values}"
    return None


@relies_on(operands_present)
def pad_keeps_values(case: Case) -> str | None:
    """Padding does not change scale or zero point.

    Remedy: Give input and output of the padding the same quantisation.
    """
    source, target = case.input(IMAGE).quantization, case.output().quantization
    if source is None or target is None:
        return "no quantisation"
    pairs = [(q.scale, q.zero_point) for q in (source, target)]
    return None if pairs[0] == pairs[1] else f"{pairs[0]} -> {pairs[1]}"


@relies_on(image_of_four_dimensions, pad_of_rows_and_columns)
def pad_shapes_agree(case: Case) -> str | None:
    """The padded image has the size that the paddings say."""
    source, target = case.input(IMAGE).shape, case.output().shape
    amounts = case.input(AMOUNTS).data
    assert amounts is not None
    wanted = tuple(int(n + b + a) for n, (b, a) in zip(source, amounts.tolist(), strict=True))
    return None if wanted == target else f"{list(source)} -> {list(target)}"


def lower(builder: Builder, operator: Operator) -> None:
    """One TP operation that moves the planes into larger ones."""
    data = builder.graph.tensors[operator.inputs[AMOUNTS]].data
    assert data is not None
    (top, bottom), (left, right) = data[1:3].tolist()
    source, result = builder.place(operator.inputs[IMAGE]), builder.place(operator.outputs[0])
    view = builder.planar(operator.inputs[IMAGE], operator.index)
    instructions = moves.pad(
        source.size,
        moves.PadAmounts(top, bottom, left, right),
        builder.chip.tp_cores,
        source.zero_point,
        result.zero_point,
    )
    size = result.size.plane * result.size.channels
    result.planar = builder.move(operator.index, "pad", view, size, instructions)


RECORD = OperatorRecord(
    kinds=("PAD",),
    words="A move on the TP cores into larger planes, whose borders hold zero points.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        image_of_four_dimensions,
        batch_of_one,
        pad_of_rows_and_columns,
        quantised_per_tensor,
        pad_shapes_agree,
        pad_keeps_values,
        image_size,
    ),
    lower=lower,
    needed=2,
)
