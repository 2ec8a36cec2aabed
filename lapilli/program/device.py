"""The Device protocol, and the way from a name to a device.

A device has four calls: ``alloc`` a buffer, ``submit`` a command stream, ``wait`` for it, and
``close``. A board and the emulator implement the same ones, and are locked by the same lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from lapilli.errors import DeviceError
from lapilli.hw.chips import Chip
from lapilli.program.program import Bytes, Words


class DeviceBuffer(Protocol):
    """Memory that host and NPU share."""

    @property
    def address(self) -> int:
        """GPU address of the first byte."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def data(self) -> Bytes:
        """The bytes themselves, [size], writable."""

    def free(self) -> None:
        """Give the memory back; the buffer may not be used afterwards."""


class Device(Protocol):
    """An NPU, real or emulated."""

    @property
    def name(self) -> str:
        """As given to ``open_device``."""

    @property
    def chip(self) -> Chip:
        """Which NPU it is."""

    def alloc(self, size: int, address: int | None = None) -> DeviceBuffer:
        """A zero-filled buffer of at least ``size`` bytes, at ``address`` if one is asked for."""

    def submit(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> int:
        """Start a command stream that may touch ``buffers`` only; returns its fence."""

    def wait(self, fence: int, timeout: float = 5.0) -> None:
        """Return when the fence has passed; raises HangError after ``timeout`` seconds, Fault if
        the emulated NPU met something impossible."""

    def close(self) -> None:
        """Free everything."""


class ProcessLock:
    """A reentrant lock that a forked process does not wait for in vain.

    Of a process that forks, only the thread that does so lives on in the child. What another thread
    holds at that moment nobody releases there, and what it was changing stays half changed: taking
    the lock raises DeviceError then, each time. ``owner``: what it guards, for the message.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._lock = threading.RLock()
        self._process = os.getpid()

    @property
    def held(self) -> AbstractContextManager[Any]:
        """For a ``with``. It is Python's own lock, taken by C code: what a handler of signals
        raises comes either before that or inside the block, which gives it back."""
        if os.getpid() != self._process:
            self._demand_free()
        return self._lock

    def _demand_free(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise DeviceError(
                f"{self._owner} was in use by another thread when this process was forked, so it "
                "can't be used here; open the device in this process"
            )
        self._lock.release()
        self._process = os.getpid()
