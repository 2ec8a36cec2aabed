"""What is known of one graph that the delegate was applied to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lapilli.compiler.program_size import MOST_BYTES, Budget, of_part
from lapilli.compiler.units.report import Loss
from lapilli.litert.backend import Verdict
from lapilli.litert.node_times import NodeTimes
from lapilli.model.graph import Graph
from lapilli.program.program import Part


@dataclass(eq=False)
class Preparation:
    """One graph in one interpreter; each partition is entered by its kernel.

    ``graph`` is dropped, with its copies of the constants, once everything is compiled, unless it
    has ``dynamic`` tensors: then kernels follow shapes that change. ``again``: inputs were resized.
    ``parts``: the compiled part of each partition, by its operators; ``host_parts``: operators done
    on the host; ``loss``: what per-channel weights cost. With ``profile`` its ``outline``, the
    graph without constants, stays, and ``nodes`` has the times of the last inference's nodes.
    ``program_bytes``: what all parts take together.
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
    program_bytes: int = 0
    again: bool = False
    _waiting: set[tuple[int, ...]] = field(default_factory=set)

    def expect(self, operators: tuple[int, ...]) -> None:
        """There will be a part of these. Parts are listed in the order of the graph's partitions,
        compiled or not."""
        self.parts[operators] = None
        self._waiting.add(operators)

    def compiled(self, operators: tuple[int, ...], part: Any) -> None:
        """Here it is."""
        self.parts[operators] = part
        self._waiting.discard(operators)
        if not self._waiting and not self.dynamic:
            self.graph = None

    @property
    def operators(self) -> int:
        """How many are on the NPU."""
        return sum(len(part) for part in self.parts)

    def account(self, operators: tuple[int, ...], part: Any) -> None:
        """Before a part is kept: ModelError if all are larger together than a program may be."""
        known = self.parts.get(operators)
        self.program_bytes += of_part(part) if isinstance(part, Part) else 0
        self.program_bytes -= of_part(known) if isinstance(known, Part) else 0
        Budget(MOST_BYTES).spend(self.program_bytes)

    def note(self, node: NodeTimes) -> None:
        """Keep a node's times; one that ran before begins another inference."""
        if any(node.operators == known.operators for known in self.nodes):
            self.nodes = ()
        self.nodes = (*self.nodes, node)
