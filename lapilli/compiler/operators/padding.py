"""PAD and PADV2: larger images whose borders hold one byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.encode import moves
from lapilli.compiler.encode.moves import Sides
from lapilli.compiler.jobs import ImageSize, View
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.graph import Graph, Operator

IMAGE, AMOUNTS, VALUE = 0, 1, 2
"""Positions among the inputs."""
MOST_BEFORE = (1 << 15) - 1
"""Elements of border before a line that its window's start has a field for."""


# ------------------------------------------------------------------------------------------- rules


def amounts_of(graph: Graph, operator: Operator) -> list[tuple[int, int]] | None:
    """(before, behind) for each dimension of the tensor; None if they are not known."""
    data = graph.tensors[operator.inputs[AMOUNTS]].data
    rank = len(graph.tensors[operator.inputs[IMAGE]].shape)
    if data is None or data.shape != (rank, 2) or data.dtype not in (np.int32, np.int64):
        return None
    return [(int(before), int(behind)) for before, behind in data]


@relies_on(operands_present)
def pad_amounts(case: Case) -> str | None:
    """Paddings must be constant, none of them below 0, and the batch has none.

    Remedy: Pad rows, columns and channels only, with constant amounts.
    """
    amounts = amounts_of(case.graph, case.operator)
    if amounts is None:
        return f"paddings of shape {list(case.input(AMOUNTS).shape)}"
    batch = amounts[0] if len(amounts) == 4 else (0, 0)
    if batch != (0, 0) or min(map(min, amounts), default=0) < 0:
        return f"paddings {[list(pair) for pair in amounts]}"
    return None


@relies_on(operands_present)
def pad_keeps_values(case: Case) -> str | None:
    """Padding must not change scale or zero point.

    Remedy: Give input and output of the padding the same quantisation.
    """
    source, target = case.input(IMAGE).quantization, case.output().quantization
    if source is None or target is None:
        return "no quantisation"
    pairs = [(q.scale, q.zero_point) for q in (source, target)]
    return None if pairs[0] == pairs[1] else f"{pairs[0]} -> {pairs[1]}"


@relies_on(operands_present, pad_amounts)
def pad_shapes_agree(case: Case) -> str | None:
    """The padded image must have the size that the paddings say."""
    source, target = case.input(IMAGE).shape, case.output().shape
    amounts = amounts_of(case.graph, case.operator)
    assert amounts is not None
    wanted = tuple(n + b + a for n, (b, a) in zip(source, amounts, strict=True))
    return None if wanted == target else f"{list(source)} -> {list(target)}"


def pad_value(case: Case) -> str | None:
    """What is padded with must be a constant byte, or nothing is said and it is the zero point."""
    if not case.has_input(VALUE):
        return None
    value = case.input(VALUE)
    if value.data is None or value.dtype != "uint8" or value.size != 1:
        state = "constant" if value.data is not None else "computed"
        return f"{value.name} is {state} {value.dtype} of shape {list(value.shape)}"
    return None


# ---------------------------------------------------------------------------------------- lowering


@dataclass(frozen=True)
class _Amounts:
    """(before, behind) of rows, columns and channels."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    channels: tuple[int, int]


def lower(builder: Builder, operator: Operator) -> None:
    """Moves of planes; of NHWC bytes where there are no planes yet, unless it is to be as recorded
    from the driver whose words the reference schedule has."""
    amounts = amounts_of(builder.graph, operator)
    assert amounts is not None
    padded = [*[(0, 0)] * 3, *amounts][-3:]
    source, result = builder.place(operator.inputs[IMAGE]), builder.place(operator.outputs[0])
    byte = source.zero_point
    if len(operator.inputs) > VALUE:
        data = builder.graph.tensors[operator.inputs[VALUE]].data
        assert data is not None
        byte = int(data.reshape(-1)[0])
    work = _Padding(builder, operator, result, byte)
    wanted = _Amounts(*padded)
    recorded = builder.options.as_recorded
    if source.planar is None and not recorded and _fits_nhwc(result, wanted):
        work.nhwc(builder.nhwc_of(source, operator.index), source, wanted)
    else:
        work.planar(builder.planar_of(source, operator.index), source, wanted)


def _fits_nhwc(result: Place, amounts: _Amounts) -> bool:
    """A padded row of NHWC bytes, and its border, have fields."""
    channels = result.size.channels
    return (
        moves.fits(result.size.columns * channels) and amounts.columns[0] * channels <= MOST_BEFORE
    )


@dataclass(frozen=True)
class _Padding:
    """One operator's moves; ``byte`` is what is padded with."""

    builder: Builder
    operator: Operator
    result: Place
    byte: int

    def nhwc(self, view: View, source: Place, amounts: _Amounts) -> None:
        """A row of the image is a slice, its pixels are lines of channels. More than one row of
        border is not fetched along with slices, so then rows are lines in a move of their own."""
        size, made = source.size, self.result.size
        cores = min(self.builder.chip.tp_cores, size.rows)
        few = max(amounts.rows) <= (1 if cores > 1 else 0)
        if few or amounts.channels != (0, 0):
            sides = amounts.channels, amounts.columns, amounts.rows if few else (0, 0)
            view = self._move(view, (size.channels, size.columns, size.rows), sides, cores)
        if not few:
            line = made.columns * made.channels
            left = (0, 0)
            if amounts.channels == (0, 0):
                line = size.columns * size.channels
                left = amounts.columns[0] * size.channels, amounts.columns[1] * size.channels
            view = self._move(view, (line, size.rows, 1), (left, amounts.rows, (0, 0)), 1)
        self.result.nhwc = view

    def planar(self, view: View, source: Place, amounts: _Amounts) -> None:
        """Lines of planes; then planes as lines, or NHWC bytes where those are too long."""
        size, made = source.size, self.result.size
        if amounts.channels == (0, 0) or amounts.rows != (0, 0) or amounts.columns != (0, 0):
            cores = 1 if size.rows == 1 else self.builder.chip.tp_cores
            sides = amounts.columns, amounts.rows, (0, 0)
            view = self._move(view, (size.columns, size.rows, size.channels), sides, cores)
        if amounts.channels != (0, 0):
            if not moves.fits(made.plane):
                image = ImageSize(made.columns, made.rows, size.channels)
                inner = Place(image, source.zero_point, planar=view)
                flat = self.builder.nhwc_of(inner, self.operator.index)
                self.nhwc(flat, inner, _Amounts((0, 0), (0, 0), amounts.channels))
                return
            sides = (0, 0), amounts.channels, (0, 0)
            view = self._move(view, (made.plane, size.channels, 1), sides, 1)
        self.result.planar = view

    def _move(self, view: View, size: tuple[int, int, int], sides: Sides, cores: int) -> View:
        instructions = moves.pad(size, sides, cores, self.byte)
        made = 1
        for extent, (before, behind) in zip(size, sides, strict=True):
            made *= before + extent + behind
        return self.builder.move(self.operator.index, "pad", view, made, instructions)


RECORD = OperatorRecord(
    kinds=("PAD", "PADV2"),
    words="Moves on the TP cores into larger images, whose borders hold zero points or a constant.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        pad_amounts,
        quantised_per_tensor,
        pad_shapes_agree,
        pad_keeps_values,
        pad_value,
        image_size,
    ),
    lower=lower,
    needed=2,
)
