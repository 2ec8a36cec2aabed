"""The order in which LiteRT lists equal scores of one box.

It asks ``std::partial_sort`` for the best few classes, which leaves equals in an order that follows
from its steps: a heap of the first few, the others let in one by one, the heap sorted. These are
the steps of GNU's C++ library, with which LiteRT is built.
"""

from __future__ import annotations

from collections.abc import Sequence


def partial_sort(scores: Sequence[float], count: int) -> list[int]:
    """Indices of the ``count`` highest scores, from the highest. For one it is the first."""
    if count == 1:
        return [max(range(len(scores)), key=scores.__getitem__)]
    heap = list(range(count))
    for parent in range((count - 2) // 2, -1, -1):
        _sink(scores, heap, parent, count, heap[parent])
    for index in range(count, len(scores)):
        if scores[index] > scores[heap[0]]:
            _sink(scores, heap, 0, count, index)
    for last in range(count - 1, 0, -1):
        value, heap[last] = heap[last], heap[0]
        _sink(scores, heap, 0, last, value)
    return heap


def _sink(scores: Sequence[float], heap: list[int], hole: int, length: int, value: int) -> None:
    """Put ``value`` in the place of ``hole``: the hole sinks to the bottom, along the lower
    children, and ``value`` rises from there. The lowest score is on top."""
    top, child = hole, hole
    while child < (length - 1) // 2:
        child = 2 * (child + 1)
        if scores[heap[child]] > scores[heap[child - 1]]:
            child -= 1
        heap[hole] = heap[child]
        hole = child
    if length % 2 == 0 and child == (length - 2) // 2:
        heap[hole] = heap[2 * child + 1]
        hole = 2 * child + 1
    parent = (hole - 1) // 2
    while hole > top and scores[heap[parent]] > scores[value]:
        heap[hole] = heap[parent]
        hole, parent = parent, (parent - 1) // 2
    heap[hole] = value
