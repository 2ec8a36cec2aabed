"""What a layer takes in one job or several, by the timing model.

Always of one chip, the one whose figures are surest, so that what becomes of a model's weights is
the same on every chip.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lapilli.compiler import partition as partitioning
from lapilli.compiler.in_groups import in_groups
from lapilli.compiler.lower import lower
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.realise import realise
from lapilli.compiler.schedule import best
from lapilli.compiler.schedule.cost import YARDSTICKS, Costs, deciding_constants
from lapilli.compiler.schedule.levers.registry import pulled
from lapilli.compiler.units.layers import operands
from lapilli.compiler.unsigned import as_unsigned
from lapilli.compiler.verdict import judge_all
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model.graph import Graph, Quantization

_NEARLY = 2.0**-10
"""By how much the scales of jobs that are only counted differ."""


@dataclass
class JobCosts:
    """Cycles of the layers of ``graph``, each by itself between tensors of its part; lives as long
    as one compilation. ``seen``: the graph as the rules see it, with one scale a layer."""

    seen: Graph
    chip: Chip = field(default_factory=lambda: _yardstick())
    _known: dict[tuple[object, int], float | None] = field(default_factory=dict)

    def __call__(self, position: int, jobs: int) -> float | None:
        """Of the layer at ``position`` as so many ``jobs``; None if the chip does not take it."""
        key = self._shape(position), jobs
        if key not in self._known:
            self._known[key] = self._cycles(position, jobs)
        return self._known[key]

    def _shape(self, position: int) -> object:
        """What layers of the same costs have in common, but for how well their weights code."""
        operator = self.seen.operators[position]
        tensors = (*operands(operator)[:2], operator.outputs[0])
        shapes = tuple(self.seen.tensors[tensor].shape for tensor in tensors)
        return operator.kind, operator.options, shapes

    def _cycles(self, position: int, jobs: int) -> float | None:
        operator = self.seen.operators[position]
        borders = partitioning.with_borders(self.seen, [position])
        part = partitioning.cut_out(self.seen, [position], borders.inputs, borders.outputs)
        if not all(found.supported for found in judge_all(part, self.chip)):
            return None
        split = _with_scales(part, operands(operator)[1], jobs)
        wishes = LoweringOptions(as_recorded=False)
        lowered = lower(in_groups(as_unsigned(split)), self.chip, wishes)
        used = pulled(self.chip.generation, frozenset(), frozenset())
        costs = Costs(self.chip, deciding_constants(self.chip))
        search = best.Search(costs, used.levers, used.choices, 1)
        _, planned = best.plan(realise(lowered, self.chip, wishes), search)
        # Layouts that only the layer's being alone makes are no part of its costs.
        return float(
            sum(each.cycles for each in planned if getattr(each.job, "kind", "") not in _MOVES)
        )


_MOVES = ("transpose", "detranspose")


def _yardstick() -> Chip:
    chip = find_by_name(YARDSTICKS[7])
    assert chip is not None
    return chip


def _with_scales(graph: Graph, weights: int, jobs: int) -> Graph:
    """The graph with as many nearly equal scales for a layer's weights, in runs of its outputs."""
    tensor = graph.tensors[weights]
    known = tensor.quantization
    assert known is not None
    if jobs == 1:
        return graph
    axis = 3 if graph.operators[0].kind == "DEPTHWISE_CONV_2D" else 0
    runs = np.array_split(np.arange(tensor.shape[axis]), jobs)
    scales = [known.scale * (1.0 + i * _NEARLY) for i, run in enumerate(runs) for _ in run]
    tensors = list(graph.tensors)
    tensors[weights] = replace(
        tensor, quantization=Quantization(tuple(scales), (0,) * len(scales), axis)
    )
    return replace(graph, tensors=tuple(tensors))
