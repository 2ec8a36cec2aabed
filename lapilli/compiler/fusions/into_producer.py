"""Rescaling and clamping behind a convolution or fully connected layer become part of it.

Such a layer ends in the same: a factor, a zero point, clamping at both ends of a byte, and the relu
bit clamps below. A RELU, QUANTIZE or look-up that does no more behind it, on a tensor that nobody
else needs, is folded in. The CPU rounds twice there, the NPU then once: for every one of the 256
bytes between, whatever it was rounded from has to come out within 1 of the CPU.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from lapilli.compiler.fusions.elementwise import is_elementwise
from lapilli.compiler.fusions.fused import Fused, Replacement, consumers, private, replaced
from lapilli.compiler.fusions.ties import rounded_once
from lapilli.compiler.judge import judge
from lapilli.compiler.operators import look_up
from lapilli.hw.chips import Chip
from lapilli.model.graph import (
    Activation,
    Convolution,
    FullyConnected,
    Graph,
    Operator,
    Quantization,
)
from lapilli.program.program import Bytes

UNSURE = 0.02
"""Steps that the NPU's sum may be off before it is rounded: its factor has 15 bits (V7)."""
LARGEST_BYTE = 255


def into_producer(before: Fused, chip: Chip, excluded: Collection[int]) -> Fused:
    """The graph with clamps and rescalings in the layers in front of them."""
    graph = before.graph
    readers = consumers(graph)
    changes = []
    for position, operator in enumerate(graph.operators):
        options = operator.options
        if operator.index in excluded or not isinstance(options, Convolution | FullyConnected):
            continue
        tensor = operator.outputs[0]
        behind = readers.get(tensor, [])
        if len(behind) != 1 or not private(graph, readers, tensor, set(behind)):
            continue
        (follower,) = behind
        if graph.operators[follower].index in excluded:
            continue
        made = _with(graph, operator, graph.operators[follower])
        if made is not None and judge(graph, made, chip).supported:
            changes.append(Replacement(position, made, (follower,)))
    return replaced(before, graph, changes) if changes else before


def _with(graph: Graph, producer: Operator, follower: Operator) -> Operator | None:
    """The producer that does the follower's work, too, if it can."""
    options = producer.options
    assert isinstance(options, Convolution | FullyConnected)
    if options.activation not in (Activation.NONE, Activation.RELU):
        return None
    wanted = _wanted(graph, follower, producer.outputs[0])
    if wanted is None:
        return None
    between, result = (
        graph.tensors[t].quantization for t in (producer.outputs[0], follower.outputs[0])
    )
    assert between is not None and result is not None
    relu = options.activation is Activation.RELU
    reached = wanted[between.zero_point if relu else 0 :]
    clamped = bool(reached.min() >= result.zero_point)
    if relu and not clamped:
        return None
    if worst(wanted, between, result, relu, clamped) > 1:
        return None
    activation = Activation.RELU if clamped else Activation.NONE
    return replace(
        producer, outputs=follower.outputs, options=replace(options, activation=activation)
    )


def _wanted(graph: Graph, follower: Operator, source: int) -> Bytes | None:
    """What the follower makes of each byte; None if it is no function of a byte."""
    if follower.kind == look_up.KIND:
        data = graph.tensors[follower.inputs[look_up.RESULTS]].data
        assert data is not None
        return data.astype(np.uint8, copy=False)
    computed = {t for t in follower.inputs if t >= 0 and graph.tensors[t].data is None}
    if computed != {source} or not is_elementwise(graph, follower):
        return None
    return rounded_once(graph, [follower], source)[follower.outputs[0]]


def worst(
    wanted: Bytes, between: Quantization, result: Quantization, relu: bool, clamped: bool
) -> int:
    """How far a layer that gives ``result`` right away can be from one that gives a byte of
    ``between``, which then becomes one of ``wanted``. ``relu``: the layer has one already;
    ``clamped``: it is to have one."""
    factor = float(np.float32(between.scale)) / float(np.float32(result.scale))
    stored = np.arange(between.zero_point if relu else 0, LARGEST_BYTE + 1)
    ends = []
    for side in (-0.5 - UNSURE, 0.5 + UNSURE):
        sums = stored - between.zero_point + side
        # The first and last byte stand for all that lies beyond.
        if side < 0:
            sums[0] = -np.inf
        else:
            sums[-1] = np.inf
        found = np.floor(sums * factor + 0.5) + result.zero_point
        ends.append(np.clip(found, result.zero_point if clamped else 0, LARGEST_BYTE))
    off = np.abs(np.array(ends) - wanted[stored])
    return int(off.max())
