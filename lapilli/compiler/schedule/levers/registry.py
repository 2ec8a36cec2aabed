"""The levers, in the order in which they are pulled: one that cuts a job up before one that changes
the pieces."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lapilli.compiler.schedule.levers import (
    empty_taps,
    fold,
    groups,
    one_pass,
    output_split,
    own_border,
    parity,
    plain_addition,
    tp_cores,
)
from lapilli.compiler.schedule.levers.lever import Evidence, Lever
from lapilli.errors import UsageError

LEVERS: tuple[Lever, ...] = (
    one_pass.LEVER,
    own_border.LEVER,
    parity.LEVER,
    tp_cores.LEVER,
    plain_addition.LEVER,
    empty_taps.LEVER,
    groups.LEVER,
    output_split.LEVER,
    fold.LEVER,
)
TILES, MEMORY, PARTIAL_IMAGE = "tiles", "memory", "partial-image"


@dataclass(frozen=True)
class Choice:
    """A choice inside a job, which is no rewriting; fields as in ``Lever``."""

    name: str
    sentence: str
    evidence: Evidence
    generations: tuple[int, ...] = (7, 8)
    experimental: bool = False


CHOICES = (
    Choice(
        TILES,
        "Sizes of tiles and superblocks are those that cost least, of legal ones.",
        Evidence.COMBINED,
    ),
    Choice(
        MEMORY,
        "Kernels and image are kept on chip where both fit as a whole, as it costs least.",
        Evidence.RECORDED,
        (7,),
    ),
    Choice(
        PARTIAL_IMAGE,
        "An image is kept on chip beside kernels that are kept in part.",
        Evidence.GUESS,
        (7,),
        experimental=True,
    ),
)
EVERYTHING: tuple[Lever | Choice, ...] = (*LEVERS, *CHOICES)
NAMES = tuple(each.name for each in EVERYTHING if not each.experimental)
"""Of everything that the best schedule uses without being asked."""


@dataclass(frozen=True)
class Pulled:
    """What a search may use: levers in their order, and names of choices."""

    levers: tuple[Lever, ...]
    choices: frozenset[str]


def pulled(generation: int, without: Collection[str], experimental: Collection[str]) -> Pulled:
    """What a generation has, but for some; raises UsageError for names that there are not, and for
    ``experimental`` ones that are not experimental or not for that generation."""
    for name in without:
        if name not in NAMES:
            raise UsageError(f"unknown lever {name!r}; known: {', '.join(NAMES)}")
    here = [each for each in EVERYTHING if generation in each.generations]
    guesses = [each.name for each in here if each.experimental]
    for name in experimental:
        if name not in guesses:
            raise UsageError(
                f"{name!r} is no experimental lever for V{generation}; "
                f"known: {', '.join(guesses) or 'none'}"
            )
    names = {
        each.name
        for each in here
        if each.name not in without and (not each.experimental or each.name in experimental)
    }
    return Pulled(
        tuple(lever for lever in LEVERS if lever.name in names),
        frozenset(choice.name for choice in CHOICES if choice.name in names),
    )
