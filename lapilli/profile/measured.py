"""What a clock says of one inference, and of it the time of the CPU's operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapilli.device.open import is_emulator
from lapilli.litert.node_times import NodeTimes


@dataclass(frozen=True)
class Measured:
    """One inference in LiteRT, seconds of ``time.perf_counter``, None where not known.
    ``on_board``: the device is a real one, so that the nodes' times mean something."""

    start: float | None
    end: float | None
    nodes: tuple[NodeTimes, ...]
    on_board: bool


def measured_between(
    nodes: Sequence[NodeTimes], device: str, start: float | None = None, end: float | None = None
) -> Measured:
    """What was measured of an inference from ``start`` to ``end``, None if that is not known."""
    return Measured(start, end, tuple(nodes), not is_emulator(device))


def gaps(
    order: Sequence[int | tuple[int, ...]], measured: Measured | None
) -> dict[tuple[int, ...], float]:
    """Seconds of each group of CPU operators: from one NPU node's end to the next one's start."""
    if measured is None or len(measured.nodes) != sum(isinstance(g, int) for g in order):
        return {}
    nodes = iter(measured.nodes)
    following = next(nodes, None)
    clock: float | None = measured.start
    found: dict[tuple[int, ...], float] = {}
    for group in order:
        if isinstance(group, tuple):
            until = measured.end if following is None else following.start
            if until is not None and clock is not None:
                found[group] = max(until - clock, 0.0)
        else:
            assert following is not None
            clock, following = following.end, next(nodes, None)
    return found
