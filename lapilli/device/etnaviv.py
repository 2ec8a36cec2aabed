"""An open render node of the etnaviv driver: each of the kernel's calls as a method.

Every failure is a DeviceError that says what was asked. Calls that a signal interrupts are made
again, as libdrm does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import weakref
from collections.abc import Mapping
from ctypes import Structure
from dataclasses import dataclass

from lapilli.device.system import System
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.hw.drm import Ioctl, Param
from lapilli.program.program import Bytes

AGAIN = (errno.EINTR, errno.EAGAIN)
LONGEST_TIMEOUT = 1e6
"""Seconds; infinity has no place in a timespec."""
MEANINGS = {
    errno.ENODEV: "the device is gone",
    errno.ENXIO: "there is no such core",
    errno.ENOMEM: "the kernel is out of memory",
    errno.EACCES: "no permission: is the user in the group of the node (often 'render')?",
    errno.EPERM: "no permission: is the user in the group of the node (often 'render')?",
    errno.ENOENT: "no such buffer",
    errno.EMFILE: "this process has too many files open",
}
OPENING = {
    errno.ENOENT: "no such device node",
    errno.ENXIO: "no driver is behind the node",
}
"""What they mean for open, where it is something else."""


class Refused(DeviceError):
    """A system call that failed; ``number`` is its errno."""

    def __init__(self, asked: str, error: OSError, meanings: Mapping[int, str] = MEANINGS) -> None:
        self.number = error.errno or 0
        name = errno.errorcode.get(self.number, "an unknown error")
        meaning = meanings.get(self.number) or os.strerror(self.number)
        super().__init__(f"{asked}: {name}, {meaning}")


@dataclass(frozen=True)
class DriverVersion:
    """What VERSION says."""

    name: str
    major: int
    minor: int
    patch: int
    date: str

    def __str__(self) -> str:
        return f"{self.name} {self.major}.{self.minor}.{self.patch}"


class Node:
    """A render node. The descriptor is closed with it, or when it is deleted."""

    def __init__(self, path: str, system: System) -> None:
        self.path = path
        self.system = system
        try:
            self._descriptor = system.open(path)
        except OSError as error:
            raise Refused(f"{path}: can't be opened", error, MEANINGS | OPENING) from error
        self._closer = weakref.finalize(self, system.close, self._descriptor)

    def close(self) -> None:
        """Close the descriptor, and with it everything the kernel keeps for it."""
        self._closer()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return not self._closer.alive

    def call(self, ioctl: Ioctl, argument: Structure, asked: str) -> None:
        """One ioctl, ``asked`` in words; raises Refused."""
        while True:
            if not self._closer.alive:  # perhaps meanwhile
                raise DeviceError(f"{self.path} is closed")
            try:
                self.system.ioctl(self._descriptor, ioctl.request, argument)
                return
            except OSError as error:
                if error.errno not in AGAIN:
                    raise Refused(f"{self.path}: {ioctl.name} ({asked})", error) from error

    def version(self) -> DriverVersion:
        """Name and version of the driver. Two calls: the lengths, then the texts."""
        lengths = drm.Version()
        self.call(drm.VERSION, lengths, "which driver it is")
        name = ctypes.create_string_buffer(lengths.name_length + 1)
        date = ctypes.create_string_buffer(lengths.date_length + 1)
        texts = drm.Version(
            name_length=lengths.name_length,
            name=ctypes.addressof(name),
            date_length=lengths.date_length,
            date=ctypes.addressof(date),
        )
        self.call(drm.VERSION, texts, "which driver it is")
        return DriverVersion(
            name.value.decode("utf-8", "replace"),
            texts.major,
            texts.minor,
            texts.patch,
            date.value.decode("utf-8", "replace"),
        )

    def parameter(self, pipe: int, param: Param) -> int:
        """A figure about core ``pipe``."""
        argument = drm.GetParam(pipe=pipe, param=param)
        self.call(drm.GET_PARAM, argument, f"{param.name} of core {pipe}")
        return int(argument.value)

    def new_buffer(self, size: int) -> int:
        """Handle of a zero-filled write-combined buffer, which needs no cache maintenance."""
        argument = drm.GemNew(size=size, flags=drm.BufferFlags.WRITE_COMBINE)
        self.call(drm.GEM_NEW, argument, f"a buffer of {size} bytes")
        return int(argument.handle)

    def map_buffer(self, handle: int, size: int) -> Bytes:
        """The buffer's bytes, as long as an array on them is left."""
        argument = drm.GemInfo(handle=handle)
        self.call(drm.GEM_INFO, argument, f"where to map a buffer of {size} bytes")
        try:
            return self.system.map(self._descriptor, size, int(argument.offset))
        except OSError as error:
            raise Refused(f"{self.path}: mapping a buffer of {size} bytes", error) from error

    def close_buffer(self, handle: int) -> None:
        """Give a handle back."""
        self.call(drm.GEM_CLOSE, drm.GemClose(handle=handle), "give a buffer back")

    def prepare(self, handle: int, operation: drm.Access, timeout: float) -> None:
        """Wait until the host may access the buffer."""
        argument = drm.GemCpuPrep(handle=handle, operation=operation, timeout=self.until(timeout))
        self.call(drm.GEM_CPU_PREP, argument, f"host access to a buffer within {timeout:g} s")

    def finish(self, handle: int) -> None:
        """The end of what ``prepare`` began."""
        self.call(drm.GEM_CPU_FINI, drm.GemCpuFini(handle=handle), "end of host access")

    def until(self, timeout: float) -> drm.Timespec:
        """The moment ``timeout`` seconds from now."""
        seconds = min(max(timeout, 0.0), LONGEST_TIMEOUT)
        moment = round((self.system.monotonic() + seconds) * 1_000_000_000)
        return drm.Timespec(*divmod(moment, 1_000_000_000))
