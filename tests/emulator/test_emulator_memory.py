"""Buffers of the emulated device."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapilli.emulator import EmulatedDevice
from lapilli.emulator.cache import BoundedCache
from lapilli.emulator.memory import AddressSpace
from lapilli.errors import DeviceError
from lapilli.hw.chips import find_by_name

TOP = 1 << 32


@pytest.fixture
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


def test_the_first_buffer_ends_at_the_top(device: EmulatedDevice) -> None:
    first, second = device.alloc(5000), device.alloc(1)
    assert first.address == TOP - 8192
    assert second.address == first.address - 4096
    assert first.size == len(first.data) == 5000
    assert not first.data.any()


def test_a_freed_gap_is_used_again_and_zeroed(device: EmulatedDevice) -> None:
    _, middle, _ = (device.alloc(4096) for _ in range(3))
    middle.data[:] = 1
    address = middle.address
    middle.free()
    assert device.alloc(8192).address == TOP - 5 * 4096
    again = device.alloc(4096)
    assert again.address == address
    assert not again.data.any()


def test_a_buffer_can_have_its_address(device: EmulatedDevice) -> None:
    assert device.alloc(100, 0x400000).address == 0x400000
    for address, text in (
        (0x400000, "overlap"),
        (0x400800, "multiples of 4096"),
        (0x3FF000, "allowed is 0x400000"),
        (TOP, "allowed is 0x400000"),
    ):
        with pytest.raises(DeviceError, match=text):
            device.alloc(100, address)
    with pytest.raises(DeviceError, match="overlap the buffer of 100 bytes at 0x400000"):
        device.alloc(1 << 20, 0x400000)


@pytest.mark.parametrize("size", [0, -1, TOP])
def test_impossible_sizes(device: EmulatedDevice, size: int) -> None:
    with pytest.raises(DeviceError, match=f"a buffer of {size} bytes was asked for"):
        device.alloc(size)


def test_freed_and_foreign_buffers_are_refused(device: EmulatedDevice) -> None:
    buffer = device.alloc(10)
    buffer.free()
    with pytest.raises(DeviceError, match="not allocated"):
        buffer.free()
    with pytest.raises(DeviceError, match="not, or no longer, one of emulator:a311d"):
        device.submit(np.zeros(2, np.uint32), [buffer])
    with EmulatedDevice(device.chip) as other, pytest.raises(DeviceError, match="one of"):
        device.submit(np.zeros(2, np.uint32), [other.alloc(10)])


def test_only_words_can_be_submitted(device: EmulatedDevice) -> None:
    with pytest.raises(DeviceError, match="expected one dimension of uint32"):
        device.submit(np.zeros(2, np.uint8), [])  # type: ignore[arg-type]


def test_a_closed_device_does_nothing(device: EmulatedDevice) -> None:
    with device:
        device.alloc(10)
    with pytest.raises(DeviceError, match="emulator:a311d is closed"):
        device.alloc(10)
    with pytest.raises(DeviceError, match="closed"):
        device.submit(np.zeros(2, np.uint32), [])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 20000), st.booleans()), max_size=40))
def test_live_buffers_never_overlap(steps: list[tuple[int, bool]]) -> None:
    space = AddressSpace()
    live = []
    for size, free_one in steps:
        if free_one and live:
            live.pop(size % len(live)).free()
        live.append(space.alloc(size, None))
        placed = sorted(live, key=lambda b: b.address)
        assert all(one.end <= two.address for one, two in pairwise(placed))
        assert all(space.find(b.address + b.size - 1) is b for b in live)


def test_a_cache_forgets_what_was_not_used() -> None:
    made = []

    def make(name: str) -> np.ndarray:
        made.append(name)
        return np.zeros(3000, np.uint8)

    cache: BoundedCache[np.ndarray] = BoundedCache(10000)
    for name in "abacab":
        cache.get(name, lambda name=name: make(name))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
    cache.clear()
    cache.get("a", lambda: make("a"))
    assert made[-1] == "a"
