"""Entries for one half of a table, so that the bytes on and between them come out best.

Arguments below 32 have an entry each. Above, up to seven bytes lie on the straight line from one
entry to the next. Moving an entry changes two lines, so the best entries follow from a walk along
the lines that knows, for each of a few values an entry may have, the best way to get there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import float21
from lapilli.hw.tables import ENTRIES_PER_OCTAVE, FRACTION_BITS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EXACT_BELOW = 2 * ENTRIES_PER_OCTAVE
"""Integers below it are entries."""
BEYOND_BYTES = 256
CHOICES = 21
"""Values tried for each entry, from as far below as the lines beside it miss to as far above."""
ROUNDS = 3
CLOSER = 1 / 8
"""Each round looks around what the one before found, so much closer."""
LEAST_REACH = 0.5
LARGEST = 32000.0
"""Bound on entries: far outside a byte, and inside what a float expresses."""
COST_BEYOND = 1e6
"""Of each step that a byte is off beyond one, where a byte that is off by one costs 1."""
COST_OF_MOVING = 1e-4
"""So that an entry stays what the function is there, where moving it gains nothing."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the arguments 0, 1, 2, ... should give: ``target`` before rounding, of which ``low`` to
    ``high`` can be stored, and ``rounded``, which is what should be stored."""

    target: Floats
    rounded: Integers
    low: int
    high: int

    @property
    def bounded(self) -> Floats:
        """``target``, or what is stored where rounding it up at the half gives something else."""
        rounded = np.clip(np.floor(self.target + 0.5), self.low, self.high)
        kept = np.where(rounded == self.rounded, self.target, self.rounded)
        return np.clip(kept, -LARGEST, LARGEST)

    def cost(self, values: Floats, arguments: Integers) -> Floats:
        """Of looking up ``values``; the last axis is that of the arguments. Those beyond the bytes
        cost nothing."""
        inside = arguments < len(self.target)
        right = self.rounded[np.where(inside, arguments, 0)]
        off = np.abs(np.clip(np.floor(values + 0.5), self.low, self.high) - right)
        each = np.minimum(off, 1) + COST_BEYOND * np.maximum(off - 1, 0)
        return np.where(inside, each, 0)


def entry_arguments(count: int) -> Integers:
    """The arguments of the entries that ``count`` integers from 0 on need, the one behind too."""
    octaves = []
    start = EXACT_BELOW
    while start < BEYOND_BYTES:
        octaves.append(np.arange(start, 2 * start, start // ENTRIES_PER_OCTAVE))
        start *= 2
    whole = np.concatenate([np.arange(EXACT_BELOW), *octaves, [BEYOND_BYTES]])
    return whole[: int(np.searchsorted(whole, count - 1)) + 1]


def sampled_entries(wanted: Wanted) -> Floats:
    """The function itself at every entry; behind the last byte it goes on straight."""
    places, target = entry_arguments(len(wanted.target)), wanted.bounded
    last = len(target) - 1
    slope = target[last] - target[last - 1] if last else 0.0
    behind = target[last] + (places - last) * slope
    sampled = np.where(places <= last, target[np.minimum(places, last)], behind)
    return np.clip(sampled, -LARGEST, LARGEST)


def moved_entries(wanted: Wanted) -> Floats:
    """Entries with which no byte is more than one off, if that can be, and as few as can be."""
    places, entries = entry_arguments(len(wanted.target)), sampled_entries(wanted)
    if places[-1] <= EXACT_BELOW:
        return entries
    places, chosen = places[EXACT_BELOW:], entries[EXACT_BELOW:]
    sampled, reach = chosen, _reach(places, chosen, wanted)
    for _ in range(ROUNDS):
        choices = chosen[:, None] + np.linspace(-1, 1, CHOICES) * reach[:, None]
        choices = float21.number(float21.nearest(np.clip(choices, -LARGEST, LARGEST)))
        chosen = _walk(places, choices, sampled, wanted)
        reach = reach * CLOSER
    return np.concatenate([entries[:EXACT_BELOW], chosen])


def indices(count: int) -> Integers:
    """Number of each entry in its half of the table, in the order of ``entry_arguments``."""
    return float21.nearest(entry_arguments(count).astype(np.float64)) >> FRACTION_BITS


def _inner(places: Integers) -> tuple[Integers, Floats]:
    """[lines, inner] arguments inside each line, and how far along it they lie. Shorter lines have
    arguments beyond all bytes at their ends."""
    spacing = np.diff(places)
    step = np.arange(1, max(int(spacing.max()), 2))
    inside = step < spacing[:, None]
    arguments = np.where(inside, places[:-1, None] + step, BEYOND_BYTES)
    return arguments, np.where(inside, step / spacing[:, None], 0.0)


def _reach(places: Integers, entries: Floats, wanted: Wanted) -> Floats:
    """How far to look around each entry: as far as the lines beside it miss."""
    arguments, share = _inner(places)
    inside = arguments < len(wanted.target)
    line = entries[:-1, None] * (1 - share) + entries[1:, None] * share
    target = wanted.bounded[np.where(inside, arguments, 0)]
    miss = np.where(inside, np.abs(line - target), 0).max(axis=1)
    beside: Floats = np.maximum(np.append(miss, 0), np.insert(miss, 0, 0))
    return np.maximum(beside, LEAST_REACH)


def _walk(places: Integers, choices: Floats, sampled: Floats, wanted: Wanted) -> Floats:
    """The best of ``choices`` [entries, values] for each entry."""
    arguments, share = _inner(places)
    ends = wanted.cost(choices.T, places).T
    ends = ends + COST_OF_MOVING * np.minimum(np.abs(choices - sampled[:, None]), 1)
    # [lines, values here, values there, inner]
    values = (
        choices[:-1, :, None, None] * (1 - share[:, None, None])
        + choices[1:, None, :, None] * share[:, None, None]
    )
    lines = wanted.cost(values, arguments[:, None, None]).sum(axis=-1)
    best = ends[0]
    came_from = []
    for line, end in zip(lines, ends[1:], strict=True):
        total = best[:, None] + line
        came_from.append(total.argmin(axis=0))
        best = total.min(axis=0) + end
    at = int(best.argmin())
    found = [at]
    for back in reversed(came_from):
        at = int(back[at])
        found.append(at)
    chosen: Floats = choices[np.arange(len(choices)), found[::-1]]
    return chosen
