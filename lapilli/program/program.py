"""What the compiler makes and a device runs: buffers with bytes, command words, relocations.

A part is one run of operators that the NPU does without the CPU in between. Its buffers have
default addresses, at which ``lapilli dump`` shows it; a device places them where it likes and
``place`` patches the words. Nothing in here knows how the bytes came to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import ModelError

PAGE = 4096
"""Buffers take whole pages."""
Words = NDArray[np.uint32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class BufferSpec:
    """A buffer object the part needs.

    ``role``: ``instruction``, ``coefficients``, ``input`` (the host fills it), ``output`` (the host
    reads it), ``tensor`` or ``table`` (what a TP job looks values up in, or a constant tensor).
    ``data`` is the content before the first run, shorter than ``size`` if the rest is 0.
    ``address`` is the default GPU address.
    """

    role: str
    size: int
    address: int
    data: Bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Relocation:
    """An address to patch: the 32-bit word at byte ``offset`` of buffer ``buffer`` (-1: of the
    command stream) becomes the address of buffer ``target`` plus ``addend``, shifted right by
    ``shift``, in its lowest ``32 - shift`` bits."""

    buffer: int
    offset: int
    target: int
    addend: int
    shift: int = 0


@dataclass(frozen=True)
class Binding:
    """A tensor that crosses the border of a part: ``size`` bytes at ``offset`` of ``buffer``."""

    tensor: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    offset: int
    size: int


@dataclass(frozen=True)
class Job:
    """One instruction, in stream order, for reports.

    ``unit`` is ``NN`` or ``TP``. ``kind`` says what it is for (``convolution``, ``transpose`` ...).
    ``coefficients`` is (byte offset in the part's coefficient buffer, bytes of header and core
    streams), or None.
    """

    unit: str
    kind: str
    operator: int
    buffer: int
    offset: int
    words: int
    coefficients: tuple[int, int] | None = None


@dataclass(frozen=True)
class Region:
    """Memory of a tensor, or of some that lie in one another: ``size`` bytes at ``offset`` of
    ``buffer``, needed from the instruction ``first`` of ``Part.jobs`` to ``last``, both included.
    At other times others may lie there."""

    buffer: int
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryUse:
    """What a part's tensors take. ``taken``: bytes of their buffers; ``apart``: what a buffer for
    each would take; ``by_job``: what each instruction needs to be there; ``regions``: the part's,
    with offsets as if its tensors' buffers lay one behind another."""

    taken: int
    apart: int
    by_job: tuple[int, ...]
    regions: tuple[Region, ...] = ()

    @property
    def alive(self) -> int:
        """What the busiest instruction needs: no placement takes less."""
        return max(self.by_job, default=0)


@dataclass(frozen=True)
class Part:
    """One submit. ``commands`` and the buffers' data hold the default addresses.

    ``source``: the digest of the graph's part that it does, or empty if that is not known.
    ``regions``: where its tensors lie and when, or nothing if that is not known. ``chip``: which
    one it was compiled for, by name, or empty.
    """

    operators: tuple[int, ...]
    buffers: tuple[BufferSpec, ...]
    relocations: tuple[Relocation, ...]
    commands: Words = field(repr=False)
    jobs: tuple[Job, ...]
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    source: str = ""
    regions: tuple[Region, ...] = ()
    chip: str = ""

    @property
    def memory(self) -> MemoryUse | None:
        """What its tensors take; None if that is not known."""
        if not self.regions:
            return None
        held = sorted({region.buffer for region in self.regions})
        ends = accumulate(self.buffers[i].size for i in held)
        starts = dict(zip(held, (0, *ends), strict=False))
        changes = np.zeros(len(self.jobs) + 1, np.int64)
        for region in self.regions:
            changes[region.first] += region.size
            changes[region.last + 1] -= region.size
        return MemoryUse(
            sum(self.buffers[i].size for i in held),
            sum(-(-region.size // PAGE) * PAGE for region in self.regions),
            tuple(changes.cumsum()[:-1].tolist()),
            tuple(replace(r, offset=starts[r.buffer] + r.offset) for r in self.regions),
        )

    def job_words(self, job: Job) -> Words:
        """The instruction's words as submitted at the default addresses."""
        data = self.buffers[job.buffer].data
        assert data is not None
        return data[job.offset : job.offset + 4 * job.words].view(np.uint32)

    def place(self, addresses: Sequence[int]) -> tuple[Words, dict[int, Bytes]]:
        """The commands and the changed buffer contents for buffers at ``addresses``."""
        commands = self.commands.copy()
        contents: dict[int, Bytes] = {}
        for relocation in self.relocations:
            if relocation.buffer < 0:
                words = commands
            else:
                if relocation.buffer not in contents:
                    data = self.buffers[relocation.buffer].data
                    assert data is not None
                    contents[relocation.buffer] = data.copy()
                words = contents[relocation.buffer].view(np.uint32)
            at = relocation.offset // 4
            place = addresses[relocation.target] + relocation.addend
            if place & ((1 << relocation.shift) - 1):
                raise ModelError(
                    f"buffer {relocation.target} at {addresses[relocation.target]:#x}: "
                    f"{place:#x} is no multiple of {1 << relocation.shift}"
                )
            address = place >> relocation.shift
            mask = (1 << (32 - relocation.shift)) - 1 if relocation.shift else 0xFFFFFFFF
            words[at] = (int(words[at]) & ~mask) | (address & mask)
        return commands, contents


@dataclass(frozen=True)
class Program:
    """The parts of a model compiled for one chip, in execution order.

    ``model`` names the source; ``model_digest`` is the sha256 of the .tflite, or empty.
    """

    chip: str
    schedule: str
    model: str
    model_digest: str
    parts: tuple[Part, ...]

    def digest(self) -> str:
        """sha256 over everything the device reads: commands, buffers and their sizes."""
        total = hashlib.sha256(self.chip.encode())
        for part in self.parts:
            total.update(part.commands.tobytes())
            for buffer in part.buffers:
                total.update(f"{buffer.role} {buffer.size} {buffer.address}".encode())
                if buffer.data is not None:
                    total.update(buffer.data.tobytes())
        return total.hexdigest()
