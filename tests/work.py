"""What a piece of work takes, told so that a busy machine changes nothing.

Calls and bytes are counted. What NumPy and machine code do within a call is neither: where that
might get out of hand, it is measured as the time that this process computes. Others on the machine
stretch that too, some two times, so a limit is at least ten times what a quiet machine takes.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SOON = 10.0
"""Seconds that nothing damaged may compute for. The slowest of our tests takes half a second, as
machine code is made on its way, the others a tenth. Numbers that nobody checks make minutes at
least: they go up to 2**32."""


@dataclass
class Taken:
    """Known when the block is left."""

    calls: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0


@contextmanager
def counted_calls() -> Iterator[Taken]:
    """Functions that this thread calls, of Python and built in, and steps of generators. Loops in
    native code are not seen: they take memory, or are bounded by their input's size."""
    taken, before = Taken(), sys.getprofile()

    def profile(frame: Any, event: str, argument: Any) -> None:
        taken.calls += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        yield taken
    finally:
        sys.setprofile(before)


@contextmanager
def counted_bytes() -> Iterator[Taken]:
    """The most that was allocated at a time, with NumPy's arrays."""
    taken = Taken()
    tracemalloc.start()
    try:
        yield taken
        taken.peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def computing_time() -> Iterator[Taken]:
    """How long this process computes, in all its threads: not how long anybody waits."""
    taken, start = Taken(), time.process_time()
    try:
        yield taken
    finally:
        taken.seconds = time.process_time() - start


def calls_of(action: Callable[[], object]) -> int:
    """Functions that it calls."""
    with counted_calls() as taken:
        action()
    return taken.calls


def peak_of(action: Callable[[], object]) -> int:
    """The most bytes that it has allocated at a time."""
    with counted_bytes() as taken:
        action()
    return taken.peak_bytes
