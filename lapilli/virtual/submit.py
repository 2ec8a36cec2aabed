"""GEM_SUBMIT: the kernel's checks, in its order, and the job that comes out.

Commands themselves are not checked: the kernel does that only for MMUs older than version 2, which
no NPU has.
"""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lapilli.device.addresses import AddressRanges
from lapilli.device.drm import LISTING
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.hw.drm import GemSubmit, SubmitBufferFlags, SubmitCounter, SubmitFlags
from lapilli.program.program import Words
from lapilli.virtual.counters import DOMAINS, Domain
from lapilli.virtual.errors import KernelError, demand, demand_known
from lapilli.virtual.objects import BufferObject, Client

ReadUser = Callable[[int, int], bytes]
CHECKED_MAXIMUM = 64
"""Lists of buffers that a client's submits repeat."""
RELOCATION = np.dtype(
    [
        ("submit_offset", "<u4"),
        ("index", "<u4"),
        ("offset", "<u8"),
        ("flags", "<u4"),
        ("pad", "<u4"),
    ]
)


@dataclass(frozen=True)
class Request:
    """A submit's arguments, copied from the program's memory. ``listing`` are the raw bytes of the
    list of buffers."""

    arguments: GemSubmit
    stream: Words
    listing: bytes
    relocations: bytes
    counters: tuple[SubmitCounter, ...]

    @property
    def softpin(self) -> bool:
        """Whether the program has chosen the addresses."""
        return bool(self.arguments.flags & SubmitFlags.SOFTPIN)


@dataclass(frozen=True)
class Job:
    """What the core is to do. ``access`` are the flags of each object."""

    client: Client
    commands: Words
    objects: tuple[BufferObject, ...]
    access: tuple[int, ...]
    counters: tuple[SubmitCounter, ...]


def copy_request(arguments: GemSubmit, softpin_allowed: bool, read_user: ReadUser) -> Request:
    """Check the figures and copy everything; raises KernelError."""
    demand(arguments.stream_size % 4 == 0, "stream size is no multiple of 4")
    states = [state.value for state in drm.ExecState]
    demand(arguments.exec_state in states, f"exec_state {arguments.exec_state}")
    demand_known("submit flags", arguments.flags, *SubmitFlags)
    softpin = arguments.flags & SubmitFlags.SOFTPIN
    demand(not softpin or softpin_allowed, "softpin without MMUv2")
    for name in ("stream_size", "relocation_count", "buffer_count"):
        demand(getattr(arguments, name) <= drm.MAXIMUM_SUBMIT_ITEMS, f"{name} is too large")
    demand(arguments.counter_count <= drm.MAXIMUM_COUNTERS, "too many counters")
    # A fence in a file needs descriptors of the program, which we don't have.
    files = SubmitFlags.FENCE_FD_IN | SubmitFlags.FENCE_FD_OUT
    demand(not arguments.flags & files, "fence files are not there")

    def copy(address: int, size: int) -> bytes:
        return read_user(address, size) if size else b""

    raw = copy(arguments.counters, 20 * arguments.counter_count)
    return Request(
        arguments,
        np.frombuffer(copy(arguments.stream, arguments.stream_size), np.uint32),
        copy(arguments.buffers, LISTING.itemsize * arguments.buffer_count),
        copy(arguments.relocations, RELOCATION.itemsize * arguments.relocation_count),
        tuple(SubmitCounter.from_buffer_copy(raw, 20 * i) for i in range(len(raw) // 20)),
    )


def make_job(
    request: Request,
    client: Client,
    busy: Callable[[BufferObject], bool],
    domains: Sequence[Domain] = DOMAINS,
) -> Job:
    """Look up, map and relocate; raises KernelError. ``domains`` can be counted."""
    key = request.listing + bytes([request.softpin])
    objects = client.checked.get(key)
    rows = np.frombuffer(request.listing, LISTING)
    if objects is None:
        objects = _look_up(rows, client, request.softpin)
        if request.softpin:
            _place(objects, rows["presumed"].tolist(), client, busy)
        else:
            _find_places(objects, client)
        if len(client.checked) >= CHECKED_MAXIMUM:
            client.checked.clear()
        client.checked[key] = objects
    commands = _relocate(request, objects)
    for counter in request.counters:
        _check_counter(counter, objects, domains)
    return Job(client, commands, objects, tuple(rows["flags"].tolist()), request.counters)


def _look_up(rows: np.ndarray, client: Client, softpin: bool) -> tuple[BufferObject, ...]:
    objects = []
    for flags, handle, presumed in rows.tolist():
        demand_known("buffer flags", flags, *SubmitBufferFlags)
        demand(not softpin or presumed >= drm.SOFTPIN_START, f"address {presumed:#x} is too low")
        objects.append(client.find(handle, errno.EINVAL))
    if len(set(objects)) < len(objects):
        raise KernelError(errno.EALREADY, "a buffer is listed twice")
    return tuple(objects)


def _place(
    objects: Sequence[BufferObject],
    addresses: Sequence[int],
    client: Client,
    busy: Callable[[BufferObject], bool],
) -> None:
    """Map each object at its address; others that are in the way and idle lose theirs."""
    for each, address in zip(objects, addresses, strict=True):
        demand(address % drm.PAGE == 0, f"address {address:#x} is no multiple of {drm.PAGE}")
        demand(address + each.size <= drm.ADDRESS_END, f"address {address:#x} is too high")
        demand(each.address in (None, address), f"handle {each.handle} is at another address")
    ranges = sorted((at, at + o.size) for at, o in zip(addresses, objects, strict=True))
    for (_, end), (start, _) in pairwise(ranges):
        demand(end <= start, f"buffers overlap at {start:#x}")
    listed = set(objects)
    for other in client.objects.values():
        if other.address is None or other in listed:
            continue
        at = bisect_left(ranges, (other.end, 0)) - 1
        if at >= 0 and ranges[at][1] > other.address:
            demand(not busy(other), f"the buffer at {other.address:#x} is in use")
            other.unmap()
            client.checked.clear()
    for each, address in zip(objects, addresses, strict=True):
        _map(each, address, client)


def _map(each: BufferObject, address: int, client: Client) -> None:
    if each.address is not None:
        return
    each.address = address
    if client.npu is not None:
        each.emulated = client.npu.alloc(each.size, address)
        each.emulated.data = each.storage.data[: each.size]


def _find_places(objects: Sequence[BufferObject], client: Client) -> None:
    """Without softpin the kernel chooses addresses."""
    ranges = AddressRanges()
    for other in client.objects.values():
        if other.address is not None:
            ranges.take(other.size, other.address)
    for each in objects:
        if each.address is None:
            try:
                place = ranges.take(each.size)
            except DeviceError as error:
                raise KernelError(errno.ENOSPC, str(error)) from error
            _map(each, place, client)


def _relocate(request: Request, objects: Sequence[BufferObject]) -> Words:
    rows = np.frombuffer(request.relocations, RELOCATION).tolist()
    if not rows:
        return request.stream
    demand(not request.softpin, "relocations with softpin")
    commands = request.stream.copy()
    last = 0
    for at, index, offset, flags, _ in rows:
        demand(flags == 0, f"relocation flags {flags:#x}")
        demand(at % 4 == 0 and at < commands.nbytes, f"relocation of byte {at}")
        demand(at >= last, "relocations are not sorted")
        demand(index < len(objects), f"relocation to buffer {index}")
        demand(offset < objects[index].size, f"relocation to byte {offset}")
        address = objects[index].address
        assert address is not None
        commands[at // 4] = (address + offset) & 0xFFFFFFFF
        last = at
    return commands


def _check_counter(
    counter: SubmitCounter, objects: Sequence[BufferObject], domains: Sequence[Domain]
) -> None:
    demand_known("counter flags", counter.flags, *drm.CounterFlags)
    demand(counter.read_index < len(objects), f"counter into buffer {counter.read_index}")
    demand(counter.read_offset != 0, "a counter at word 0, which takes the sequence number")
    size = objects[counter.read_index].size
    demand(4 * counter.read_offset + 4 <= size, f"counter at word {counter.read_offset}")
    demand(counter.domain < len(domains), f"counter domain {counter.domain}")
    signals = domains[counter.domain].signals
    demand(counter.signal < len(signals), f"counter signal {counter.signal}")
