"""The fusions, in the order in which they are tried: a line each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from lapilli.compiler.fusions.byte_functions import byte_functions
from lapilli.compiler.fusions.fused import Fused
from lapilli.compiler.fusions.into_producer import into_producer
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph

Fusion: TypeAlias = Callable[[Fused, Chip, Collection[int]], Fused]
"""From a graph to one that computes the same, with fewer operators. It keeps inputs and outputs;
operators with the given indices stay as they are.

What it does with a part of a graph (whose inputs and outputs cross the part's border) must be what
it does with these operators in the whole graph: the one is compiled, the other judged. So whatever
it puts together has to lie in one part: nothing but the first of the operators may need a tensor
that the others' operands don't come from.
"""

FUSIONS: tuple[Fusion, ...] = (byte_functions, into_producer)


def fuse(
    graph: Graph,
    chip: Chip,
    excluded: Collection[int] = (),
    fusions: Sequence[Fusion] = FUSIONS,
) -> Fused:
    """The graph after all fusions; its int8 tensors are seen as bytes already (``unsigned``)."""
    found = Fused(graph)
    for fusion in fusions:
        found = fusion(found, chip, excluded)
    return found
