"""How per-channel weights are dealt with, and what may be spent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lapilli.errors import UsageError

MODES: Final = ("fast", "best", "off")


@dataclass(frozen=True)
class UnitOptions:
    """``steps`` of the search for units; ``samples`` to look at; ``positions``: output pixels of
    a layer at which patches are taken; ``feedback``: round weights with error feedback."""

    mode: str
    steps: int
    samples: int
    positions: int
    feedback: bool


FAST: Final = UnitOptions("fast", steps=40, samples=6, positions=512, feedback=False)
BEST: Final = UnitOptions("best", steps=120, samples=32, positions=3000, feedback=True)
OFF: Final = UnitOptions("off", steps=0, samples=0, positions=0, feedback=False)


def unit_options(mode: str) -> UnitOptions:
    """The options that ``--per-channel`` names; UsageError for anything else."""
    named = {options.mode: options for options in (FAST, BEST, OFF)}.get(mode)
    if named is None:
        raise UsageError(
            f"unknown way {mode!r} with per-channel weights; known: {', '.join(MODES)}"
        )
    return named
