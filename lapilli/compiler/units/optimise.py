"""Finds units: Adam on their logarithms, projected on their bounds, from units of 1.

Adam: Kingma and Ba, 2014. The gradient is divided by J, so that the rate is one of the logarithm.
What comes out lies on a coarse grid of logarithms, which costs nothing and keeps last bits out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, logarithm_of_two, on_grid
from lapilli.compiler.units.objective import Objective
from lapilli.compiler.units.statistics import Channels, half_and_half
from lapilli.compiler.units.ties import FIXED, Ties
from lapilli.model.graph import Graph

LARGEST_UNIT_LOG2: Final = 5.643856189774724
"""log2 of 50."""
SMALLEST_UNIT: Final = 1.0 / 50.0
GRID: Final = 1.0 / 1024
"""Of the logarithms of units."""
_FIRST_RATE: Final = 0.1
_LAST_RATE: Final = 0.01
_FIRST_POWER: Final = 8.0
_LAST_POWER: Final = 24.0
_NEAR_BITS: Final = 8.0
"""Weights whose part of a p-norm is below 2**-8 of the largest's are left out …"""
_MOVE: Final = 0.5
"""… but those are kept that may come near before they are looked for again, in log2."""
_REFRESH: Final = 5
_NATURAL: Final = 1.4426950408889634
"""log2 of e: rates are of natural logarithms."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """The least and largest logarithm of each class's unit."""

    low: Floats
    high: Floats


def find_bounds(
    graph: Graph, ties: Ties, statistics: Mapping[int, Channels], margin: float
) -> Bounds:
    """Finer units saturate earlier: u >= min(1, margin * the largest share of the byte's range
    that was seen); coarser ones end at 50. A class takes the largest of its members' bounds."""
    low = np.full(ties.count, -LARGEST_UNIT_LOG2)
    high = np.full(ties.count, LARGEST_UNIT_LOG2)
    for tensor, classes in ties.classes.items():
        quantization = graph.tensors[tensor].quantization
        seen = statistics.get(tensor)
        if quantization is None or seen is None:
            low[classes] = 0.0
            high[classes] = 0.0
            continue
        limits = np.iinfo(graph.tensors[tensor].dtype)
        above = max(int(limits.max) - quantization.zero_point, 1)
        below = max(quantization.zero_point - int(limits.min), 1)
        share = np.maximum(np.maximum(seen.most / above, -seen.least / below), 0.0)
        # A channel that slept may wake up: it gets half of what its tensor's channels need.
        share = np.maximum(share, half_and_half(share)) * margin
        needed = np.clip(share, SMALLEST_UNIT, 1.0)
        np.maximum.at(low, classes, logarithm_of_two(needed))
    low[FIXED] = high[FIXED] = 0.0
    return Bounds(low, high)


def find_units(
    objective: Objective, bounds: Bounds, steps: int, start: Floats | None = None
) -> Floats:
    """log2 of the units of all classes; the best that was met, no worse than units of 1."""
    logs = np.zeros(objective.classes) if start is None else start.copy()
    best, least = logs.copy(), objective.value(logs)
    mean = np.zeros_like(logs)
    square = np.zeros_like(logs)
    near = objective.near(logs, _NEAR_BITS / _FIRST_POWER + _MOVE)
    for step in range(steps):
        share = step / max(1, steps - 1)
        power = _FIRST_POWER + (_LAST_POWER - _FIRST_POWER) * share
        if step % _REFRESH == 0 and step:
            near = objective.near(logs, _NEAR_BITS / power + _MOVE)
        rate = _FIRST_RATE + (_LAST_RATE - _FIRST_RATE) * share
        value, slopes = objective.gradient(logs, near, power)
        if value <= 0.0:
            break
        slopes /= value
        mean = 0.9 * mean + 0.1 * slopes
        square = 0.99 * square + 0.01 * slopes * slopes
        fair_mean = mean / (1.0 - _power(0.9, step + 1))
        fair_square = square / (1.0 - _power(0.99, step + 1))
        moved = logs - (rate * _NATURAL) * fair_mean / (np.sqrt(fair_square) + 1e-8)
        logs = np.clip(moved, bounds.low, bounds.high)
    settled = np.clip(on_grid(logs, GRID), bounds.low, bounds.high)
    if objective.value(settled) < least:
        best = settled
    return best


def _power(base: float, exponent: int) -> float:
    """By multiplication: ``pow`` is the C library's."""
    result = 1.0
    for _ in range(exponent):
        result *= base
    return result
