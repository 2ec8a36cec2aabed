"""The kernel's side of a render node: answers the ioctls, and has the emulator run the jobs.

A job is executed within its submit. One that the emulator faults on, or refuses, hangs: its fence
stays pending until the kernel's job time-out, after which the job is dropped.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from ctypes import Structure, sizeof
from dataclasses import dataclass

from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import DeviceError, Fault, Refused
from lapilli.hw import drm
from lapilli.hw.chips import Chip
from lapilli.program.recording import Recording
from lapilli.virtual.counters import DOMAINS, Counts
from lapilli.virtual.errors import KernelError, demand, demand_known
from lapilli.virtual.fences import Clock, Fences, SystemClock
from lapilli.virtual.memory import DEFAULT_LIMIT, Memory
from lapilli.virtual.objects import BufferObject, Client
from lapilli.virtual.parameters import parameters_of
from lapilli.virtual.roles import recording_of
from lapilli.virtual.submit import Job, ReadUser, copy_request, make_job

log = logging.getLogger(__name__)
WriteUser = Callable[[int, bytes], None]
REFUSED = "the emulator refuses the job, though a chip may do it"


@dataclass(frozen=True)
class Settings:
    """What the kernel is and how it behaves.

    ``pipe`` is the NPU's core number. ``execute``: False completes every job at once, untouched.
    ``job_timeout`` in seconds; ``memory`` bounds the bytes of all buffers.
    ``counters``: there are performance counters, which begin at ``counter_start``.
    """

    driver: str = drm.DRIVER_NAME
    version: tuple[int, int, int] = (1, 4, 0)
    date: str = "20151214"
    description: str = "etnaviv DRM"
    pipe: int = 0
    softpin: bool = True
    execute: bool = True
    job_timeout: float = drm.JOB_TIMEOUT_SECONDS
    memory: int = DEFAULT_LIMIT
    counters: bool = True
    counter_start: int = 0


@dataclass(frozen=True)
class _Call:
    """An ioctl under way."""

    client: Client
    read_user: ReadUser
    write_user: WriteUser | None


class VirtualKernel:
    """One NPU and any number of clients, which threads may share.

    ``record`` is called with each job before it runs. Raises Unsupported for a chip that the
    emulator does not know, unless nothing is executed.
    """

    def __init__(
        self,
        chip: Chip,
        settings: Settings | None = None,
        record: Callable[[Client, Recording], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.chip = chip
        self.settings = Settings() if settings is None else settings
        self.faults: list[Fault] = []
        """What the emulator found wrong in jobs, in order."""
        self.clients: list[Client] = []
        self._record = record
        self._memory = Memory(self.settings.memory)
        self._fences = Fences(SystemClock() if clock is None else clock, self.settings.job_timeout)
        self._parameters = parameters_of(chip, self.settings.version, self.settings.softpin)
        self._counts = Counts(self.settings.counter_start)
        self._domains = DOMAINS if self.settings.counters else ()
        self._opened = 0
        self._lock = threading.RLock()
        self._core = threading.Lock()
        if self.settings.execute:
            EmulatedDevice(chip)

    @property
    def memfd(self) -> int:
        """The file with all buffers; GEM_INFO's offsets count in it."""
        return self._memory.descriptor

    @property
    def used_bytes(self) -> int:
        """Of all buffers."""
        return self._memory.used

    # ------------------------------------------------------------------------------------- clients

    def open(self) -> Client:
        """As a program's open of the node."""
        with self._lock:
            self._opened += 1
            npu = EmulatedDevice(self.chip) if self.settings.execute else None
            client = Client(self._opened, npu)
            self.clients.append(client)
            return client

    def close(self, client: Client) -> None:
        """As the end of the program's last descriptor: everything is freed."""
        with self._core, self._lock:
            if client in self.clients:
                self.clients.remove(client)
                for each in list(client.objects.values()):
                    self._remove(client, each)

    def shut_down(self) -> None:
        """Close all clients and the memory file."""
        for client in list(self.clients):
            self.close(client)
        self._memory.close()

    # -------------------------------------------------------------------------------------- ioctls

    def ioctl(
        self,
        client: Client,
        request: int,
        argument: bytearray,
        read_user: ReadUser,
        write_user: WriteUser | None = None,
    ) -> int:
        """One call: 0 or -errno. ``argument`` is changed in place; what it points to is fetched
        with ``read_user(address, size)``, whose OSError becomes EFAULT. VERSION puts its texts
        there with ``write_user``; without it only their lengths come back."""
        if request >> drm.TYPE_SHIFT & 0xFF != drm.TYPE:
            return -errno.ENOTTY
        found = _HANDLERS.get(request & 0xFF)
        if found is None:
            return -errno.EINVAL
        ioctl, handler = found
        size = sizeof(ioctl.structure)
        # A program built with older headers has a shorter structure: the rest counts as zeros.
        whole = bytes(argument[:size]).ljust(size, b"\0")
        structure = ioctl.structure.from_buffer_copy(whole)
        try:
            handler(self, _Call(client, read_user, write_user), structure)
        except KernelError as error:
            log.debug("client %d: %s: %s", client.number, ioctl.name, error)
            return -error.number
        except OSError as error:
            log.debug("client %d: %s: %s", client.number, ioctl.name, error)
            return -errno.EFAULT
        argument[:] = bytes(structure)[: len(argument)].ljust(len(argument), b"\0")
        return 0

    def _version(self, call: _Call, argument: drm.Version) -> None:
        settings = self.settings
        argument.major, argument.minor, argument.patch = settings.version
        texts = (
            ("name", settings.driver),
            ("date", settings.date),
            ("description", settings.description),
        )
        for field, text in texts:
            room, address = getattr(argument, f"{field}_length"), getattr(argument, field)
            if room and address and call.write_user is not None:
                call.write_user(address, text.encode()[:room])
            setattr(argument, f"{field}_length", len(text))

    def _demand_pipe(self, pipe: int) -> None:
        demand(pipe < drm.MAXIMUM_PIPES, f"pipe {pipe}")
        demand(pipe == self.settings.pipe, f"no core {pipe}", errno.ENXIO)

    def _get_param(self, call: _Call, argument: drm.GetParam) -> None:
        self._demand_pipe(argument.pipe)
        demand(argument.param in self._parameters, f"parameter {argument.param:#x}")
        argument.value = self._parameters[argument.param]

    def _gem_new(self, call: _Call, argument: drm.GemNew) -> None:
        demand_known("flags", argument.flags, drm.CACHE_MASK, drm.BufferFlags.FORCE_MMU)
        cache = argument.flags & drm.CACHE_MASK
        demand(cache in list(drm.CACHE_MODES), f"cache mode {cache:#x}")
        with self._lock:
            storage = self._memory.alloc(argument.size)
            argument.handle = call.client.add(argument.size, argument.flags, storage).handle

    def _gem_info(self, call: _Call, argument: drm.GemInfo) -> None:
        demand(argument.pad == 0, "pad is not 0")
        argument.offset = call.client.find(argument.handle).storage.offset

    def _gem_close(self, call: _Call, argument: drm.GemClose) -> None:
        with self._core, self._lock:
            found = call.client.find(argument.handle, errno.EINVAL)
            self._remove(call.client, found)

    def _remove(self, client: Client, found: BufferObject) -> None:
        client.remove(found)
        self._memory.free(found.storage)

    def _gem_cpu_prep(self, call: _Call, argument: drm.GemCpuPrep) -> None:
        demand_known("operation", argument.operation, *drm.Access)
        found = call.client.find(argument.handle)
        timeout = None if argument.operation & drm.Access.NO_WAIT else argument.timeout
        self._fences.wait(found.written_by, timeout)
        if argument.operation & drm.Access.WRITE:
            self._fences.wait(found.read_by, timeout)

    def _gem_cpu_fini(self, call: _Call, argument: drm.GemCpuFini) -> None:
        demand(argument.flags == 0, f"flags {argument.flags:#x}")
        call.client.find(argument.handle)

    def _wait_fence(self, call: _Call, argument: drm.WaitFence) -> None:
        demand_known("flags", argument.flags, *drm.WaitFlags)
        self._demand_pipe(argument.pipe)
        timeout = None if argument.flags else argument.timeout
        self._fences.wait(argument.fence, timeout)

    def _gem_wait(self, call: _Call, argument: drm.GemWait) -> None:
        demand_known("flags", argument.flags, *drm.WaitFlags)
        self._demand_pipe(argument.pipe)
        found = call.client.find(argument.handle)
        timeout = None if argument.flags else argument.timeout
        self._fences.wait(max(found.read_by, found.written_by), timeout)

    def _gem_userptr(self, call: _Call, argument: drm.GemUserptr) -> None:
        demand_known("flags", argument.flags, *drm.UserptrFlags)
        raise KernelError(errno.EINVAL, "a program's own memory can't be a buffer here")

    def _pm_query_dom(self, call: _Call, argument: drm.CounterDomain) -> None:
        self._demand_pipe(argument.pipe)
        index = argument.iteration
        demand(index < len(self._domains), f"domain {index}")
        argument.id = index
        argument.signal_count = len(self._domains[index].signals)
        argument.name = self._domains[index].name.encode()
        last = index + 1 == len(self._domains)
        argument.iteration = drm.LAST_DOMAIN if last else index + 1

    def _pm_query_sig(self, call: _Call, argument: drm.CounterSignal) -> None:
        self._demand_pipe(argument.pipe)
        demand(argument.domain < len(self._domains), f"domain {argument.domain}")
        signals = self._domains[argument.domain].signals
        index = argument.iteration
        demand(index < len(signals), f"signal {index}")
        argument.id = index
        argument.name = signals[index].encode()
        last = index + 1 == len(signals)
        argument.iteration = drm.LAST_SIGNAL if last else index + 1

    # ---------------------------------------------------------------------------------------- jobs

    def _gem_submit(self, call: _Call, argument: drm.GemSubmit) -> None:
        self._demand_pipe(argument.pipe)
        request = copy_request(argument, self.settings.softpin, call.read_user)
        with self._core:
            with self._lock:
                job = make_job(request, call.client, self._busy, self._domains)
            if self._record is not None:
                self._record(call.client, recording_of(job, self.chip))
            self._write_counters(job, drm.CounterFlags.BEFORE)
            fault = self._run(job)
            if fault is None:
                self._write_counters(job, drm.CounterFlags.AFTER)
            with self._lock:
                # Plain integers: an IntFlag takes a microsecond to be asked.
                reads, writes = int(drm.SubmitBufferFlags.READ), int(drm.SubmitBufferFlags.WRITE)
                argument.fence = fence = self._fences.add(hangs=fault is not None)
                for each, access in zip(job.objects, job.access, strict=True):
                    if access & reads:
                        each.read_by = fence
                    if access & writes:
                        each.written_by = fence

    def _busy(self, found: BufferObject) -> bool:
        return self._fences.pending(found.read_by) or self._fences.pending(found.written_by)

    def _run(self, job: Job) -> Fault | None:
        npu = job.client.npu
        if npu is None:
            return None
        buffers = [each.emulated for each in job.objects if each.emulated is not None]
        try:
            npu.wait(npu.submit(job.commands, buffers))
        except Fault as fault:
            what = REFUSED if isinstance(fault, Refused) else "the job hangs"
            log.warning("client %d: %s: %s", job.client.number, what, fault)
            self.faults.append(fault.with_traceback(None))
            return fault
        except DeviceError as error:
            raise AssertionError(f"the emulator refused what the kernel took: {error}") from error
        self._counts.add(npu.last_counters)
        return None

    def _write_counters(self, job: Job, moment: drm.CounterFlags) -> None:
        """Those to be read at this moment; after the job, word 0 gets the sequence number."""
        for counter in job.counters:
            words = job.objects[counter.read_index].storage.data.view("<u4")
            if counter.flags & moment:
                words[counter.read_offset] = self._counts.value(counter.domain, counter.signal)
            if moment is drm.CounterFlags.AFTER:
                words[0] = counter.sequence


_Handler = Callable[[VirtualKernel, _Call, Structure], None]
_TABLE: tuple[tuple[drm.Ioctl, Callable[..., None]], ...] = (
    (drm.VERSION, VirtualKernel._version),
    (drm.GEM_CLOSE, VirtualKernel._gem_close),
    (drm.GET_PARAM, VirtualKernel._get_param),
    (drm.GEM_NEW, VirtualKernel._gem_new),
    (drm.GEM_INFO, VirtualKernel._gem_info),
    (drm.GEM_CPU_PREP, VirtualKernel._gem_cpu_prep),
    (drm.GEM_CPU_FINI, VirtualKernel._gem_cpu_fini),
    (drm.GEM_SUBMIT, VirtualKernel._gem_submit),
    (drm.WAIT_FENCE, VirtualKernel._wait_fence),
    (drm.GEM_USERPTR, VirtualKernel._gem_userptr),
    (drm.GEM_WAIT, VirtualKernel._gem_wait),
    (drm.PM_QUERY_DOM, VirtualKernel._pm_query_dom),
    (drm.PM_QUERY_SIG, VirtualKernel._pm_query_sig),
)
_HANDLERS = {ioctl.number: (ioctl, handler) for ioctl, handler in _TABLE}
