"""What a submit may cost the emulator: memory by what is moved, work by stated limits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tp_job import bytes_of, copy, job, run, run_counted, transpose
from virtual_npu import chip_called, small_input, small_part

from lapilli.device.open import open_device
from lapilli.device.replay import replay
from lapilli.device.runner import LoadedPart
from lapilli.emulator import coefficients_v7, coefficients_v8, machine, tp
from lapilli.emulator.kernels import KernelShape, Streams, demand_few
from lapilli.errors import DeviceError, ExitCode, Fault, Refused

Fields = dict[str, int]
MOVES: dict[str, tuple[Fields, tuple[int, int, int]]] = {
    "copy": (copy(5, 6, 7), (5, 6, 7)),
    "transpose": (transpose(5, 6, 7), (5, 6, 7)),
    "a border": (copy(5, 6, 7) | {"in_window_x_end": 9, "out_loop_6_inc": 1}, (5, 6, 7)),
    "planes over-fetched": (
        copy(5, 6, 7) | {"in_window_z_start_overfetch": 2, "in_window_z_end_overfetch": 1},
        (5, 6, 7),
    ),
    "written backwards": (
        transpose(3, 4, 5) | {"out_loop_1_inc": (1 << 32) - 3, "out_loop_6_inc": 1},
        (3, 4, 5),
    ),
}


@pytest.mark.parametrize(("fields", "shape"), MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("at_once", [1, 43, 100])
def test_some_planes_at_a_time_give_the_same(
    monkeypatch: pytest.MonkeyPatch, fields: Fields, shape: tuple[int, int, int], at_once: int
) -> None:
    whole, counted = run_counted(fields, bytes_of(*shape), 1000, 300)
    monkeypatch.setattr(tp, "KEPT_ELEMENTS", at_once)
    blocks, counted_again = run_counted(fields, bytes_of(*shape), 1000, 300)
    np.testing.assert_array_equal(blocks, whole)
    assert counted_again == counted
    assert whole.any()


@pytest.mark.reads_own_output
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_all_is_read_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """A job over its own input, one byte further."""
    monkeypatch.setattr(tp, "KEPT_ELEMENTS", at_once)
    fields = copy(4, 4, 4) | {"in_image_base_address": 0x3000_0000}
    recording = job(fields, bytes_of(4, 4, 4), 128, 1)
    buffers = list(recording.buffers)
    values = np.arange(1, 65, dtype=np.uint8)
    buffers[2] = replace(buffers[2], data=values)
    with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
        found = replay(replace(recording, buffers=tuple(buffers)), device)[2]
        assert device.last_counters[0].reads_own_output
    np.testing.assert_array_equal(found[:66], [1, *values, 0])


def peak(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_goes_with_a_plane() -> None:
    """Sixteen times the planes: one more byte for each element, besides the buffers."""
    rows = columns = 256
    few, many = (
        peak(lambda n=n: run(copy(n, rows, columns), bytes_of(n, rows, columns), n << 16))
        for n in (16, 256)
    )
    assert few < 6 * (16 << 16) + 120 * tp.KEPT_ELEMENTS
    assert many - few < 8 * (256 - 16 << 16)


HUGE: dict[str, Fields] = {
    "a plane of 2^32 elements": {"in_window_x_end": 65534, "in_window_y_end": 65534},
    "tiles of one pixel": {
        "in_window_x_end": 65534, "in_window_y_end": 65534, "in_tile_x_size": 1,
        "in_tile_y_size": 1, "in_tile_x_inc": 1, "in_tile_y_inc": 1,
    },
    "no planes of 2^32 elements": {
        "in_image_z_size": 0, "in_window_x_end": 65534, "in_window_y_end": 65534,
        "in_tile_x_size": 1, "in_tile_y_size": 1, "in_tile_x_inc": 1, "in_tile_y_inc": 1,
    },
    "a plane above the limit": {"in_window_x_end": 8191, "in_window_y_end": 1024},
    "overlapping tiles": {
        "in_window_x_end": 4095, "in_tile_x_size": 4095, "in_tile_x_inc": 1,
    },
    "planes above the limit": {
        "in_image_z_size": 16000, "in_window_x_end": 1023, "in_window_y_end": 1023,
    },
}  # fmt: skip


@pytest.mark.parametrize("change", HUGE.values(), ids=HUGE)
def test_what_is_too_much_costs_nothing(change: Fields) -> None:
    """It is counted from the fields before anything is laid out."""

    met: list[Refused] = []

    def attempt() -> None:
        with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
            fence = device.submit(*submitted(device, copy(1, 4, 4) | change))
            try:
                device.wait(fence)
            except Refused as refused:
                met.append(refused)

    assert peak(attempt) < 4 << 20
    assert len(met) == (change.get("in_image_z_size") != 0)
    assert all(each.exit_code == ExitCode.UNSUPPORTED and "at most" in str(each) for each in met)


def submitted(device: Any, fields: Fields) -> tuple[Any, list[Any]]:
    """A submit whose output buffer is as large as it likes, without its memory."""
    recording = job(fields, bytes_of(1, 4, 4), 64)
    buffers = [device.alloc(b.size, b.address) for b in recording.buffers]
    for buffer, recorded in zip(buffers, recording.buffers, strict=True):
        buffer.data[: len(recorded.data)] = recorded.data
    buffers[2].size = 1 << 28
    return recording.commands, buffers


def test_the_work_of_a_submit_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together, not one by one; what was done before counts as done."""
    monkeypatch.setattr(machine, "MOST_ELEMENTS", 1000)
    recording = job(copy(5, 6, 7), bytes_of(5, 6, 7), 210)
    with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
        four = replace(recording, commands=np.tile(recording.commands, 4))
        replay(four, device)
        assert len(device.last_counters) == 4
        many = replace(recording, commands=np.tile(recording.commands, 5000))
        with pytest.raises(Refused, match=r"job 4 .* moves 1050 elements .* at most 1000"):
            replay(many, device)
        assert len(device.last_counters) == 5


def test_multiplications_count_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    part = small_part()
    with open_device("emulator:a311d") as device, LoadedPart(device, part) as loaded:  # type: ignore[attr-defined]
        loaded.run(small_input())
        macs = sum(c.macs_dense for c in device.last_counters)
        monkeypatch.setattr(machine, "MOST_MULTIPLICATIONS", macs - 1)
        with pytest.raises(Refused, match=f"does {macs} multiplications"):
            loaded.run(small_input())


def test_counters_of_many_instructions_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a tuple of all so far for each of them."""
    recording = job(copy(1, 2, 2), bytes_of(1, 2, 2), 4)
    many = replace(recording, commands=np.tile(recording.commands, 400))
    with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
        made: list[int] = []
        kind = type(device)

        def note(self: Any, name: str, value: Any) -> None:
            if name == "last_counters":
                made.append(len(value))
            object.__setattr__(self, name, value)

        monkeypatch.setattr(kind, "__setattr__", note, raising=False)
        replay(many, device)
    assert made == [400]


def test_a_buffer_without_memory_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise MemoryError

    with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
        monkeypatch.setattr(np, "zeros", fails)
        with pytest.raises(DeviceError, match="no memory for a buffer of 4096 bytes"):
            device.alloc(4096)


# ------------------------------------------------------------------------------------ coefficients


def zeros_claiming(size: int, run_bits: int, kernels: int) -> Streams:
    """A V7 stream of zeros: run length width and number of kernels, and nothing else."""
    data = np.zeros(size, np.uint8)
    data[:3] = np.array([run_bits | kernels << 8], "<u4").view(np.uint8)[:3]
    return Streams(data, ((0, size),))


@pytest.mark.parametrize(
    ("size", "run_bits", "kernels", "shape", "text"),
    [
        (1 << 22, 5, 16384, KernelShape(4500, 1, 1, 127, 0), "at most 67108864 weights"),
        (1 << 17, 5, 1, KernelShape(16383, 15, 15, 1, 0, 1), "runs|behind|can't be in|take"),
        (1 << 26, 0, 1, KernelShape(4, 1, 1, 1, 0, 1), "its 1 kernels take 15 at most"),
        (1 << 26, 5, 4, KernelShape(64, 3, 3, 4, 0, 4), "its 4 kernels take"),
    ],
)
def test_few_bytes_can_not_stand_for_any_number_of_weights(
    size: int, run_bits: int, kernels: int, shape: KernelShape, text: str
) -> None:
    streams = zeros_claiming(size, run_bits, kernels)

    def attempt() -> None:
        with pytest.raises(Fault, match=text):
            coefficients_v7.decode(streams, shape, chip_called("a311d"))

    assert peak(attempt) < 32 << 20


def test_a_v8_header_that_claims_more_than_a_code_takes() -> None:
    share = coefficients_v8._Share(KernelShape(16, 3, 3, 4, 0, 8), 0, 8)
    bits = coefficients_v8.LONGEST_STEP_BITS * (share.pairs + coefficients_v8.FLUSH_PAIRS)
    share.demand_room(bits)
    with pytest.raises(Fault, match="or less"):
        share.demand_room(bits + 1)
    many = KernelShape(1 << 13, 1, 1, 127, 0, (1 << 13) + 1)
    with pytest.raises(Refused, match="at most 67108864 weights"):
        demand_few(many.output_channels, many)
    demand_few(1 << 13, many)
