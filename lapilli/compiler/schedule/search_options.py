"""What a user asks of the best schedule's search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapilli.compiler.schedule.levers.registry import pulled
from lapilli.errors import UsageError
from lapilli.hw.chips import Chip

MOST_EFFORT = 2


@dataclass(frozen=True)
class SearchOptions:
    """``without``: levers of the best schedule that are not pulled, ``experimental``: ones that
    rest on a guess and are (docs/schedules.md). ``effort``: 0 keeps to the reference's tiles, 2
    looks at more than 1. Raises UsageError for an effort that there is not."""

    without: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    effort: int = 1

    def __post_init__(self) -> None:
        effort = self.effort
        if isinstance(effort, bool) or not isinstance(effort, int):
            raise UsageError(f"effort is an integer from 0 to {MOST_EFFORT}, not {effort!r}")
        if not 0 <= effort <= MOST_EFFORT:
            raise UsageError(f"effort is 0 to {MOST_EFFORT}, not {effort}")

    def check(self, chip: Chip) -> SearchOptions:
        """Itself; raises UsageError for names of levers that the chip's generation has not."""
        pulled(chip.generation, self.without, self.experimental)
        return self


DEFAULT_SEARCH = SearchOptions()


def lever_names(given: object, option: str) -> frozenset[str]:
    """Names from a text, with commas between, or from a collection of them; UsageError for
    anything else."""
    if isinstance(given, str):
        return frozenset(name.strip() for name in given.split(",") if name.strip())
    if isinstance(given, Iterable):
        names = list(given)
        if all(isinstance(name, str) for name in names):
            return frozenset(names)
    raise UsageError(f"{option} is a lever's name or several, not {given!r}")
