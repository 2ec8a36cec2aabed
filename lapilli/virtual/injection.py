"""Makes system calls fail at a chosen moment, to see that the device layer takes it well."""

from __future__ import annotations

import errno
from ctypes import Structure
from dataclasses import dataclass

from lapilli.device.system import System
from lapilli.hw import drm
from lapilli.program.program import Bytes
from lapilli.virtual.fences import Clock
from lapilli.virtual.system import os_error


@dataclass(frozen=True)
class Injection:
    """From call number ``first`` on, counted from 0, ``times`` calls fail with errno ``number``.

    With ``request`` only calls of that ioctl count. A WAIT_FENCE that fails with ETIMEDOUT lets the
    time pass that it was to wait, unless ``early``.
    """

    first: int
    number: int
    times: int = 1
    request: int | None = None
    early: bool = False


class FaultySystem:
    """The calls of ``system``, some of which fail. ``made`` names those that were made. Closing a
    descriptor always works, as it does in Linux."""

    def __init__(self, system: System, clock: Clock, injection: Injection | None = None) -> None:
        self._system = system
        self._clock = clock
        self._injection = injection
        self._counted = 0
        self.made: list[str] = []
        self.failed: list[str] = []

    def nodes(self) -> list[str]:
        """Paths of the render nodes, sorted."""
        return self._system.nodes()

    def open(self, path: str) -> int:
        """A file descriptor for a node."""
        self._pass("open")
        return self._system.open(path)

    def close(self, descriptor: int) -> None:
        """Close it; mappings stay."""
        self._system.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        """One call; ``argument`` is changed in place."""
        names = [ioctl.name for ioctl in drm.IOCTLS if ioctl.request == request]
        self._pass(names[0] if names else f"ioctl {request:#x}", request, argument)
        self._system.ioctl(descriptor, request, argument)

    def map(self, descriptor: int, size: int, offset: int) -> Bytes:
        """Shared memory, [size]."""
        self._pass("mmap")
        return self._system.map(descriptor, size, offset)

    def monotonic(self) -> float:
        """Seconds."""
        return self._system.monotonic()

    def _pass(
        self, name: str, request: int | None = None, argument: Structure | None = None
    ) -> None:
        """Note the call; OSError if it is one that fails."""
        self.made.append(name)
        injection = self._injection
        if injection is None or injection.request not in (None, request):
            return
        number = self._counted
        self._counted += 1
        if not injection.first <= number < injection.first + injection.times:
            return
        self.failed.append(name)
        timed_out = injection.number == errno.ETIMEDOUT and not injection.early
        if timed_out and isinstance(argument, drm.WaitFence):
            until = argument.timeout.seconds + argument.timeout.nanoseconds / 1e9
            self._clock.sleep(max(until - self._clock.monotonic(), 0.0))
        raise os_error(injection.number)
