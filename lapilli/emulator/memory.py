"""The address space of the emulated NPU: buffers, and the only way to their bytes."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

import numpy as np

from lapilli.errors import DeviceError, Fault
from lapilli.program.device import ProcessLock
from lapilli.program.program import Bytes

FIRST_ADDRESS = 0x400000
"""The kernel keeps what lies below for itself."""
END_ADDRESS = 1 << 32
PAGE = 4096


class EmulatedBuffer:
    """A live buffer; ``data`` are its bytes. ``size`` is what was asked for, pages are taken."""

    def __init__(self, space: AddressSpace, address: int, size: int) -> None:
        self._space = space
        self.address = address
        self.size = size
        try:
            self.data: Bytes = np.zeros(size, np.uint8)
        except MemoryError as error:
            raise DeviceError(
                f"this computer has no memory for a buffer of {size} bytes"
            ) from error

    @property
    def end(self) -> int:
        """Address behind the last page."""
        return self.address + -(-self.size // PAGE) * PAGE

    def free(self) -> None:
        """Give the memory back; raises DeviceError if that was done before."""
        self._space.free(self)


class AddressSpace:
    """All live buffers, sorted by address."""

    def __init__(self) -> None:
        self._buffers: list[EmulatedBuffer] = []
        self._lock = ProcessLock("the emulated memory")

    def alloc(self, size: int, address: int | None) -> EmulatedBuffer:
        """A zeroed buffer at ``address``, or the first fit from the top; DeviceError if none is."""
        if not 0 < size <= END_ADDRESS - FIRST_ADDRESS:
            raise DeviceError(
                f"a buffer of {size} bytes was asked for; allowed is 1 to "
                f"{END_ADDRESS - FIRST_ADDRESS}"
            )
        pages = -(-size // PAGE) * PAGE
        with self._lock.held:
            place = self._highest_gap(pages) if address is None else self._fixed(address, pages)
            buffer = EmulatedBuffer(self, place, size)
            insort(self._buffers, buffer, key=lambda b: b.address)
        return buffer

    def _highest_gap(self, pages: int) -> int:
        end = END_ADDRESS
        for buffer in reversed(self._buffers):
            if end - buffer.end >= pages:
                return end - pages
            end = buffer.address
        if end - FIRST_ADDRESS < pages:
            raise DeviceError(f"no gap of {pages} bytes is left in the address space")
        return end - pages

    def _fixed(self, address: int, pages: int) -> int:
        if address % PAGE:
            raise DeviceError(
                f"a buffer at {address:#x} was asked for; addresses are multiples of {PAGE}"
            )
        if not FIRST_ADDRESS <= address <= END_ADDRESS - pages:
            raise DeviceError(
                f"{pages} bytes at {address:#x} were asked for; allowed is "
                f"{FIRST_ADDRESS:#x} to {END_ADDRESS - 1:#x}"
            )
        after = bisect_right(self._buffers, address, key=lambda b: b.address)
        for buffer in self._buffers[max(after - 1, 0) : after + 1]:
            if address < buffer.end and buffer.address < address + pages:
                raise DeviceError(
                    f"{pages} bytes at {address:#x} overlap the buffer of "
                    f"{buffer.size} bytes at {buffer.address:#x}"
                )
        return address

    def owns(self, buffer: object) -> bool:
        """Whether it is a live buffer of this space."""
        return isinstance(buffer, EmulatedBuffer) and self.find(buffer.address) is buffer

    def free(self, buffer: EmulatedBuffer) -> None:
        """Forget a live buffer; DeviceError if it is none."""
        with self._lock.held:
            if not self.owns(buffer):
                raise DeviceError(f"the buffer at {buffer.address:#x} is not allocated (any more)")
            at = bisect_right(self._buffers, buffer.address, key=lambda b: b.address) - 1
            del self._buffers[at]

    def clear(self) -> None:
        """Forget all buffers."""
        self._buffers.clear()

    def find(self, address: int) -> EmulatedBuffer | None:
        """The live buffer that holds ``address``, or None."""
        with self._lock.held:
            at = bisect_right(self._buffers, address, key=lambda b: b.address) - 1
            if at >= 0 and address < self._buffers[at].address + self._buffers[at].size:
                return self._buffers[at]
        return None


class ListedMemory:
    """What one submit may touch: every access lies inside one of its buffers or is a Fault."""

    def __init__(self, space: AddressSpace, buffers: Sequence[EmulatedBuffer]) -> None:
        self._space = space
        self._listed = {buffer.address for buffer in buffers}

    def bytes(self, what: str, address: int, size: int) -> Bytes:
        """The ``size`` bytes at ``address``, as a view; raises Fault naming ``what``."""
        buffer = self.buffer(what, address)
        start = address - buffer.address
        if start + size > buffer.size:
            raise Fault(
                f"{what}: {size} bytes at {address:#x} leave the buffer of {buffer.size} "
                f"bytes at {buffer.address:#x} by {start + size - buffer.size}"
            )
        return buffer.data[start : start + size]

    def buffer(self, what: str, address: int) -> EmulatedBuffer:
        """The listed buffer that holds ``address``; raises Fault naming ``what``."""
        buffer = self._space.find(address)
        if buffer is None:
            raise Fault(f"{what}: address {address:#x} is in no buffer")
        if buffer.address not in self._listed:
            raise Fault(
                f"{what}: address {address:#x} is in the buffer of {buffer.size} bytes at "
                f"{buffer.address:#x}, which this submit does not list"
            )
        return buffer
