"""What operators that turn each byte into another one have in common: look-up tables of the TP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import look_ups, tables
from lapilli.compiler.encode.moves import fits
from lapilli.compiler.encode.table_functions import Function, target_of
from lapilli.compiler.encode.tables import Judgement, Table
from lapilli.compiler.every_byte import every_byte
from lapilli.compiler.jobs import ImageSize, View
from lapilli.compiler.operators import cpu_range
from lapilli.compiler.operators.record import Case, Rule, relies_on
from lapilli.compiler.operators.rules import (
    BYTES_BELOW,
    eight_bit,
    no_empty_dimension,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.unsigned import MIDDLE
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Graph, Operator, Quantization, Tensor
from lapilli.program.program import Bytes

Recorded = Callable[[float, int, float, int], Table]
RECORDED: Mapping[str, Recorded] = MappingProxyType(
    {
        "RELU": tables.recorded_relu,
        "ABS": tables.recorded_abs,
        "LOGISTIC": tables.recorded_logistic,
    }
)
"""Tables of the recorded driver."""


# ------------------------------------------------------------------------------------------- rules


@relies_on(operands_present)
def same_shape(case: Case) -> str | None:
    """Input and output must have the same shape."""
    source, target = case.input(0).shape, case.output().shape
    return None if source == target else f"{list(source)} -> {list(target)}"


@relies_on(operands_present, no_empty_dimension)
def look_up_size(case: Case) -> str | None:
    """Images that go through a table may have at most 65535 rows, columns and channels, and fewer
    than 2^28 bytes.

    Remedy: Cut the image into pieces.
    """
    tensor = case.input(0)
    extents = image_extents(tensor.shape)
    if not all(map(fits, extents)) or tensor.size >= BYTES_BELOW:
        return f"{tensor.name} is {'x'.join(map(str, extents))}"
    return None


@relies_on(eight_bit, quantised_per_tensor)
def results_in_32_bits(case: Case) -> str | None:
    """Numbers must be below 2^128, and results, before they are clamped, fewer than 2^31 steps of
    the output, as must be the 1 or 6 at which a function ends: the CPU has no more bits for them.

    Remedy: Choose a wider output range, or a narrower input range.
    """
    record = case.record
    function = record.function(case.graph, case.operator) if record.function else None
    return cpu_range.beyond(case.graph, case.operator, function)


@relies_on(eight_bit, quantised_per_tensor)
def table_exact(case: Case) -> str | None:
    """A look-up table, whose entries lie up to 8 bytes apart, must give every one of the 256 bytes
    to within 1 of the CPU.

    Remedy: Choose a wider output range, or a narrower input range.
    """
    record = case.record
    assert record.function is not None
    function = record.function(case.graph, case.operator)
    assert function is not None
    _, judged = best_table(case.graph, case.operator, function)
    return None if judged.usable else described(judged, case.input(0), case.output())


def described(judged: Judgement, source: Tensor, target: Tensor) -> str:
    """The byte that is worst off, as the model has it."""
    given = judged.byte - (MIDDLE if source.signed else 0)
    less = MIDDLE if target.signed else 0
    return f"{given} becomes {judged.found - less} instead of {judged.wanted - less}"


COMMON_RULES: tuple[Rule, ...] = (
    operands_present,
    operands_computed,
    eight_bit,
    no_empty_dimension,
    quantised_per_tensor,
    same_shape,
    look_up_size,
)
"""Of every operator that may go through a table."""
RULES: tuple[Rule, ...] = (*COMMON_RULES, results_in_32_bits, table_exact)
"""Of one that has a single input."""


# ------------------------------------------------------------------------------------------ tables


def best_table(graph: Graph, operator: Operator, function: Function) -> tuple[Table, Judgement]:
    """The table that comes closest both to the function itself, rounded, and to TFLite's kernels,
    and how close that is."""
    source, result = operator.inputs[0], operator.outputs[0]
    first, second = quantization_of(graph, source), quantization_of(graph, result)
    target = target_of(function, first.scale, first.zero_point, second.scale, second.zero_point)
    rounded = tables.wanted_bytes(target, second.zero_point)
    right = every_byte(graph, [operator], source, result)
    found = []
    for wanted in (rounded, right):
        table = tables.fit(target, first.zero_point, second.zero_point, wanted)
        found.append((table, _worse(table, rounded, right)))
        if found[-1][1].usable:
            return found[-1]
    return min(found, key=lambda pair: pair[1].worst)


def _worse(table: Table, *rights: Bytes) -> Judgement:
    return max((tables.judge(table, right) for right in rights), key=lambda judged: judged.worst)


def quantization_of(graph: Graph, tensor: int) -> Quantization:
    """What a tensor's bytes stand for; the rules see to it that it has one."""
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    return quantization


def table_of(builder: Builder, operator: Operator, function: Function) -> Table:
    """The table for a schedule: the recorded driver's where it has one that is right."""
    recorded = RECORDED.get(operator.kind)
    if recorded is not None and builder.options.as_recorded:
        ends = [builder.quantization(i) for i in (operator.inputs[0], operator.outputs[0])]
        table = recorded(ends[0].scale, ends[0].zero_point, ends[1].scale, ends[1].zero_point)
        right = every_byte(builder.graph, [operator], operator.inputs[0], operator.outputs[0])
        if tables.judge(table, right).usable:
            return table
    return best_table(builder.graph, operator, function)[0]


# ---------------------------------------------------------------------------------------- lowering


def lowering(
    function_of: Callable[[Graph, Operator], Function],
) -> Callable[[Builder, Operator], None]:
    """A record's ``lower`` for operators with one input."""

    def lower(builder: Builder, operator: Operator) -> None:
        """One look-up of all bytes."""
        function = function_of(builder.graph, operator)
        look_up(builder, operator, table_of(builder, operator, function))

    return lower


def look_up(builder: Builder, operator: Operator, table: Table) -> None:
    """Send every byte of the first input through a table; the output keeps the input's layout. A
    table that changes no byte is not gone through, except where the recorded driver does it."""
    source, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    if _changes_nothing(table) and not builder.options.as_recorded:
        builder.places[operator.outputs[0]] = source
        return
    if source.planar is not None:
        result.planar = _through(builder, operator, source.size, source.planar, table)
    elif source.nhwc is None and source.reshaped is not None:
        view, size = source.reshaped
        result.reshaped = _through(builder, operator, size, view, table), size
    else:
        view = builder.nhwc(operator.inputs[0], operator.index)
        result.nhwc = _through(builder, operator, source.size, view, table)


def _changes_nothing(table: Table) -> bool:
    """Every byte stays what it is and stands for what it stood for."""
    same = bool(np.array_equal(tables.evaluate(table), np.arange(tables.BYTES)))
    return same and table.input_zero_point == table.output_zero_point


def _through(
    builder: Builder, operator: Operator, size: ImageSize, view: View, table: Table
) -> View:
    kind, cores = operator.kind.lower(), builder.chip.tp_cores
    if builder.options.as_recorded:
        pieces = look_ups.recorded_pieces(size, kind, cores)
    else:
        pieces = look_ups.even_pieces(size, cores)
    memory = builder.store_table(table.data)
    instructions = look_ups.look_up(pieces, table)
    return builder.move(operator.index, kind, view, view.size, instructions, table=memory)
