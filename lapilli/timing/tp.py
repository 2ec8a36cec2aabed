"""What a TP instruction has to do, from numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from lapilli.hw import tp
from lapilli.timing.work import Traffic, Work


@dataclass(frozen=True)
class Window:
    """The window's extents along columns or rows of the image: ``start`` to ``end``, the last one
    included, in tiles of ``tile`` every ``step`` (at least 1); the image has ``image``."""

    start: int
    end: int
    tile: int
    step: int
    image: int

    def moved(self) -> tuple[int, int]:
        """Elements of all tiles, and how many of them the image has."""
        moved = inside = 0
        for first in range(self.start, self.end + 1, self.step):
            behind = min(first + self.tile, self.end + 1)
            moved += behind - first
            inside += max(min(behind, self.image) - max(first, 0), 0)
        return moved, inside


@dataclass(frozen=True)
class TpTask:
    """What an instruction asks of a TP core. ``border_planes``: planes before and behind the
    image's ``planes`` that are moved too. ``table_bytes``: of a look-up table, 0 without."""

    columns: Window
    rows: Window
    planes: int
    border_planes: int
    table_bytes: int = 0


def tp_work(tasks: Sequence[TpTask], tp_cores: int) -> tuple[Work, ...]:
    """What each instruction of one operation has to do: elements outside the image are moved, but
    not fetched.

    The instructions run at the same time, one a core, in turns if there are more than
    ``tp_cores``. The operation ends with the core that has most to move: each instruction is
    charged its part of that core's time.
    """
    works = [_alone(task, first=number == 0) for number, task in enumerate(tasks)]
    moved = [work.elements for work in works]
    most = max(sum(moved[core::tp_cores]) for core in range(tp_cores))
    share = Fraction(most, sum(moved)) if most else Fraction(1)
    return tuple(replace(work, busiest=share) for work in works)


def _alone(task: TpTask, first: bool) -> Work:
    across, down = task.columns.moved(), task.rows.moved()
    elements = across[0] * down[0] * (task.planes + task.border_planes)
    fetched = across[1] * down[1] * task.planes
    return Work(
        unit="TP",
        traffic=Traffic(4 * tp.WORDS, task.table_bytes, fetched, elements),
        elements=elements,
        first=first,
    )
