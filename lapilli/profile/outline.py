"""What a profile needs of a graph: everything but the constants."""

from __future__ import annotations

from dataclasses import replace

from lapilli.model.graph import Graph


def outline(graph: Graph) -> Graph:
    """The graph without its constants."""
    return replace(graph, tensors=tuple(replace(t, data=None) for t in graph.tensors))
