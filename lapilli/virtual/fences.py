"""Fences of the virtual core, and waiting for them."""

from __future__ import annotations

import errno
import time
from typing import Protocol

from lapilli.hw.drm import Timespec
from lapilli.virtual.errors import KernelError


class Clock(Protocol):
    """CLOCK_MONOTONIC; tests put in one that does not take time."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None:
        """Return that much later."""


class SystemClock:
    """The machine's."""

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return that much later."""
        time.sleep(seconds)


class Fences:
    """Numbers 1, 2, ... in the order of submits. A job is done when its submit returns, unless it
    hangs: then its fence passes when the kernel gives the job up."""

    def __init__(self, clock: Clock, job_timeout: float) -> None:
        self._clock = clock
        self._job_timeout = job_timeout
        self._last = 0
        self._hanging: dict[int, float] = {}

    def add(self, hangs: bool) -> int:
        """The next fence."""
        self._last += 1
        if hangs:
            self._hanging[self._last] = self._clock.monotonic() + self._job_timeout
        return self._last

    def pending(self, fence: int) -> bool:
        """Whether it exists and has not passed."""
        return self._hanging.get(fence, 0.0) > self._clock.monotonic()

    def wait(self, fence: int, timeout: Timespec | None) -> None:
        """Return when the fence has passed, at once if it does not exist. KernelError: ETIMEDOUT at
        ``timeout``; EBUSY if that is None, which means not to wait."""
        if not self.pending(fence):
            return
        if timeout is None:
            raise KernelError(errno.EBUSY, f"fence {fence} is pending")
        until = timeout.seconds + timeout.nanoseconds / 1e9
        passes = self._hanging[fence]
        self._clock.sleep(max(min(until, passes) - self._clock.monotonic(), 0.0))
        if until < passes:
            raise KernelError(errno.ETIMEDOUT, f"fence {fence} is pending")
