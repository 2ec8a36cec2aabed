"""The stage before a graph is compiled: what the NPU sees of weights with a scale for each channel.

It takes such layers as if they had one scale; then ``units/`` sees to it that they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lapilli.compiler.job_costs import JobCosts
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.layers import is_layer, operands
from lapilli.compiler.units.options import BEST, FAST, OFF, UnitOptions
from lapilli.compiler.units.requantise import Requantised, requantise_graph
from lapilli.model.graph import Graph, Quantization, Tensor


@dataclass(frozen=True)
class PerChannel:
    """What to do with per-channel weights, and the samples to do it on."""

    options: UnitOptions = BEST
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def wanted(self) -> bool:
        """Whether such layers are taken at all."""
        return self.options.mode != OFF.mode

    @property
    def described(self) -> list[object]:
        """All that can change what becomes of a graph, as plain values."""
        return [*vars(self.options).values(), self.calibration.digest]

    def seen(self, graph: Graph) -> Graph:
        """The graph as the rules are to see it."""
        return as_if_one_scale(graph) if self.wanted else graph

    def done(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        """The graph with one scale a layer in ``parts``, lists of positions of operators. Raises
        Unsupported if nothing here can compute what leads to them."""
        costs = JobCosts(as_if_one_scale(graph))
        return requantise_graph(graph, parts, self.calibration, self.options, costs)


BEST_WAY: Final = PerChannel(BEST)
FAST_WAY: Final = PerChannel(FAST)
LEFT_ALONE: Final = PerChannel(OFF)


def as_if_one_scale(graph: Graph) -> Graph:
    """The graph with the largest scale in place of several, for weights that ``units`` can do;
    their values stay, so it is for rules alone. A graph without any comes back as is."""
    chosen = {
        operands(operator)[1]
        for operator in graph.operators
        if is_layer(graph, operator)
        and (found := graph.tensors[operands(operator)[1]].quantization) is not None
        and found.per_channel
        and not any(found.zero_points)
    }
    if not chosen:
        return graph
    tensors = tuple(
        _with_largest(tensor) if tensor.index in chosen else tensor for tensor in graph.tensors
    )
    return replace(graph, tensors=tensors)


def _with_largest(tensor: Tensor) -> Tensor:
    assert tensor.quantization is not None
    largest = Quantization((max(tensor.quantization.scales),), (0,))
    return replace(tensor, quantization=largest)
