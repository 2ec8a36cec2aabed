"""What a lever is: another way to have the same bytes, and how much is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lapilli.compiler.jobs import NnJob, TpJob
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip

Job: TypeAlias = NnJob | TpJob


class Evidence(Enum):
    """What says that a chip does as the emulator does."""

    RECORDED = "recorded"
    COMBINED = "recorded parts in a new combination"
    PUBLISHED = "published"
    GUESS = "guess"


@dataclass(frozen=True)
class Window:
    """Jobs that follow one another, and what a lever may know of their part.

    ``alone``: for each of the jobs, nobody but the next one reads what it writes.
    """

    jobs: tuple[Job, ...]
    alone: tuple[bool, ...]
    chip: Chip


@dataclass(frozen=True)
class Alternative:
    """Other jobs for a window's, on the same storages."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Lever:
    """``jobs``: how many jobs its windows may have. ``alternatives``: other jobs that give the same
    bytes where the window's results lie; none where the lever does not apply. ``sentence`` and
    ``evidence`` are for the reader of docs/schedules.md; ``generations``: where it applies."""

    name: str
    sentence: str
    evidence: Evidence
    jobs: tuple[int, ...]
    alternatives: Callable[[Window], Iterator[Alternative]]
    generations: tuple[int, ...] = (7, 8)
    experimental: bool = False

    def offers(self, window: Window) -> Iterator[Alternative]:
        """``alternatives`` of a window on one of the lever's generations; Unsupported on others,
        where the same jobs would mean something else: V8 adds by other kernels than V7."""
        if window.chip.generation not in self.generations:
            known = ", ".join(f"V{number}" for number in self.generations)
            raise Unsupported(
                f"lever {self.name} is for {known}; "
                f"found a job for {window.chip.name}, V{window.chip.generation}"
            )
        return self.alternatives(window)
