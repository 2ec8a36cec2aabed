"""The levers, in the order in which they are pulled: one that cuts a job up before one that changes
the pieces."""

from __future__ import annotations

from collections.abc import Collection

from lapilli.compiler.schedule.levers import (
    fold,
    groups,
    one_pass,
    output_split,
    parity,
    plain_addition,
    tp_cores,
)
from lapilli.compiler.schedule.levers.lever import Lever
from lapilli.errors import UsageError

LEVERS: tuple[Lever, ...] = (
    one_pass.LEVER,
    parity.LEVER,
    tp_cores.LEVER,
    plain_addition.LEVER,
    groups.LEVER,
    output_split.LEVER,
    fold.LEVER,
)
TILES, MEMORY = "tiles", "memory"
"""Choices inside a job, which are no rewriting: sizes of tiles and superblocks, and what is kept on
chip."""
NAMES = (*(lever.name for lever in LEVERS), TILES, MEMORY)


def levers_for(
    generation: int, without: Collection[str], experimental: Collection[str]
) -> tuple[Lever, ...]:
    """Those of a generation, but for some; raises UsageError for names that there are not, and for
    ``experimental`` ones that are not experimental or not for that generation."""
    for name in without:
        if name not in NAMES:
            raise UsageError(f"unknown lever {name!r}; known: {', '.join(NAMES)}")
    allowed = [
        lever.name for lever in LEVERS if lever.experimental and generation in lever.generations
    ]
    for name in experimental:
        if name not in allowed:
            raise UsageError(
                f"{name!r} is no experimental lever for V{generation}; "
                f"known: {', '.join(allowed) or 'none'}"
            )
    return tuple(
        lever
        for lever in LEVERS
        if generation in lever.generations
        and lever.name not in without
        and (not lever.experimental or lever.name in experimental)
    )
