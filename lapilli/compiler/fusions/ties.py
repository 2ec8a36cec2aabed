"""What functions of a byte in a row give on the CPU, and what else they could give.

XNNPACK rounds each operator's result once, to the nearest byte. Where that is a tie, or where its
arithmetic is coarse, a byte more or less is as right; behind a later operator a step between may be
several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from lapilli.compiler.fusions.elementwise import BYTES, LARGEST_BYTE, real_steps
from lapilli.model.graph import Graph, Operator
from lapilli.program.program import Bytes

UNSURE: Final = 0.001
"""Steps within which a value counts as halfway between two bytes."""
UNSURE_OF: Final[Mapping[str, float]] = MappingProxyType({"HARD_SWISH": 0.5, "LEAKY_RELU": 0.3})
"""Of operators whose factors have few bits in some kernels."""


def rounded_once(
    graph: Graph,
    operators: Sequence[Operator],
    source: int,
    known: Mapping[int, Bytes] | None = None,
) -> dict[int, Bytes]:
    """[256] each: all bytes of ``source``, and what they become in every tensor that ``operators``
    make, which are elementwise, in order, if each result is rounded once. ``known``: tensors that
    others made of them before."""
    found = {source: np.arange(BYTES).astype(np.uint8)} if known is None else dict(known)
    for operator in operators:
        steps = np.nan_to_num(real_steps(graph, operator, found), nan=_zero(graph, operator))
        found[operator.outputs[0]] = _stored(np.floor(steps + 0.5))
    return found


def other_roundings(
    graph: Graph, operators: Sequence[Operator], values: Mapping[int, Bytes], source: int
) -> Iterator[Bytes]:
    """[256] each: the last operator's result with the bytes changed for which one operator could
    give a step more, or less. ``values``: by ``rounded_once``."""
    wanted = values[operators[-1].outputs[0]]
    known = {source: values[source]}
    for position, operator in enumerate(operators):
        made, rest = operator.outputs[0], operators[position + 1 :]
        steps = real_steps(graph, operator, values)
        for direction in (-1, 1):
            # The value lies on that side of what it was rounded to, about half a step away.
            beside = (steps - values[made]) * direction
            unsure = beside > 0.5 - UNSURE_OF.get(operator.kind, UNSURE)
            moved = {**known, made: _stored(values[made] + float(direction))}
            last = rounded_once(graph, rest, source, moved)[operators[-1].outputs[0]]
            if unsure.any():
                yield np.where(unsure, last, wanted).astype(np.uint8)
        known[made] = values[made]


def _stored(steps: np.ndarray) -> Bytes:
    stored: Bytes = np.clip(steps, 0, LARGEST_BYTE).astype(np.uint8)
    return stored


def _zero(graph: Graph, operator: Operator) -> float:
    """The zero point, which stands for what is no number."""
    quantization = graph.tensors[operator.outputs[0]].quantization
    assert quantization is not None
    return float(quantization.zero_point)
