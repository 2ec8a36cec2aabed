"""System calls that end in a virtual kernel of this process."""

from __future__ import annotations

import ctypes
import errno
import os
import weakref
from collections.abc import Mapping
from ctypes import Structure

from lapilli.device.system import map_shared
from lapilli.program.program import Bytes
from lapilli.virtual.fences import Clock, SystemClock
from lapilli.virtual.kernel import VirtualKernel
from lapilli.virtual.objects import Client

FIRST_DESCRIPTOR = 1000


def memoryview_of(data: Bytes) -> memoryview:
    """The memory below an array that ``map_shared`` made."""
    base = data.base
    return base if isinstance(base, memoryview) else memoryview(base)  # type: ignore[arg-type]


def os_error(number: int) -> OSError:
    """As the real call would raise it."""
    return OSError(number, os.strerror(number))


class VirtualSystem:
    """Render nodes by path, each with the kernel behind it; a number in its place is the errno that
    opening it gives."""

    def __init__(
        self, nodes: Mapping[str, VirtualKernel | int], clock: Clock | None = None
    ) -> None:
        self._nodes = dict(nodes)
        self._clock = SystemClock() if clock is None else clock
        self._files: dict[int, tuple[VirtualKernel, Client]] = {}
        self._opened = 0
        self._mapped: list[weakref.ref[object]] = []

    @property
    def open_files(self) -> int:
        """Descriptors that were not closed."""
        return len(self._files)

    @property
    def mappings(self) -> int:
        """Mappings of which an array is left."""
        self._mapped = [memory for memory in self._mapped if memory() is not None]
        return len(self._mapped)

    def nodes(self) -> list[str]:
        """Paths of the render nodes, sorted."""
        return sorted(self._nodes)

    def open(self, path: str) -> int:
        """A file descriptor for a node."""
        kernel = self._nodes.get(path, errno.ENOENT)
        if isinstance(kernel, int):
            raise os_error(kernel)
        descriptor = FIRST_DESCRIPTOR + self._opened
        self._opened += 1
        self._files[descriptor] = (kernel, kernel.open())
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close it; mappings stay."""
        kernel, client = self._file(descriptor)
        del self._files[descriptor]
        kernel.close(client)

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        """One call; ``argument`` is changed in place."""
        kernel, client = self._file(descriptor)
        copy = bytearray(argument)
        result = kernel.ioctl(client, request, copy, ctypes.string_at, _write_user)
        if result:
            raise os_error(-result)
        ctypes.memmove(ctypes.addressof(argument), bytes(copy), len(copy))

    def map(self, descriptor: int, size: int, offset: int) -> Bytes:
        """Shared memory, [size]. It is unmapped when the last array on it is gone."""
        kernel, _ = self._file(descriptor)
        data = map_shared(kernel.memfd, size, offset)
        self._mapped.append(weakref.ref(memoryview_of(data).obj))
        return data

    def monotonic(self) -> float:
        """Seconds of the virtual kernel's clock."""
        return self._clock.monotonic()

    def _file(self, descriptor: int) -> tuple[VirtualKernel, Client]:
        if descriptor not in self._files:
            raise os_error(errno.EBADF)
        return self._files[descriptor]


def _write_user(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))
