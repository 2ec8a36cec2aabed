"""What a device keeps from one submit to the next: lists of buffers, addresses, fences."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from virtual_npu import NODE, board, small_input, small_part

from lapilli.device.drm import DrmDevice
from lapilli.device.runner import LoadedPart
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.program.recording import Recording
from lapilli.virtual.injection import FaultySystem, Injection

NOTHING = np.zeros(2, np.uint32)
"""A command stream."""


def test_the_same_stream_with_other_buffers_is_another_submit() -> None:
    submits: list[list[int]] = []

    def note(_client: object, submit: Recording) -> None:
        submits.append([buffer.address for buffer in submit.buffers])

    with board(record=note).device() as device:
        one, other = device.alloc(64), device.alloc(64)
        lists = ([one], [one], [other], [one, other], [other, one], [one])
        for buffers in lists:
            device.wait(device.submit(NOTHING, buffers))
        assert submits == [[buffer.address for buffer in buffers] for buffers in lists]


def test_a_buffer_that_was_freed_can_not_be_submitted_again() -> None:
    machine = board()
    with machine.device() as device:
        buffer = device.alloc(64)
        device.wait(device.submit(NOTHING, [buffer]))
        buffer.free()
        with pytest.raises(DeviceError, match="not, or no longer, one of"):
            device.submit(NOTHING, [buffer])
        kept = buffer.address
        del buffer
        assert machine.system.mappings == 0, "a list keeps it"
        again = device.alloc(64)
        assert again.address == kept
        device.wait(device.submit(NOTHING, [again]))


def test_many_streams_are_submitted_in_turns() -> None:
    """More than lists are kept of."""
    streams = [np.zeros(2, np.uint32) for _ in range(70)]
    with board().device() as device:
        buffer = device.alloc(64)
        for stream in (*streams, *streams):
            device.wait(device.submit(stream, [buffer]))
        assert len(device._prepared) == 64


@pytest.mark.parametrize("call", ["GEM_NEW", "GEM_INFO", "mmap"])
def test_an_address_is_free_again_after_an_allocation_that_failed(call: str) -> None:
    """Else each failure would cost its size of the address space."""
    machine = board()
    counted = FaultySystem(machine.system, machine.clock)
    with DrmDevice(NODE, counted) as device:
        before = len(counted.made)
        expected = device.alloc(4096).address
        number = counted.made.index(call, before)
    system = FaultySystem(machine.system, machine.clock, Injection(number, errno.ENOMEM))
    with DrmDevice(NODE, system) as device:
        with pytest.raises(DeviceError, match="ENOMEM"):
            device.alloc(drm.ADDRESS_END // 2)
        assert system.failed == [call]
        assert machine.kernel.used_bytes == 0
        assert device.alloc(4096).address == expected


def test_a_result_that_is_fetched_late_is_no_hang() -> None:
    """The job was done long ago; nobody has asked. Only who waits for long waits for a job that the
    kernel may have given up."""
    machine = board()
    with machine.device() as device, LoadedPart(device, small_part()) as loaded:
        for tensor, values in small_input().items():
            loaded.write(tensor, values)
        fence = loaded.start()
        machine.clock.now += 100 * drm.JOB_TIMEOUT_SECONDS
        loaded.finish(fence)
