"""The Device protocol, and the way from a name to a device.

A device has four calls: ``alloc`` a buffer, ``submit`` a command stream, ``wait`` for it, and
``close``. A board and the emulator implement the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
