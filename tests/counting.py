"""What an action costs, counted and not timed: calls of functions, and memory."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType


def calls_of(action: Callable[[], object]) -> int:
    """Calls of Python's and of native functions, generators' steps included. Loops inside native
    code are not seen: those take memory or are bounded by their input's size."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def peak_of(action: Callable[[], object]) -> int:
    """Largest number of bytes that Python and NumPy had allocated on top of what they had."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
