"""The kernel's performance counters, on a virtual kernel of this process."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner
from virtual_npu import NODE, board, small_input, small_part

from lapilli.cli import commands
from lapilli.device import counters as monitor
from lapilli.device import open as opening
from lapilli.device.counters import Counters, Signal
from lapilli.device.drm import DrmDevice
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.virtual.injection import FaultySystem, Injection
from lapilli.virtual.kernel import VirtualKernel
from lapilli.virtual.submit import Job

PART = small_part()


def traffic() -> tuple[int, int]:
    """Bytes that the emulator counts, in whole requests."""
    device = open_device("emulator:a311d")
    LoadedPart(device, PART).run(small_input())
    assert isinstance(device, EmulatedDevice)
    found = device.last_counters
    reads = [c.instruction_bytes + c.coefficient_bytes + c.input_bytes for c in found]
    return sum(-(-n // 8) * 8 for n in reads), sum(-(-c.output_bytes // 8) * 8 for c in found)


def same_results(loaded: LoadedPart) -> bool:
    expected = LoadedPart(open_device("emulator:a311d"), PART).run(small_input())
    found = loaded.run(small_input())
    return all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)


def faulty(request: int, number: int = errno.EINVAL, times: int = 1) -> FaultySystem:
    machine = board()
    return FaultySystem(
        machine.system, machine.clock, Injection(0, number, times=times, request=request)
    )


def test_all_counters_are_listed_once() -> None:
    machine = board()
    system = FaultySystem(machine.system, machine.clock)
    with DrmDevice(NODE, system) as device:
        assert "PM_QUERY_DOM" not in system.made
        names = device.counter_names
        assert len(names) == 45
        assert set(monitor.WANTED) <= set(names)
        asked = len(system.made)
        assert device.counter_names == names
        assert device.why_uncounted() == ""
        assert len(system.made) == asked


@pytest.mark.parametrize("start", [0, drm.ADDRESS_END - 1])
def test_counters_are_delivered_also_across_the_wrap(start: int) -> None:
    read, written = traffic()
    assert read > 8 and written > 8
    machine = board(counter_start=start)
    system = FaultySystem(machine.system, machine.clock)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART, count=True) as loaded:
        assert loaded.counters() is None
        for _ in range(3):
            system.made.clear()
            assert same_results(loaded)
            assert system.made == ["GEM_SUBMIT", "WAIT_FENCE"]
            assert loaded.counters() == Counters(0, 0, read, written)
    assert machine.kernel.used_bytes == 0


def test_nobody_counts_unless_asked() -> None:
    machine = board()
    system = FaultySystem(machine.system, machine.clock)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART) as loaded:
        loaded.run(small_input())
        assert loaded.counters() is None
        assert not any(name.startswith("PM_") for name in system.made)
    with open_device("emulator:a311d") as emulator:  # type: ignore[attr-defined]
        part = LoadedPart(emulator, PART, count=True)
        part.run(small_input())
        assert part.counters() is None
        assert part.why_uncounted() == ""


def test_a_kernel_without_counters() -> None:
    with board(counters=False).device() as device, LoadedPart(device, PART, count=True) as loaded:
        assert same_results(loaded)
        assert loaded.counters() is None
        assert device.counter_names == ()
        assert "PM_QUERY_DOM" in loaded.why_uncounted()
        buffer = device.alloc(monitor.BUFFER_BYTES)
        loaded.finish(device.submit(loaded._commands, loaded._buffers, counters=buffer))
        assert device.read_counters(buffer) is None


def test_a_kernel_that_refuses_to_count_still_computes() -> None:
    system = faulty(drm.GEM_SUBMIT.request)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART, count=True) as loaded:
        for submits in (2, 1):
            system.made.clear()
            assert same_results(loaded)
            assert system.made.count("GEM_SUBMIT") == submits
            assert loaded.counters() is None
        assert "refused to count" in loaded.why_uncounted()
        assert "EINVAL" in loaded.why_uncounted()


def test_what_is_wrong_without_counters_too_is_no_refusal() -> None:
    system = faulty(drm.GEM_SUBMIT.request, times=2)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART, count=True) as loaded:
        with pytest.raises(DeviceError, match="EINVAL"):
            loaded.run(small_input())
        assert loaded.why_uncounted() == ""
        assert same_results(loaded)
        assert loaded.counters() is not None
    system = faulty(drm.GEM_SUBMIT.request, errno.ENOMEM)
    with DrmDevice(NODE, system) as device:
        loaded = LoadedPart(device, PART, count=True)
        with pytest.raises(DeviceError, match="ENOMEM"):
            loaded.run(small_input())


def test_a_kernel_that_takes_the_request_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VirtualKernel, "_write_counters", lambda *_: None)
    with board().device() as device, LoadedPart(device, PART, count=True) as loaded:
        assert same_results(loaded)
        assert loaded.counters() is None
        assert loaded.why_uncounted() == "the kernel counted nothing"
        assert same_results(loaded)


def test_counters_that_come_later_than_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    write = VirtualKernel._write_counters
    late: list[Callable[[], None]] = []

    def keep(kernel: VirtualKernel, job: Job, moment: drm.CounterFlags) -> None:
        if moment is drm.CounterFlags.BEFORE:
            write(kernel, job, moment)
        else:
            late.append(lambda: write(kernel, job, moment))

    monkeypatch.setattr(VirtualKernel, "_write_counters", keep)
    monkeypatch.setattr("lapilli.device.drm.time.sleep", lambda _: late.pop()())
    with board().device() as device, LoadedPart(device, PART, count=True) as loaded:
        for _ in range(2):
            assert same_results(loaded)
            assert loaded.counters() == Counters(0, 0, *traffic())


def test_a_buffer_too_small_for_the_counters() -> None:
    with board().device() as device:
        loaded = LoadedPart(device, PART)
        with pytest.raises(DeviceError, match="counters; they need 44"):
            device.submit(loaded._commands, loaded._buffers, counters=device.alloc(40))


def test_what_is_not_counted_is_none() -> None:
    signals = monitor.wanted(
        [Signal(9, 4, monitor.WRITES[0]), Signal(0, 7, monitor.CYCLES), Signal(1, 1, "PE.X"),
         Signal(9, 5, monitor.READS[0]), Signal(3, 3, monitor.CYCLES)]
    )  # fmt: skip
    assert [(s.domain, s.number) for s in signals] == [(0, 7), (9, 5), (9, 4)]
    data = np.zeros(monitor.BUFFER_BYTES, np.uint8)
    data.view(np.uint32)[:7] = [5, 0xFFFFFFF0, 4, 0, 0, 10, 13]
    assert monitor.counted(signals, 5, data) == Counters(20, None, None, 24)
    assert monitor.counted(signals, 6, data) is None
    made = monitor.requests(signals, 5, 2)
    assert [(r.flags, r.read_offset, r.read_index) for r in made][:3] == [
        (1, 1, 2), (2, 2, 2), (1, 3, 2)
    ]  # fmt: skip


@pytest.fixture
def profiled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    pytest.importorskip("ai_edge_litert.interpreter")
    from importlib.resources import as_file, files

    def run(*options: str, **settings: object) -> str:
        machine = board(**settings)
        monkeypatch.setattr(opening, "this_machine", lambda: machine.system)
        with as_file(files("lapilli.data") / "digits.tflite") as path:
            result = CliRunner().invoke(
                commands, ["profile", str(path), "--device", NODE, *options]
            )
        assert result.exit_code == 0, result.output
        assert machine.left[0] == machine.left[2] == 0
        return result.stdout

    return run


def test_the_report_of_a_board_has_what_was_counted(profiled: Callable[..., str]) -> None:
    report = json.loads(profiled("--json"))
    (part,) = report["parts"]
    assert part["cycles_measured"] == part["idle_cycles_measured"] == 0
    assert part["bytes_read_measured"] > part["bytes_written_measured"] > 0
    assert any("by the kernel's counters" in note for note in report["notes"])
    text = " ".join(profiled().split())
    assert "part 0 cycles 0, idle 0, read " in text and "measured by the kernel's counters" in text


def test_the_report_says_why_nothing_was_counted(profiled: Callable[..., str]) -> None:
    report = json.loads(profiled("--json", counters=False))
    assert report["parts"][0]["seconds_measured"] > 0
    assert report["parts"][0]["bytes_read_measured"] is None
    assert any("not available: the kernel lists none" in note for note in report["notes"])
    assert "not available" in profiled(counters=False)
