"""The fusions, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph

Fusion: TypeAlias = Callable[[Graph, Chip], Graph]
"""From a part (a graph whose inputs and outputs cross its border) to one that computes the same,
with fewer operators; it keeps inputs and outputs, and may add tensors at the end of the list."""

FUSIONS: tuple[Fusion, ...] = ()


def fuse(part: Graph, chip: Chip, fusions: Sequence[Fusion] = FUSIONS) -> Graph:
    """The part after all fusions."""
    for fusion in fusions:
        part = fusion(part, chip)
    return part
