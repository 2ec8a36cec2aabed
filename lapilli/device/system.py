"""The system calls that driving a board takes, and nothing else: the tests put another one in."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import time
import weakref
from ctypes import Structure
from pathlib import Path
from typing import Protocol

import numpy as np

from lapilli.program.program import Bytes

NODES = Path("/dev/dri")
NODE_PATTERN = "renderD*"
MAP_FAILED = (1 << (8 * ctypes.sizeof(ctypes.c_void_p))) - 1


class System(Protocol):
    """Everything that fails raises OSError."""

    def nodes(self) -> list[str]:
        """Paths of the render nodes, sorted."""

    def open(self, path: str) -> int:
        """A file descriptor for a node."""

    def close(self, descriptor: int) -> None:
        """Close it; mappings stay."""

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        """One call; ``argument`` is changed in place."""

    def map(self, descriptor: int, size: int, offset: int) -> Bytes:
        """Shared memory, [size]. It is unmapped when the last array on it is gone."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which the kernel's time-outs count in."""


class KernelSystem:
    """The machine we run on."""

    def nodes(self) -> list[str]:
        """Paths of the render nodes, sorted."""
        return sorted(str(path) for path in NODES.glob(NODE_PATTERN))

    def open(self, path: str) -> int:
        """A file descriptor for a node."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """Close it; mappings stay."""
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        """One call; ``argument`` is changed in place."""
        fcntl.ioctl(descriptor, request, argument, True)

    def map(self, descriptor: int, size: int, offset: int) -> Bytes:
        """Shared memory, [size]. It is unmapped when the last array on it is gone."""
        return map_shared(descriptor, size, offset)

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which the kernel's time-outs count in."""
        return time.monotonic()


def map_shared(descriptor: int, size: int, offset: int) -> Bytes:
    """``size`` bytes of a file from ``offset`` on, shared, writable; raises OSError.

    The C function and not Python's ``mmap``, because that keeps a copy of the descriptor for each
    mapping (until Python 3.13), and refuses to unmap while an array is left.
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int64,
    )
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    if size <= 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = library.mmap(None, size, protection, mmap.MAP_SHARED, descriptor, offset)
    if address is None or address == MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_uint8 * size).from_address(address)
    # Atexit the process ends anyway, and arrays may still be in use.
    weakref.finalize(memory, library.munmap, address, size).atexit = False
    data: Bytes = np.frombuffer(memory, np.uint8)  # type: ignore[call-overload]
    return data
