"""The emulated NPU as a Device: memory, front end and units put together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from lapilli.emulator.counters import InstructionCounters
from lapilli.emulator.front_end import Start, walk
from lapilli.emulator.generations import generation_of
from lapilli.emulator.kernels import Counts, KernelShape, Streams
from lapilli.emulator.memory import AddressSpace, EmulatedBuffer, ListedMemory
from lapilli.emulator.nn import NNUnit
from lapilli.emulator.tp import TPUnit
from lapilli.errors import DeviceError, Fault, Refused
from lapilli.hw.chips import Chip
from lapilli.program.device import DeviceBuffer, ProcessLock
from lapilli.program.program import Words

log = logging.getLogger(__name__)
MOST_ELEMENTS = 1 << 28
"""That the TP instructions of a submit may move together; some ten seconds of work."""
MOST_MULTIPLICATIONS = 1 << 37
"""That its NN instructions may do together: more than any published model's."""
SPARSE_COST = 16
"""A multiplication of a weight that is not zero costs that of so many in a dense product."""
CACHE_BYTES = 512 << 20
"""Bound on the decoded kernels a device keeps, and on the element orders of its TP."""


class EmulatedDevice:
    """An NPU of the given chip that exists in memory only.

    A submit runs at once; ``wait`` reports its Fault, as often as it is asked. After every submit
    ``last_counters`` holds one entry for each instruction that ended. Raises Unsupported for a chip
    of a generation that isn't emulated.
    """

    def __init__(self, chip: Chip, name: str | None = None) -> None:
        self._chip = chip
        self._name = name or f"emulator:{chip.name}"
        self._space = AddressSpace()
        self._submitting = ProcessLock(self._name)
        self._nn = NNUnit(chip, generation_of(chip), CACHE_BYTES)
        self._tp = TPUnit(CACHE_BYTES)
        self._last_fence = 0
        self._faults: dict[int, Fault] = {}
        self._closed = False
        self.last_counters: tuple[InstructionCounters, ...] = ()

    @property
    def name(self) -> str:
        """As given to ``open_device``."""
        return self._name

    @property
    def chip(self) -> Chip:
        """Which NPU it is."""
        return self._chip

    def alloc(self, size: int, address: int | None = None) -> EmulatedBuffer:
        """A zero-filled buffer; the first fit from the top of the address space if no ``address``
        is given. Raises DeviceError if it overlaps a live buffer or does not fit."""
        self._demand_open()
        return self._space.alloc(size, address)

    def counts(self, streams: Streams, shape: KernelShape) -> Counts | None:
        """What decoding V7 coefficients counted: the timing model need not decode them again."""
        with self._submitting.held:
            return self._nn.counts(streams, shape)

    def submit(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> int:
        """Run a command stream that may touch ``buffers`` only; returns its fence."""
        self._demand_open()
        words = np.asarray(commands)
        if words.ndim != 1 or words.dtype != np.uint32:
            raise DeviceError(
                f"a command stream of {words.dtype} and shape {words.shape} was "
                "submitted; expected one dimension of uint32"
            )
        listed = [self._own(buffer) for buffer in buffers]
        with self._submitting.held:
            self._last_fence += 1
            fence = self._last_fence
            try:
                self._run(words, ListedMemory(self._space, listed))
            except Fault as fault:
                self._demand_open()  # Else it lacks what was freed.
                log.debug("submit %d: %s", fence, fault)
                self._faults[fence] = fault
        return fence

    def wait(self, fence: int, timeout: float = 5.0) -> None:
        """Return, or raise the Fault that the submit of ``fence`` met."""
        if not 0 < fence <= self._last_fence:
            raise DeviceError(
                f"fence {fence} was waited for; the last submit has {self._last_fence}"
            )
        if fence in self._faults:
            raise self._faults[fence]

    def close(self) -> None:
        """Free everything; the device can't be used afterwards. A job that runs ends at its next
        instruction, in a DeviceError."""
        self._closed = True
        with self._submitting.held:
            self._space.clear()

    def __enter__(self) -> EmulatedDevice:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _demand_open(self) -> None:
        if self._closed:
            raise DeviceError(f"{self._name} is closed")

    def _own(self, buffer: DeviceBuffer) -> EmulatedBuffer:
        if not isinstance(buffer, EmulatedBuffer) or not self._space.owns(buffer):
            raise DeviceError(
                f"the buffer at {buffer.address:#x} is not, or no longer, one of {self._name}"
            )
        return buffer

    def _run(self, commands: Words, memory: ListedMemory) -> None:
        done: list[InstructionCounters] = []
        try:
            self._run_all(commands, memory, done)
        finally:
            self.last_counters = tuple(done)

    def _run_all(
        self, commands: Words, memory: ListedMemory, done: list[InstructionCounters]
    ) -> None:
        elements = multiplications = 0
        for job, start in enumerate(walk(commands, self._chip.nn_cores)):
            self._demand_open()
            counted = self._run_instruction(job, start, memory)
            done.append(counted)
            elements += counted.elements
            multiplications += min(counted.macs_dense, SPARSE_COST * counted.macs_nonzero)
            if elements > MOST_ELEMENTS or multiplications > MOST_MULTIPLICATIONS:
                raise Refused(
                    f"job {job} (command word {start.word}): up to here the submit moves "
                    f"{elements} elements and does {multiplications} multiplications; at most "
                    f"{MOST_ELEMENTS} and {MOST_MULTIPLICATIONS} are emulated in one"
                )
            if counted.reads_own_output:
                log.warning(
                    "job %d (command word %d), TP instruction at %#x writes over its own input; it "
                    "was read first here, and on a chip that depends on timing",
                    job, start.word, start.address,
                )  # fmt: skip

    def _run_instruction(self, job: int, start: Start, memory: ListedMemory) -> InstructionCounters:
        unit = self._nn if start.unit == "NN" else self._tp
        try:
            return unit.run(memory, start.address)
        except Fault as fault:
            raise type(fault)(
                f"job {job} (command word {start.word}), {start.unit} instruction at "
                f"{start.address:#x}: {fault}"
            ) from None
