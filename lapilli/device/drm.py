"""An NPU on a board, through the kernel's etnaviv driver: a Device.

An inference is one submit and one wait. Buffers are write-combined, so nothing has to be done to
caches: the submit orders the host's writes before the job, the fence the job's before our reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from lapilli.device import counters as monitor
from lapilli.device.addresses import AddressRanges
from lapilli.device.counters import Counters, Signal
from lapilli.device.etnaviv import Node, Refused
from lapilli.device.identify import identify
from lapilli.device.system import KernelSystem, System
from lapilli.errors import DeviceError, HangError
from lapilli.hw import drm
from lapilli.hw.chips import Chip
from lapilli.program.device import DeviceBuffer, ProcessLock
from lapilli.program.program import Bytes, Words

log = logging.getLogger(__name__)
TIMEOUT = 5.0
"""Seconds to wait for a job or a buffer where nothing else is said, as Mesa does."""
LISTING = np.dtype([("flags", "<u4"), ("handle", "<u4"), ("presumed", "<u8")])
"""An array of ``drm.SubmitBuffer``."""
PREPARED_MAXIMUM = 64
"""Submits whose list of buffers is kept for the next time."""


class DrmBuffer:
    """A GEM buffer with its address and mapping. ``size`` is what was asked for."""

    def __init__(self, device: DrmDevice, handle: int, address: int, data: Bytes) -> None:
        self._device = device
        self._data: Bytes | None = data
        self.handle = handle
        self.address = address
        self.size = len(data)
        self.last_submit = 0
        """Number of the last submit that lists it."""

    @property
    def data(self) -> Bytes:
        """The bytes, [size]. An array that is kept beyond ``free`` stays readable."""
        if self._data is None:
            raise DeviceError(f"the buffer at {self.address:#x} was freed")
        return self._data

    @property
    def freed(self) -> bool:
        """Whether ``free`` was called."""
        return self._data is None

    def prepare(self, operation: drm.Access, timeout: float = TIMEOUT) -> None:
        """Wait until no job uses the bytes in a way that conflicts with ``operation``: for who
        reads or writes without having waited for the fence. ``finish`` ends it."""
        self._device.demand_own(self)
        self._device.node.prepare(self.handle, operation, timeout)

    def finish(self) -> None:
        """The host's access is over."""
        self._device.demand_own(self)
        self._device.node.finish(self.handle)

    def free(self) -> None:
        """Give the memory back; raises DeviceError if that was done before."""
        self._device.demand_own(self)
        self._data = None
        self._device.release(self)


@dataclass(frozen=True)
class Submit:
    """A submit that may still be running."""

    number: int
    words: int
    buffers: int
    bytes: int
    returned_at: float

    def __str__(self) -> str:
        return (
            f"{self.words} command words with {self.buffers} buffers of {self.bytes} bytes in all"
        )


@dataclass(frozen=True)
class _Prepared:
    """What is the same each time a stream is submitted with the same buffers. The arrays are kept
    because the structure holds their addresses."""

    commands: Words
    buffers: tuple[DeviceBuffer, ...]
    listing: np.ndarray
    own: tuple[DrmBuffer, ...]
    bytes: int


class DrmDevice:
    """The NPU behind a render node. Close it, or delete it: the kernel then frees everything.

    Threads may share it. Raises DeviceError if the node can't be opened or has no NPU to use.
    A job that ends later than ``job_timeout`` seconds counts as one that the kernel gave up.
    """

    def __init__(
        self,
        path: str,
        system: System | None = None,
        job_timeout: float = drm.JOB_TIMEOUT_SECONDS,
    ) -> None:
        self._name = path
        self._job_timeout = job_timeout
        self.node = Node(path, KernelSystem() if system is None else system)
        try:
            self.identity = identify(self.node)
        except BaseException:
            self.node.close()
            raise
        self._ranges = AddressRanges(self.identity.softpin_start)
        self._buffers: set[DrmBuffer] = set()
        self._lock = ProcessLock(path)
        self._process = os.getpid()
        self._prepared: dict[int, _Prepared] = {}
        self._running: dict[int, Submit] = {}
        self._hung: dict[int, str] = {}
        self._parked: list[DrmBuffer] = []
        self._submits = 0
        self._passed = 0
        self._signals: tuple[Signal, ...] | None = None
        self._uncounted = ""

    @property
    def name(self) -> str:
        """The node's path."""
        return self._name

    @property
    def chip(self) -> Chip:
        """Which NPU it is."""
        return self.identity.chip

    def _demand_this_process(self) -> None:
        """A forked process has the same buffers, not copies: two that use them spoil each other's
        inferences, and one that frees them takes them from both."""
        if os.getpid() != self._process:
            raise DeviceError(
                f"{self._name} was opened before this process was forked; open it in this process"
            )

    # ------------------------------------------------------------------------------------- buffers

    def alloc(self, size: int, address: int | None = None) -> DrmBuffer:
        """A zero-filled buffer, at ``address`` or in the first gap from the top. Raises DeviceError
        if there is no room or the kernel has no memory."""
        self._demand_this_process()
        with self._lock.held:
            place = self._ranges.take(size, address)
            try:
                pages = -(-size // drm.PAGE) * drm.PAGE
                handle = self.node.new_buffer(pages)
                try:
                    data = self.node.map_buffer(handle, pages)
                except BaseException:
                    with contextlib.suppress(DeviceError):
                        self.node.close_buffer(handle)
                    raise
            except BaseException:
                self._ranges.give_back(place)
                raise
            buffer = DrmBuffer(self, handle, place, data[:size])
            self._buffers.add(buffer)
            return buffer

    def demand_own(self, buffer: DeviceBuffer) -> DrmBuffer:
        """The same buffer; DeviceError unless it is a live one of this device."""
        if not isinstance(buffer, DrmBuffer) or buffer not in self._buffers or buffer.freed:
            raise DeviceError(
                f"the buffer at {buffer.address:#x} is not, or no longer, one of {self._name}"
            )
        return buffer

    def release(self, buffer: DrmBuffer) -> None:
        """Close a freed buffer's handle, or keep it until the job that uses it is done: its address
        is taken until then."""
        if os.getpid() != self._process:
            self._buffers.discard(buffer)  # It is the other process's, too.
            return
        with self._lock.held:
            for key in [k for k, p in self._prepared.items() if buffer in p.own]:
                del self._prepared[key]
            if buffer.last_submit > self._passed and not self.node.closed:
                self._parked.append(buffer)
            else:
                self._close(buffer)

    def _close(self, buffer: DrmBuffer) -> None:
        self._buffers.discard(buffer)
        if self.node.closed:
            return
        try:
            self.node.close_buffer(buffer.handle)
        except DeviceError as error:
            # Closing the node gives it back at the latest; until then its address stays taken.
            log.warning("%s", str(error))  # the error's frames would keep the mapping
            return
        self._ranges.give_back(buffer.address)

    # ---------------------------------------------------------------------------------------- jobs

    def submit(
        self,
        commands: Words,
        buffers: Sequence[DeviceBuffer],
        counters: DeviceBuffer | None = None,
    ) -> int:
        """Start a command stream that may touch ``buffers`` only; returns its fence. With
        ``counters``, from ``counter_buffer``, the kernel counts; if it refuses to, the stream is
        started all the same."""
        with self._lock.held:
            fence = None if counters is None else self._submit_counting(commands, buffers, counters)
            return self._submit(commands, buffers) if fence is None else fence

    def _submit(
        self,
        commands: Words,
        buffers: Sequence[DeviceBuffer],
        requests: ctypes.Array[drm.SubmitCounter] | None = None,
    ) -> int:
        self._demand_this_process()
        with self._lock.held:
            prepared = self._prepare(commands, buffers)
            argument = drm.GemSubmit(
                pipe=self.identity.core.pipe,
                exec_state=drm.ExecState.PIPE_3D,
                buffer_count=len(prepared.own),
                stream_size=commands.nbytes,
                buffers=prepared.listing.ctypes.data,
                stream=commands.ctypes.data,
                flags=drm.SubmitFlags.SOFTPIN,
            )
            if requests is not None:
                argument.counters = ctypes.addressof(requests)
                argument.counter_count = len(requests)
            asked = f"{commands.size} command words, {len(prepared.own)} buffers"
            self.node.call(drm.GEM_SUBMIT, argument, asked)
            fence = int(argument.fence)
            self._submits += 1
            for buffer in prepared.own:
                buffer.last_submit = self._submits
            self._running[fence] = Submit(
                self._submits,
                commands.size,
                len(prepared.own),
                prepared.bytes,
                self.node.system.monotonic(),
            )
            return fence

    def _submit_counting(
        self, commands: Words, buffers: Sequence[DeviceBuffer], counters: DeviceBuffer
    ) -> int | None:
        """None if the kernel does not count; it is not asked again then."""
        signals = self._counted_signals()
        if not signals:
            return None
        if counters.size < monitor.BUFFER_BYTES:
            raise DeviceError(
                f"a buffer of {counters.size} bytes was given for counters; they need "
                f"{monitor.BUFFER_BYTES}"
            )
        sequence = (self._submits + 1) % monitor.WRAP
        requests = monitor.requests(signals, sequence, len(buffers))
        try:
            return self._submit(commands, (*buffers, counters), requests)
        except Refused as error:
            if error.number != errno.EINVAL:
                raise
            refused = str(error)
        # Whatever else may be wrong with the submit shows without counters too.
        fence = self._submit(commands, buffers)
        self._uncounted = f"the kernel refused to count: {refused}"
        return fence

    def _prepare(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> _Prepared:
        """The kernel's list of the buffers, made once for each stream and its buffers."""
        found = self._prepared.get(id(commands))
        if found is not None and found.commands is commands and found.buffers == tuple(buffers):
            return found
        if commands.ndim != 1 or commands.dtype != np.uint32 or not commands.flags.c_contiguous:
            raise DeviceError(
                f"a command stream of {commands.dtype} and shape {commands.shape} was submitted; "
                f"expected one dimension of uint32 without gaps"
            )
        own = tuple(self.demand_own(buffer) for buffer in buffers)
        access = drm.SubmitBufferFlags.READ | drm.SubmitBufferFlags.WRITE
        rows = [(int(access), buffer.handle, buffer.address) for buffer in own]
        listing = np.array(rows, LISTING)
        size = sum(buffer.size for buffer in own)
        prepared = _Prepared(commands, tuple(buffers), listing, own, size)
        if len(self._prepared) >= PREPARED_MAXIMUM:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[id(commands)] = prepared
        return prepared

    def wait(self, fence: int, timeout: float = TIMEOUT) -> None:
        """Return when the fence has passed. Raises HangError after ``timeout`` seconds, or if the
        kernel gave the job up, and DeviceError if the device is gone."""
        self._demand_this_process()
        with self._lock.held:
            if fence in self._hung:
                raise HangError(self._hung[fence])
            submit = self._running.get(fence)
        argument = drm.WaitFence(
            pipe=self.identity.core.pipe, fence=fence, timeout=self.node.until(timeout)
        )
        monotonic = self.node.system.monotonic
        began = monotonic()
        while True:
            try:
                self.node.call(drm.WAIT_FENCE, argument, f"fence {fence} within {timeout:g} s")
                break
            except Refused as error:
                if error.number != errno.ETIMEDOUT:
                    raise
                if monotonic() < began + timeout:
                    continue  # woken too early
                raise self._timed_out(fence, submit, timeout) from error
        if submit is not None:
            self._note_passed(fence, submit, began, monotonic())

    def _timed_out(self, fence: int, submit: Submit | None, timeout: float) -> HangError:
        what = f"fence {fence}" if submit is None else str(submit)
        text = f"{self._name}: {what}: the NPU was not done after {timeout:g} s"
        if submit is not None:
            with self._lock.held:
                self._hung[fence] = text
        return HangError(text)

    def _note_passed(self, fence: int, submit: Submit, began: float, now: float) -> None:
        """Jobs of a core end in the order of their submits: this one's and all before are done.

        Raises HangError if the kernel must have given the job up: it says nothing when it does, but
        then the fence passed while we waited, and so late that the NPU made no progress for long.
        """
        with self._lock.held:
            earlier = [f for f, s in self._running.items() if s.number <= submit.number]
            for each in earlier:
                del self._running[each]
            self._passed = max(self._passed, submit.number)
            done = [b for b in self._parked if b.last_submit <= self._passed]
            self._parked = [b for b in self._parked if b.last_submit > self._passed]
            for buffer in done:
                self._close(buffer)
            took, waited = now - submit.returned_at, now - began
            if waited > 0.1 * self._job_timeout and took >= self._job_timeout:
                self._hung[fence] = (
                    f"{self._name}: {submit}: done only after {took:.2f} s; after "
                    f"{drm.JOB_TIMEOUT_SECONDS:g} s without progress the kernel resets the NPU and "
                    f"drops the job, so the results can't be trusted"
                )
                raise HangError(self._hung[fence])

    # ------------------------------------------------------------------------------------ counters

    @property
    def counter_names(self) -> tuple[str, ...]:
        """All performance counters that the kernel lists, as in ``HI.TOTAL_CYCLES``."""
        return tuple(signal.name for signal in self._all_signals())

    def why_uncounted(self) -> str:
        """Why nothing can be counted; empty if it can."""
        with self._lock.held:
            self._counted_signals()
            return self._uncounted

    def counter_buffer(self) -> DrmBuffer | None:
        """A buffer for ``submit``; None if nothing can be counted."""
        if not self._counted_signals():
            return None
        return self.alloc(monitor.BUFFER_BYTES)

    def read_counters(self, buffer: DeviceBuffer) -> Counters | None:
        """What the last submit with this buffer counted, once its fence has passed; None if it did
        not count."""
        own = self.demand_own(buffer)
        signals = self._counted_signals()
        if not signals or not own.last_submit:
            return None
        for _ in range(monitor.ARRIVAL_TRIES):
            found = monitor.counted(signals, own.last_submit % monitor.WRAP, own.data)
            if found is not None:
                return found
            time.sleep(monitor.ARRIVAL_SECONDS)
        self._uncounted = "the kernel counted nothing"  # nobody waits for it again
        return None

    def _all_signals(self) -> tuple[Signal, ...]:
        """Asked for once."""
        with self._lock.held:
            if self._signals is None:
                try:
                    self._signals = monitor.list_signals(self.node, self.identity.core.pipe)
                except Refused as error:
                    self._signals = ()
                    self._uncounted = f"the kernel lists none: {error}"
            return self._signals

    def _counted_signals(self) -> tuple[Signal, ...]:
        """Those that make up ``Counters``; none if the kernel does not count."""
        with self._lock.held:
            found = monitor.wanted(self._all_signals())
            if not found and not self._uncounted:
                self._uncounted = "the kernel lists none of cycles or memory"
            return () if self._uncounted else found

    # --------------------------------------------------------------------------------------- close

    def close(self) -> None:
        """Free everything; the device can't be used afterwards."""
        self.node.close()
        if os.getpid() != self._process:
            return
        with self._lock.held:
            self._prepared.clear()
            self._running.clear()
            self._parked.clear()

    def __enter__(self) -> DrmDevice:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
