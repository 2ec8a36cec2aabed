"""PRELU with one slope, or with a few along the channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import look_ups
from lapilli.compiler.encode.table_functions import Function, leaky_relu
from lapilli.compiler.jobs import ImageSize, TpJob, View
from lapilli.compiler.operators.byte_function import (
    COMMON_RULES,
    best_table,
    described,
    look_up,
    quantization_of,
)
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    no_empty_dimension,
    operands_present,
)
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Graph, Operator

IMAGE, SLOPES = 0, 1
"""Positions among the inputs."""
MOST_RUNS = 16
"""Runs of channels with one slope; each is a job of its own."""


# ------------------------------------------------------------------------------------------- rules


@relies_on(operands_present, no_empty_dimension)
def few_slopes(case: Case) -> str | None:
    """The slopes must be constant bytes, one for all or one a channel, of which neighbours are so
    often alike that there are at most 16 runs.

    Remedy: Use LEAKY_RELU, or share a slope among channels.
    """
    slopes = case.input(SLOPES)
    if slopes.data is None or slopes.dtype != "uint8":
        return f"{slopes.name} is {'computed' if slopes.data is None else slopes.dtype}"
    if len(np.unique(slopes.data)) == 1:
        return None
    channels = image_extents(case.input(IMAGE).shape)[2]
    if slopes.size != channels or slopes.shape[-1] != channels:
        return f"slopes of shape {list(slopes.shape)} for {channels} channels"
    runs = len(list(_runs(slopes.data)))
    return None if runs <= MOST_RUNS else f"{runs} runs of slopes"


def tables_exact(case: Case) -> str | None:
    """Look-up tables, whose entries lie up to 8 bytes apart, must give every one of the 256 bytes
    to within 1 of the CPU, for each slope.

    Remedy: Choose a wider output range, or a narrower input range.
    """
    for byte in np.unique(_data(case.graph, case.operator)).tolist():
        function, graph = _slope(case.graph, case.operator, byte)
        _, judged = best_table(graph, case.operator, function)
        if not judged.usable:
            return described(judged, case.input(IMAGE), case.output())
    return None


def _data(graph: Graph, operator: Operator) -> NDArray[np.generic]:
    data = graph.tensors[operator.inputs[SLOPES]].data
    assert data is not None
    return data


def _runs(data: NDArray[np.generic]) -> Iterator[tuple[int, int, int]]:
    """(first channel, channels, byte) of each run of equal slopes."""
    values = data.reshape(-1)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), values.size], strict=True):
        yield first, end - first, int(values[first])


def _slope(graph: Graph, operator: Operator, byte: int) -> tuple[Function, Graph]:
    """The function for a slope, and the graph in which it is the only one."""
    number = operator.inputs[SLOPES]
    quantization = quantization_of(graph, number)
    factor = (byte - quantization.zero_point) * quantization.scale
    tensors = list(graph.tensors)
    tensors[number] = replace(tensors[number], shape=(1,), data=np.array([byte], np.uint8))
    return leaky_relu(factor), replace(graph, tensors=tuple(tensors))


def function_of(graph: Graph, operator: Operator) -> Function | None:
    """What the operator makes of a number, if that is the same in all channels."""
    slopes = graph.tensors[operator.inputs[SLOPES]]
    if slopes.data is None or slopes.quantization is None or len(np.unique(slopes.data)) != 1:
        return None
    return _slope(graph, operator, int(slopes.data.reshape(-1)[0]))[0]


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator) -> None:
    """A look-up of all bytes, or of the planes of each run of channels."""
    data = _data(builder.graph, operator)
    tables = {}
    for byte in np.unique(data).tolist():
        function, graph = _slope(builder.graph, operator, byte)
        tables[byte] = best_table(graph, operator, function)[0]
    if len(tables) == 1:
        look_up(builder, operator, *tables.values())
        return
    view = builder.planar(operator.inputs[IMAGE], operator.index)
    result = builder.place(operator.outputs[0])
    result.planar = builder.store(view.size)
    plane = result.size.plane
    for first, count, byte in _runs(data):
        source, target = (
            View(whole.storage, whole.offset + first * plane, count * plane)
            for whole in (view, result.planar)
        )
        # The bytes of a run lie in a row; which of them are columns does not matter.
        size = ImageSize(result.size.rows, count, result.size.columns)
        pieces = look_ups.even_pieces(size, builder.chip.tp_cores)
        memory = builder.store_table(tables[byte].data)
        instructions = look_ups.look_up(pieces, tables[byte])
        builder.steps.append(TpJob(operator.index, "prelu", source, target, instructions, memory))


RECORD = OperatorRecord(
    kinds=("PRELU",),
    words="A look-up of every byte on the TP cores, for each run of channels with one slope.",
    rules=(*COMMON_RULES, few_slopes, tables_exact),
    lower=lower,
    quantised=(IMAGE, SLOPES),
    needed=2,
    function=function_of,
)
