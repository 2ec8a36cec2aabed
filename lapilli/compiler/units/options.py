"""How per-channel weights are dealt with, and what may be spent on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lapilli.compiler.units.jobs import MOST_JOBS
from lapilli.errors import UsageError

MODES: Final = ("fast", "best", "groups=N", "off")


@dataclass(frozen=True)
class UnitOptions:
    """``steps`` of the search for units; ``samples`` to look at; ``positions``: output pixels of
    a layer at which patches are taken; ``feedback``: round weights with error feedback; ``jobs`` of
    a layer at most; ``extra``: share of the layers' time that more jobs may cost, None for any."""

    mode: str
    steps: int
    samples: int
    positions: int
    feedback: bool
    jobs: int = 1
    extra: float | None = 0.0


FAST: Final = UnitOptions(
    "fast", steps=40, samples=6, positions=512, feedback=False, jobs=8, extra=0.07
)
BEST: Final = UnitOptions(
    "best", steps=120, samples=32, positions=3000, feedback=True, jobs=8, extra=0.07
)
OFF: Final = UnitOptions("off", steps=0, samples=0, positions=0, feedback=False)


def unit_options(mode: str) -> UnitOptions:
    """The options that ``--per-channel`` names; UsageError for anything else."""
    named = {options.mode: options for options in (FAST, BEST, OFF)}.get(mode)
    if named is not None:
        return named
    key, _, number = mode.partition("=")
    if key == "groups" and number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_JOBS:
        return replace(BEST, mode=f"groups={int(number)}", jobs=int(number), extra=None)
    raise UsageError(
        f"unknown way {mode!r} with per-channel weights; known: {', '.join(MODES)}, "
        f"N from 1 to {MOST_JOBS}"
    )
