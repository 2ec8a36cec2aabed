"""A part's operators to what is to be done: see ``operators/`` for each of them.

The part is a graph of its own, whose inputs and outputs are the tensors that cross its border.
"""

from __future__ import annotations

from dataclasses import replace

from lapilli.compiler import program_size
from lapilli.compiler.builder import Builder
from lapilli.compiler.intents import Lowered
from lapilli.compiler.jobs import Crossing, View
from lapilli.compiler.operators.registry import record_of
from lapilli.compiler.options import LoweringOptions
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph


def lower(part: Graph, chip: Chip, options: LoweringOptions) -> Lowered:
    """What is to be done for ``part``, whose operators the chip takes, in their order. Raises
    ModelError if it is more than a program may hold."""
    builder = Builder(part, chip, options)
    budget, counted = program_size.Budget(options.most_bytes), 0
    for tensor in part.inputs:
        place = builder.place(tensor)
        place.nhwc = builder.store(place.size.plane * place.size.channels, "input")
    for operator in part.operators:
        record = record_of(operator.kind)
        assert record is not None, f"{operator.kind} was not judged"
        record.lower(builder, operator)
        for tensor in operator.outputs:
            if tensor in part.outputs:
                builder.nhwc(tensor, operator.index)
        budget.spend(program_size.of_steps(builder.steps[counted:]))
        counted = len(builder.steps)
    outputs = tuple(Crossing(t, _result(builder, t)) for t in part.outputs)
    for crossing in outputs:
        storage = builder.storages[crossing.view.storage]
        if storage.role == "tensor":
            builder.storages[crossing.view.storage] = replace(storage, role="output")
    return Lowered(
        operators=tuple(operator.index for operator in part.operators),
        steps=tuple(builder.steps),
        storages=tuple(builder.storages),
        placed=builder.placed,
        inputs=tuple(Crossing(t, builder.nhwc(t, -1)) for t in part.inputs),
        outputs=outputs,
    )


def _result(builder: Builder, tensor: int) -> View:
    """An output's bytes, in memory that the host does not fill: where operators that change no
    byte lead from an input to it, a copy."""
    view = builder.nhwc(tensor, -1)
    if builder.storages[view.storage].role == "input":
        return builder.copy(builder.graph.operators[-1], view)
    return view
