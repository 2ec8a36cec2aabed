"""Whatever call fails: one clear error, nothing left behind, and reopening works."""

from __future__ import annotations

import errno
import gc

import numpy as np
import pytest
from virtual_npu import NODE, Board, board, small_input, small_part

from lapilli.device.drm import DrmDevice
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.errors import DeviceError, HangError
from lapilli.hw import drm
from lapilli.virtual.injection import FaultySystem, Injection

pytestmark = pytest.mark.usefixtures("only_new_objects")

PART = small_part()
FOREVER = 1 << 30


def inference(system: FaultySystem) -> dict[int, np.ndarray]:
    """Open, load, run twice and close."""
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART) as loaded:
        loaded.run(small_input(1))
        return loaded.run(small_input())


def calls_made() -> list[str]:
    """The calls of ``inference`` if nothing fails."""
    machine = board(execute=False)
    system = FaultySystem(machine.system, machine.clock)
    inference(system)
    return system.made


CALLS = calls_made()
EXPECTED = LoadedPart(open_device("emulator:a311d"), PART).run(small_input())
NAMES = {errno.ENODEV: "ENODEV, the device is gone", errno.ENOMEM: "ENOMEM, the kernel is out of"}


def attempt(machine: Board, injection: Injection) -> tuple[FaultySystem, DeviceError | None]:
    """An inference on which ``injection`` works; DeviceErrors are returned, others raised."""
    system = FaultySystem(machine.system, machine.clock, injection)
    error = None
    try:
        inference(system)
    except DeviceError as caught:
        error = caught.with_traceback(None)
        error.__cause__ = error.__context__ = None
    gc.collect()
    assert machine.left == (0, 0, 0, 0), (injection, machine.left)
    return system, error


def runs_again(machine: Board) -> None:
    found = inference(FaultySystem(machine.system, machine.clock))
    assert all(np.array_equal(found[tensor], EXPECTED[tensor]) for tensor in EXPECTED)


def test_the_scenario_makes_every_call() -> None:
    kinds = {"open", "mmap", "VERSION", "GET_PARAM", "GEM_NEW", "GEM_INFO", "GEM_SUBMIT",
             "WAIT_FENCE", "GEM_CLOSE"}  # fmt: skip
    assert set(CALLS) == kinds
    assert CALLS.count("GEM_SUBMIT") == CALLS.count("WAIT_FENCE") == 2


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENOMEM, errno.EINVAL, errno.EIO])
@pytest.mark.parametrize("times", [1, FOREVER])
def test_each_call_in_turn_refused(number: int, times: int) -> None:
    machine = board(execute=False)
    for first, name in enumerate(CALLS):
        _, error = attempt(machine, Injection(first, number, times))
        if name == "GEM_CLOSE":
            assert error is None, "closing the node gives the buffers back"
            continue
        assert error is not None, (first, name)
        assert errno.errorcode[number] in str(error), str(error)
        assert str(error).startswith(f"{NODE}: ")
        asked = {"open": "can't be opened", "mmap": "mapping a buffer"}.get(name, name)
        assert asked in str(error), str(error)
        if number in NAMES:
            assert NAMES[number] in str(error)
    runs_again(board())


@pytest.mark.parametrize("number", [errno.EINTR, errno.EAGAIN])
def test_each_call_in_turn_interrupted(number: int) -> None:
    """A signal or a spurious wake-up is no error: the call is made again."""
    machine = board(execute=False)
    for first, name in enumerate(CALLS):
        if name in ("open", "mmap"):
            continue
        system, error = attempt(machine, Injection(first, number, times=3))
        assert error is None, (name, str(error))
        assert system.failed == [name] * 3
    runs_again(board())


@pytest.mark.parametrize("nth", [0, 1])
def test_a_fence_that_never_passes(nth: int) -> None:
    machine = board()
    wait = drm.WAIT_FENCE.request
    _, error = attempt(machine, Injection(nth, errno.ETIMEDOUT, FOREVER, wait))
    assert isinstance(error, HangError)
    assert "the NPU was not done after 5 s" in str(error)
    assert machine.clock.now == pytest.approx(1005)
    runs_again(machine)


def test_woken_early_again_and_again() -> None:
    machine = board()
    _, error = attempt(
        machine, Injection(0, errno.ETIMEDOUT, 20, drm.WAIT_FENCE.request, early=True)
    )
    assert error is None


def test_a_kernel_without_memory_for_the_whole_model() -> None:
    """Some buffers are there already when the memory ends."""
    sizes = [-(-spec.size // drm.PAGE) * drm.PAGE for spec in PART.buffers]
    machine = board(memory=sum(sizes) - drm.PAGE)
    with pytest.raises(DeviceError, match=r"GEM_NEW \(a buffer of \d+ bytes\): ENOMEM"):
        inference(FaultySystem(machine.system, machine.clock))
    gc.collect()
    assert machine.left == (0, 0, 0, 0)


def test_a_device_goes_on_after_a_refused_submit() -> None:
    machine = board()
    submit = drm.GEM_SUBMIT.request
    system = FaultySystem(machine.system, machine.clock, Injection(0, errno.ENOMEM, 1, submit))
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART) as loaded:
        with pytest.raises(DeviceError, match="GEM_SUBMIT"):
            loaded.run(small_input())
        found = loaded.run(small_input())
    assert all(np.array_equal(found[tensor], EXPECTED[tensor]) for tensor in EXPECTED)
