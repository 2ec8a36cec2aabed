"""Layers in several jobs: which of its outputs share a scale.

A layer's weights make S^2 / 12 * sum_c T_c u_c^2 of noise; in groups each with its own S it is
sum_g S_g^2 / 12 * sum_{c in g} T_c u_c^2. Outputs stand in a row, sorted by the scale they need or
in an order that other layers chose, and the row is cut where that sum is least: the best of all
ways to cut, by dynamic programming.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers


def cut(needed: Floats, weight: Floats, groups: int) -> list[Integers]:
    """At most ``groups`` runs of the row, as numbers in it; ``needed``: the scale that each output
    needs, ``weight``: how much the square of its scale counts. Fewer where more bring nothing."""
    starts = _starts(_costs(needed, weight), min(groups, len(needed)))
    bounds = [*starts, len(needed)]
    return [np.arange(*pair) for pair in pairwise(bounds)]


def cut_sorted(needed: Floats, weight: Floats, groups: int) -> list[Integers]:
    """The same of a row that is free to choose: sorted by ``needed``."""
    order = np.argsort(needed, kind="stable")
    return [order[run] for run in cut(needed[order], weight[order], groups)]


def noise(needed: Floats, weight: Floats, groups: list[Integers]) -> float:
    """sum_g S_g^2 sum_{c in g} weight."""
    total = 0.0
    for rows in groups:
        total += float(needed[rows].max()) ** 2 * float(np.add.accumulate(weight[rows])[-1])
    return total


def _costs(needed: Floats, weight: Floats) -> Floats:
    """[first, last]: what a group from first to last makes; infinite where last is before."""
    count = len(needed)
    until = np.concatenate([[0.0], np.add.accumulate(weight)])
    table = np.full((count, count), np.inf)
    for first in range(count):
        largest = np.maximum.accumulate(needed[first:])
        table[first, first:] = largest * largest * (until[first + 1 :] - until[first])
    return table


def _starts(costs: Floats, groups: int) -> list[int]:
    """Where the groups of the best way to cut begin."""
    ending, cuts = costs[0].copy(), [np.zeros(len(costs), np.int64)]
    for _ in range(groups - 1):
        before = np.concatenate([[np.inf], ending[:-1]])
        table = before[:, None] + costs
        chosen = table.argmin(axis=0)
        least = table[chosen, np.arange(len(costs))]
        # A cut that brings nothing is none.
        better = least < ending
        cuts.append(np.where(better, chosen, -1))
        ending = np.where(better, least, ending)
    starts, end = [], len(costs)
    for chosen in reversed(cuts):
        start = int(chosen[end - 1])
        if start < 0:
            continue
        starts.append(start)
        end = start
        if end == 0:
            break
    return starts[::-1]
