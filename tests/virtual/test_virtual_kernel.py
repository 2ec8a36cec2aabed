"""The virtual kernel answers as the real one does."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

import numpy as np
import pytest
from virtual_npu import FastClock, board, call, chip_called, small_input, small_part

from lapilli.device.drm import LISTING
from lapilli.device.replay import replay
from lapilli.device.runner import LoadedPart
from lapilli.device.system import map_shared
from lapilli.hw import drm
from lapilli.hw.drm import Ioctl
from lapilli.program.program import Part
from lapilli.program.recording import Recording
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.objects import Client

ALWAYS = drm.Timespec(1 << 40, 0)
AT_ONCE = drm.Timespec(0, 0)
PART = small_part()


@pytest.fixture
def kernel() -> VirtualKernel:
    return VirtualKernel(chip_called(), Settings(execute=False), clock=FastClock())


@pytest.fixture
def client(kernel: VirtualKernel) -> Client:
    return kernel.open()


def failure(kernel: VirtualKernel, client: Client, ioctl: Ioctl, **fields: Any) -> str:
    """The errno's name, or "" if the call works."""
    result, _ = call(kernel, client, ioctl, **fields)
    return errno.errorcode[-result] if result else ""


def new(kernel: VirtualKernel, client: Client, size: int = 4096) -> int:
    result, found = call(
        kernel, client, drm.GEM_NEW, size=size, flags=drm.BufferFlags.WRITE_COMBINE
    )
    assert result == 0
    return int(found.handle)


def bytes_of(kernel: VirtualKernel, client: Client, handle: int, size: int) -> np.ndarray:
    """The buffer's bytes as a program maps them."""
    result, found = call(kernel, client, drm.GEM_INFO, handle=handle)
    assert result == 0
    return map_shared(kernel.memfd, size, found.offset)


def submit(
    kernel: VirtualKernel,
    client: Client,
    rows: list[tuple[int, int, int]],
    words: Any = (0, 0),
    **fields: Any,
) -> tuple[str, int]:
    """Softpin if not said otherwise; the errno's name and the fence."""
    stream = np.array(words, np.uint32)
    listing = np.array(rows, LISTING)
    settings = {
        "flags": drm.SubmitFlags.SOFTPIN,
        "stream": stream.ctypes.data,
        "stream_size": stream.nbytes,
        "buffers": listing.ctypes.data,
        "buffer_count": len(rows),
        **fields,
    }
    result, found = call(kernel, client, drm.GEM_SUBMIT, **settings)
    return (errno.errorcode[-result] if result else ""), found.fence


# ------------------------------------------------------------------------------------- the request


def test_requests_that_do_not_exist(kernel: VirtualKernel, client: Client) -> None:
    for request, number in (
        (drm.GET_PARAM.request ^ 0x2500, errno.ENOTTY),  # another type
        (0xC0106441, errno.EINVAL),  # SET_PARAM, a placeholder
        (0xC01064FF, errno.EINVAL),
    ):
        assert kernel.ioctl(client, request, bytearray(16), ctypes.string_at) == -number


def test_a_structure_of_older_headers_is_filled_with_zeros(
    kernel: VirtualKernel, client: Client
) -> None:
    """56 bytes: a submit before performance counters."""
    whole = drm.GemSubmit(flags=drm.SubmitFlags.SOFTPIN)
    argument = bytearray(whole)[:56]
    request = drm.GEM_SUBMIT.request & ~(0x3FFF << 16) | 56 << 16
    assert kernel.ioctl(client, request, argument, ctypes.string_at) == 0
    assert len(argument) == 56
    assert drm.GemSubmit.from_buffer_copy(argument + bytes(16)).fence == 1


def test_version(kernel: VirtualKernel, client: Client) -> None:
    _, lengths = call(kernel, client, drm.VERSION)
    assert (lengths.major, lengths.minor, lengths.name_length) == (1, 4, len("etnaviv"))
    name = ctypes.create_string_buffer(4)
    call(kernel, client, drm.VERSION, name_length=3, name=ctypes.addressof(name))
    assert name.value == b"etn"


# ------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_identity(name: str) -> None:
    chip = chip_called(name)
    kernel = VirtualKernel(chip, Settings(execute=False, pipe=1))
    client = kernel.open()

    def value(param: int) -> int:
        result, found = call(kernel, client, drm.GET_PARAM, pipe=1, param=param)
        assert result == 0
        return int(found.value)

    assert [value(p) for p in (1, 2, 0x1C, 0x1D, 0x1E)] == [
        chip.model,
        chip.revision,
        chip.product_id,
        chip.customer_id,
        chip.eco_id,
    ]
    assert value(0x1B) == 0x400000
    assert [value(p) for p in (3, 0xF)] == [0xE0287CAC, 0x10]
    assert [value(p) for p in range(0x10, 0x1B)] == [8, 64, 256, 16, 1, 1, 1024, 0, 512, 320, 16]


def test_parameters_that_can_not_be_asked(kernel: VirtualKernel, client: Client) -> None:
    for pipe, param, number in ((4, 1, "EINVAL"), (1, 1, "ENXIO"), (0, 0, "EINVAL"),
                                (0, 0x1F, "EINVAL")):  # fmt: skip
        assert failure(kernel, client, drm.GET_PARAM, pipe=pipe, param=param) == number


def test_older_drivers_know_less() -> None:
    kernel = VirtualKernel(chip_called(), Settings(execute=False, version=(1, 3, 0), softpin=False))
    client = kernel.open()
    assert failure(kernel, client, drm.GET_PARAM, param=0x1C) == "EINVAL"
    _, found = call(kernel, client, drm.GET_PARAM, param=0x1B)
    assert found.value == drm.NO_SOFTPIN
    assert submit(kernel, client, [])[0] == "EINVAL"
    assert submit(kernel, client, [], flags=0)[0] == ""


def test_counters_are_listed_to_the_end_mark(kernel: VirtualKernel, client: Client) -> None:
    listed = []
    iteration = 0
    while iteration != drm.LAST_DOMAIN:
        _, domain = call(kernel, client, drm.PM_QUERY_DOM, iteration=iteration)
        signals = []
        at = 0
        while at != drm.LAST_SIGNAL:
            _, signal = call(kernel, client, drm.PM_QUERY_SIG, domain=domain.id, iteration=at)
            signals.append(signal.name.decode())
            at = signal.iteration
        assert len(signals) == domain.signal_count
        listed.append((domain.name.decode(), len(signals)))
        iteration = domain.iteration
    assert listed == [("HI", 5), ("PE", 4), ("SH", 9), ("PA", 6), ("SE", 2), ("RA", 7), ("TX", 9),
                      ("MC", 3)]  # fmt: skip
    for fields, number in (
        ({"iteration": 8}, "EINVAL"),
        ({"pipe": 1}, "ENXIO"),
        ({"pipe": 4}, "EINVAL"),
    ):
        assert failure(kernel, client, drm.PM_QUERY_DOM, **fields) == number
    assert failure(kernel, client, drm.PM_QUERY_SIG, domain=8) == "EINVAL"
    assert failure(kernel, client, drm.PM_QUERY_SIG, domain=7, iteration=3) == "EINVAL"


# ------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("flags", [0, 1, 0x30000, 0x200000 | 0x20000, 0x80000])
def test_buffer_flags_that_do_not_exist(kernel: VirtualKernel, client: Client, flags: int) -> None:
    assert failure(kernel, client, drm.GEM_NEW, size=1, flags=flags) == "EINVAL"


def test_buffers_without_memory(kernel: VirtualKernel, client: Client) -> None:
    for size, number in ((0, "EINVAL"), (1 << 40, "ENOMEM")):
        assert failure(kernel, client, drm.GEM_NEW, size=size, flags=0x20000) == number


def test_handles_that_do_not_exist(kernel: VirtualKernel, client: Client) -> None:
    for ioctl, number in (
        (drm.GEM_INFO, "ENOENT"),
        (drm.GEM_CPU_PREP, "ENOENT"),
        (drm.GEM_CPU_FINI, "ENOENT"),
        (drm.GEM_WAIT, "ENOENT"),
        (drm.GEM_CLOSE, "EINVAL"),
    ):
        assert failure(kernel, client, ioctl, handle=77) == number


def test_the_lowest_free_handle_is_given_without_counting_all(
    kernel: VirtualKernel, client: Client
) -> None:
    """As the kernel does; each costs the same, however many there are."""
    assert [new(kernel, client) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    for handle in (5, 2, 6):
        assert call(kernel, client, drm.GEM_CLOSE, handle=handle)[0] == 0
    assert [new(kernel, client) for _ in range(4)] == [2, 5, 6, 7]

    class Counting(dict[int, object]):
        asked = 0

        def __contains__(self, key: object) -> bool:
            Counting.asked += 1
            return super().__contains__(key)

    client.objects = Counting(client.objects)  # type: ignore[assignment]
    for _ in range(100):
        new(kernel, client)
    assert Counting.asked <= 100


def test_fields_that_must_be_zero(kernel: VirtualKernel, client: Client) -> None:
    handle = new(kernel, client)
    assert failure(kernel, client, drm.GEM_INFO, handle=handle, pad=1) == "EINVAL"
    assert failure(kernel, client, drm.GEM_CPU_FINI, handle=handle, flags=1) == "EINVAL"
    assert failure(kernel, client, drm.GEM_CPU_PREP, handle=handle, operation=8) == "EINVAL"
    assert failure(kernel, client, drm.GEM_WAIT, handle=handle, flags=2) == "EINVAL"
    assert failure(kernel, client, drm.WAIT_FENCE, flags=2) == "EINVAL"
    assert failure(kernel, client, drm.GEM_USERPTR, flags=4) == "EINVAL"


def test_clients_can_not_reach_each_others_buffers(kernel: VirtualKernel) -> None:
    one, two = kernel.open(), kernel.open()
    handle = new(kernel, one)
    kept = bytes_of(kernel, one, handle, 4096)
    kept[:] = 42
    assert failure(kernel, two, drm.GEM_INFO, handle=handle) == "ENOENT"
    assert submit(kernel, two, [(3, handle, 0x400000)])[0] == "EINVAL"
    call(kernel, one, drm.GEM_CLOSE, handle=handle)
    other = bytes_of(kernel, two, new(kernel, two), 4096)
    assert not other.any()
    other[:] = 7
    assert not kept.any(), "what one client freed and still maps is not the other's memory"


def test_closing_a_client_frees_its_memory(kernel: VirtualKernel) -> None:
    client = kernel.open()
    new(kernel, client, 100_000)
    kernel.close(client)
    assert kernel.used_bytes == 0
    assert os.fstat(kernel.memfd).st_blocks == 0
    kernel.close(client)


# ------------------------------------------------------------------------------------------ submit


def test_figures_of_a_submit_are_checked(kernel: VirtualKernel, client: Client) -> None:
    too_many = drm.MAXIMUM_SUBMIT_ITEMS + 1
    for fields, number in (
        ({"pipe": 4}, "EINVAL"),
        ({"pipe": 1}, "ENXIO"),
        ({"stream_size": 6}, "EINVAL"),
        ({"exec_state": 3}, "EINVAL"),
        ({"flags": 16}, "EINVAL"),
        ({"flags": 8 | 2}, "EINVAL"),
        ({"stream_size": too_many + 3}, "EINVAL"),
        ({"buffer_count": too_many}, "EINVAL"),
        ({"relocation_count": too_many}, "EINVAL"),
        ({"counter_count": 129}, "EINVAL"),
        ({}, ""),
    ):
        assert submit(kernel, client, [], **fields)[0] == number, fields


def test_lists_of_buffers_are_checked(kernel: VirtualKernel, client: Client) -> None:
    one, two = new(kernel, client, 8192), new(kernel, client)
    for rows, number in (
        ([(4, one, 0x400000)], "EINVAL"),
        ([(3, one, 0x3FF000)], "EINVAL"),
        ([(3, one, 0x400800)], "EINVAL"),
        ([(3, one, 0xFFFFF000)], "EINVAL"),
        ([(3, 99, 0x400000)], "EINVAL"),
        ([(3, one, 0x400000), (3, one, 0x400000)], "EALREADY"),
        ([(3, one, 0x400000), (3, two, 0x401000)], "EINVAL"),
        ([(3, one, 0x400000), (1, two, 0x402000)], ""),
        ([(3, one, 0x500000)], "EINVAL"),  # it has another address by now
    ):
        assert submit(kernel, client, rows)[0] == number, rows


def test_an_idle_buffer_gives_way(kernel: VirtualKernel, client: Client) -> None:
    one, two = new(kernel, client), new(kernel, client)
    for handle in (one, two, one):
        assert submit(kernel, client, [(3, handle, 0x400000)])[0] == ""


def test_relocations(kernel: VirtualKernel, client: Client) -> None:
    handle = new(kernel, client)
    table = np.zeros((2, 6), np.uint32)

    def attempt(*rows: tuple[int, int, int, int], flags: int = 0) -> str:
        table[: len(rows)] = [(at, index, offset, 0, mark, 0) for at, index, offset, mark in rows]
        fields = {"relocations": table.ctypes.data, "relocation_count": len(rows), "flags": flags}
        return submit(kernel, client, [(3, handle, 0)], **fields)[0]

    assert attempt((0, 0, 16, 0), (4, 0, 16, 0)) == ""
    assert attempt((4, 0, 16, 0), (0, 0, 16, 0)) == "EINVAL"
    for row in ((2, 0, 0, 0), (8, 0, 0, 0), (0, 1, 0, 0), (0, 0, 4096, 0), (0, 0, 0, 1)):
        assert attempt(row) == "EINVAL", row
    assert attempt((0, 0, 0, 0), flags=drm.SubmitFlags.SOFTPIN) == "EINVAL"


def test_counters_are_checked_and_written(kernel: VirtualKernel, client: Client) -> None:
    handle = new(kernel, client)
    data = bytes_of(kernel, client, handle, 4096).view(np.uint32)
    data[:] = 9

    def attempt(**fields: int) -> str:
        chosen = {"flags": 2, "read_offset": 3, "sequence": 55, **fields}
        counter = drm.SubmitCounter(**chosen)
        rows = [(3, handle, 0x400000)]
        address = ctypes.addressof(counter)
        return submit(kernel, client, rows, counters=address, counter_count=1)[0]

    for wrong in ({"flags": 4}, {"read_index": 1}, {"read_offset": 0}, {"read_offset": 1024},
                  {"domain": 8}, {"signal": 5}):  # fmt: skip
        assert attempt(**wrong) == "EINVAL", wrong
    assert data[0] == 9
    assert attempt() == ""
    assert data[:5].tolist() == [55, 9, 9, 0, 9]


# --------------------------------------------------------------------------------- jobs and fences


def test_fences_of_jobs_that_ended(kernel: VirtualKernel, client: Client) -> None:
    _, fence = submit(kernel, client, [])
    for asked in (fence, fence + 100):
        for fields in ({"timeout": AT_ONCE}, {"flags": drm.WaitFlags.NON_BLOCKING}):
            assert failure(kernel, client, drm.WAIT_FENCE, fence=asked, **fields) == ""


def test_a_job_that_hangs_until_the_kernel_gives_it_up() -> None:
    machine = board()
    kernel, clock = machine.kernel, machine.clock
    client = kernel.open()
    handle, other = new(kernel, client), new(kernel, client)
    number, fence = submit(kernel, client, [(3, handle, 0x400000)], words=(0xFFFFFFFF, 0))
    assert number == ""
    assert "opcode 31" in str(kernel.faults[0])
    soon = drm.Timespec(int(clock.now), 100_000_000)
    blocking = {"timeout": soon}
    waits: list[tuple[Ioctl, dict[str, Any], dict[str, Any]]] = [
        (drm.WAIT_FENCE, {"fence": fence}, {"flags": drm.WaitFlags.NON_BLOCKING}),
        (drm.GEM_WAIT, {"handle": handle}, {"flags": drm.WaitFlags.NON_BLOCKING}),
        (drm.GEM_CPU_PREP, {"handle": handle, "operation": 1}, {"operation": 5}),
        (drm.GEM_CPU_PREP, {"handle": handle, "operation": 2}, {"operation": 6}),
    ]
    for ioctl, fields, without in waits:
        assert failure(kernel, client, ioctl, **fields, **blocking) == "ETIMEDOUT"
        assert failure(kernel, client, ioctl, **{**fields, **without}) == "EBUSY"
    assert failure(kernel, client, drm.GEM_WAIT, handle=other, timeout=AT_ONCE) == ""
    # Its buffer is in use: nothing else gets the address.
    assert submit(kernel, client, [(3, other, 0x400000)])[0] == "EINVAL"
    assert failure(kernel, client, drm.WAIT_FENCE, fence=fence, timeout=ALWAYS) == ""
    assert clock.now == pytest.approx(1000.5)
    assert submit(kernel, client, [(3, other, 0x400000)])[0] == ""


def test_executed_through_another_mapping_of_the_file() -> None:
    """What a program in another process would do: map by GEM_INFO's offset."""
    machine = board()
    kernel = machine.kernel
    client = kernel.open()
    part: Part = PART
    addresses = [0x500000 + 0x100000 * i for i in range(len(part.buffers))]
    commands, contents = part.place(addresses)
    rows, maps = [], []
    for i, spec in enumerate(part.buffers):
        handle = new(kernel, client, spec.size)
        rows.append((3, handle, addresses[i]))
        maps.append(bytes_of(kernel, client, handle, spec.size))
        data = contents.get(i, spec.data)
        if data is not None:
            maps[i][: len(data)] = data
    values = small_input()
    for b in part.inputs:
        maps[b.buffer][b.offset : b.offset + b.size] = values[b.tensor].reshape(-1)
    assert submit(kernel, client, rows, words=commands)[0] == ""
    from lapilli.device.open import open_device

    expected = LoadedPart(open_device("emulator:a311d"), part).run(values)
    for b in part.outputs:
        found = maps[b.buffer][b.offset : b.offset + b.size]
        assert np.array_equal(found, expected[b.tensor].reshape(-1))


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_what_is_recorded_replays_with_the_same_result(chip: str) -> None:
    from lapilli.device.open import open_device

    recorded: list[Recording] = []
    part = small_part(chip)
    machine = board(chip, record=lambda client, recording: recorded.append(recording))
    with machine.device() as device, LoadedPart(device, part) as loaded:
        found = loaded.run(small_input())
    (recording,) = recorded
    roles = {buffer.role for buffer in recording.buffers}
    assert roles == {"instruction", "coefficients", "input"}  # tensors share the input's buffer
    results = replay(recording, open_device(f"emulator:{chip}"))
    for b in part.outputs:
        assert np.array_equal(results[b.buffer][b.offset :][: b.size], found[b.tensor].reshape(-1))


def test_nothing_is_executed_in_the_mode_that_completes_at_once() -> None:
    machine = board(execute=False)
    with machine.device() as device, LoadedPart(device, PART) as loaded:
        (found,) = loaded.run(small_input()).values()
    assert not found.any()


def test_memory_of_the_program_that_can_not_be_read(kernel: VirtualKernel, client: Client) -> None:
    def unreadable(address: int, size: int) -> bytes:
        raise OSError(errno.EFAULT, "no such memory")

    argument = bytearray(drm.GemSubmit(stream_size=8, flags=drm.SubmitFlags.SOFTPIN))
    request = drm.GEM_SUBMIT.request
    assert kernel.ioctl(client, request, argument, unreadable) == -errno.EFAULT
