"""What is known of one graph that the delegate was applied to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lapilli.compiler.units.report import Loss
from lapilli.litert.backend import Verdict
from lapilli.litert.node_times import NodeTimes
from lapilli.model.graph import Graph


@dataclass(eq=False)
class Preparation:
    """One graph in one interpreter; each partition is entered by its kernel.

    ``graph`` is dropped, with its copies of the constants, once everything is compiled, unless it
    has ``dynamic`` tensors: then kernels follow shapes that change. ``parts``:
    the compiled part of each partition, by its operators; ``host_parts``: operators done on the
    host; ``loss``: what per-channel weights cost. With ``profile`` its ``outline``, the
    graph without constants, stays, and ``nodes`` has the times of the last inference's nodes.
    """

    graph: Graph | None
    verdicts: tuple[Verdict, ...]
    parts: dict[tuple[int, ...], Any] = field(default_factory=dict)
    host_parts: tuple[tuple[int, ...], ...] = ()
    compile_seconds: float = 0.0
    loss: Loss | None = None
    outline: Graph | None = None
    nodes: tuple[NodeTimes, ...] = ()
    dynamic: bool = False

    @property
    def operators(self) -> int:
        """How many are on the NPU."""
        return sum(len(part) for part in self.parts)

    def note(self, node: NodeTimes) -> None:
        """Keep a node's times; one that ran before begins another inference."""
        if any(node.operators == known.operators for known in self.nodes):
            self.nodes = ()
        self.nodes = (*self.nodes, node)
