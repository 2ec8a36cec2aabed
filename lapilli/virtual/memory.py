"""The buffers of all clients, in one memory file that other processes can map.

No range of the file is used twice: what is freed becomes a hole, which takes no memory and reads as
zeros. So a client that still maps what it has freed never sees another's bytes.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import weakref
from dataclasses import dataclass

from lapilli.device.system import map_shared
from lapilli.program.program import Bytes
from lapilli.virtual.errors import KernelError, demand

PUNCH_HOLE = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE."""
DEFAULT_LIMIT = 2 << 30


@dataclass(frozen=True)
class Storage:
    """``data`` are the bytes, [size], at ``offset`` of the file."""

    offset: int
    data: Bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


class Memory:
    """The file. ``limit`` bounds the bytes in use at a time."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.descriptor = os.memfd_create("lapilli-virtual-npu", os.MFD_CLOEXEC)
        self._closer = weakref.finalize(self, os.close, self.descriptor)
        self._limit = limit
        self._end = 0
        self.used = 0

    def alloc(self, size: int) -> Storage:
        """Zeros, whole pages; KernelError with ENOMEM beyond the limit."""
        granule = mmap.ALLOCATIONGRANULARITY
        pages = -(-size // granule) * granule
        demand(size > 0, "a buffer of 0 bytes")
        demand(self.used + pages <= self._limit, f"{size} bytes are too many", errno.ENOMEM)
        offset = self._end
        try:
            os.ftruncate(self.descriptor, offset + pages)
            data = map_shared(self.descriptor, pages, offset)
        except OSError as error:
            raise KernelError(errno.ENOMEM, str(error)) from error
        self._end = offset + pages
        self.used += pages
        return Storage(offset, data)

    def free(self, storage: Storage) -> None:
        """Make it a hole, or zeros where the file system has no holes."""
        self.used -= storage.size
        library = ctypes.CDLL(None, use_errno=True)
        library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if library.fallocate(self.descriptor, PUNCH_HOLE, storage.offset, storage.size):
            storage.data[:] = 0

    def close(self) -> None:
        """Close the file; what is mapped stays mapped."""
        self._closer()
