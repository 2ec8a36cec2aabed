"""A device that is closed while somebody uses it: one typed error, and nothing is left."""

from __future__ import annotations

import errno
import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE
from virtual_npu import board, chip_called, small_input, small_part

from lapilli.device.open import open_device
from lapilli.device.pipeline import Pipeline
from lapilli.device.runner import LoadedPart
from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import DeviceError, Fault, UsageError

PART = small_part()
INPUT = small_input()


class Halting(EmulatedDevice):
    """Stops in its first instruction until ``go_on``."""

    def __init__(self) -> None:
        super().__init__(chip_called(), "emulator:a311d")
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.in_the_middle: Callable[[], object] = lambda: None

    def _run_instruction(self, *arguments: Any) -> Any:
        if not self.inside.is_set():
            self.inside.set()
            self.in_the_middle()
            assert self.go_on.wait(PATIENCE)
        return super()._run_instruction(*arguments)

    @property
    def left(self) -> int:
        return len(self._space._buffers)


def closed_in_the_middle(device: Halting, run: Callable[[], object]) -> list[BaseException]:
    """The errors of a thread that runs while another one closes the device."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert device.inside.wait(PATIENCE)
    closer = threading.Thread(target=device.close)
    closer.start()
    while not device._closed:
        assert closer.is_alive()
    device.go_on.set()
    for thread in (worker, closer):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return errors


def test_an_inference_ends_in_one_error_and_everything_is_freed() -> None:
    device = Halting()
    loaded = LoadedPart(device, PART)
    errors = closed_in_the_middle(device, lambda: loaded.run(INPUT))
    assert [type(error) for error in errors] == [DeviceError]
    assert str(errors[0]) == "emulator:a311d is closed"
    assert not isinstance(errors[0], Fault)
    assert device.left == 0
    for _ in range(2):
        with pytest.raises(DeviceError, match="emulator:a311d is closed"):
            loaded.run(INPUT)
    loaded.close()
    loaded.close()


def test_what_is_in_flight_ends_in_the_same_error() -> None:
    device = Halting()
    pipeline = Pipeline(device, PART)
    errors = closed_in_the_middle(device, lambda: pipeline.submit(INPUT).result(PATIENCE))
    assert [type(error) for error in errors] == [DeviceError]
    pipeline.close()
    assert device.left == 0


def test_a_handler_may_close_the_device_that_it_interrupts() -> None:
    device = Halting()
    device.in_the_middle = device.close
    device.go_on.set()
    loaded = LoadedPart(device, PART)
    with pytest.raises(DeviceError, match="emulator:a311d is closed"):
        loaded.run(INPUT)
    assert device.left == 0
    loaded.close()


def test_a_board_s_call_that_is_made_again_does_not_reach_a_closed_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its descriptor's number may be another file's by now."""
    machine = board()
    device = machine.device()
    loaded = LoadedPart(device, PART)
    calls: list[int] = []

    def interrupted(_descriptor: int, request: int, _argument: Any) -> None:
        calls.append(request)
        device.close()
        raise OSError(errno.EINTR, "a signal")

    with monkeypatch.context() as patch:
        patch.setattr(machine.system, "ioctl", interrupted)
        with pytest.raises(DeviceError, match="is closed"):
            loaded.run(INPUT)
    assert len(calls) == 1
    loaded.close()
    del loaded
    gc.collect()
    assert machine.left[0] == 0


def test_a_part_of_another_chip_is_refused_when_it_is_loaded() -> None:
    with open_device("emulator:imx8mp") as device:  # type: ignore[attr-defined]
        for load in (LoadedPart, Pipeline):
            with pytest.raises(UsageError, match="compiled for a311d can't run on emulator:imx8mp"):
                load(device, PART)
    other = small_part("imx8mp")
    assert (PART.chip, other.chip) == ("a311d", "imx8mp")
    with open_device("emulator:imx8mp") as device, LoadedPart(device, other) as loaded:  # type: ignore[attr-defined]
        assert all(np.any(values) for values in loaded.run(INPUT).values())
