"""Where an address of a part lies."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.program.program import Part


@dataclass(frozen=True)
class Place:
    """Byte ``offset`` of buffer ``buffer``."""

    buffer: int
    offset: int

    def __str__(self) -> str:
        return f"buffer {self.buffer}+{self.offset:#x}"


def place_of(part: Part, address: int) -> Place | None:
    """Where a default address lies, or None if in no buffer."""
    for i, buffer in enumerate(part.buffers):
        if buffer.address <= address < buffer.address + buffer.size:
            return Place(i, address - buffer.address)
    return None
