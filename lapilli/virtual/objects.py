"""What the virtual kernel keeps for a program that has opened the node."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from heapq import heappop, heappush

from lapilli.emulator.machine import EmulatedDevice
from lapilli.emulator.memory import EmulatedBuffer
from lapilli.hw import drm
from lapilli.virtual.errors import KernelError
from lapilli.virtual.memory import Storage


@dataclass(eq=False)
class BufferObject:
    """A GEM buffer. ``address`` is where the client's address space has it, None before its first
    submit; ``emulated`` is the emulator's view of it there. ``read_by`` and ``written_by`` are the
    fences of the last jobs that do."""

    handle: int
    size: int
    flags: int
    storage: Storage
    address: int | None = None
    emulated: EmulatedBuffer | None = None
    read_by: int = 0
    written_by: int = 0

    @property
    def end(self) -> int:
        """Address behind the last byte; only where it has an address."""
        assert self.address is not None
        return self.address + self.size

    def unmap(self) -> None:
        """Take it out of the address space."""
        if self.emulated is not None:
            self.emulated.free()
        self.emulated = None
        self.address = None


@dataclass(eq=False)
class Client:
    """One opening of the node: handles and an address space of its own.

    ``npu`` executes; None if nothing is executed. ``checked`` are the objects of submits whose list
    of buffers was found right, by the list's bytes; it is emptied when an object comes or goes.
    """

    number: int
    npu: EmulatedDevice | None
    objects: dict[int, BufferObject] = field(default_factory=dict)
    by_offset: dict[int, BufferObject] = field(default_factory=dict)
    """The same objects by where they are in the memory file."""
    free_handles: list[int] = field(default_factory=list)
    """A heap of those below the highest ever given that nobody has."""
    checked: dict[bytes, tuple[BufferObject, ...]] = field(default_factory=dict)

    def find(self, handle: int, number: int = errno.ENOENT) -> BufferObject:
        """The object with this handle; KernelError if there is none."""
        found = self.objects.get(handle)
        if found is None:
            raise KernelError(number, f"handle {handle} does not exist")
        return found

    def add(self, size: int, flags: int, storage: Storage) -> BufferObject:
        """A new object under the lowest free handle."""
        # Without free ones all from 1 on are given, so the next is the lowest.
        handle = heappop(self.free_handles) if self.free_handles else len(self.objects) + 1
        pages = -(-size // drm.PAGE) * drm.PAGE
        self.objects[handle] = BufferObject(handle, pages, flags, storage)
        self.by_offset[storage.offset] = self.objects[handle]
        self.checked.clear()
        return self.objects[handle]

    def remove(self, found: BufferObject) -> None:
        """Forget an object."""
        found.unmap()
        self.checked.clear()
        del self.objects[found.handle]
        del self.by_offset[found.storage.offset]
        heappush(self.free_handles, found.handle)
