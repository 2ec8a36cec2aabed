"""A process that forks: what the child may use, and what it is told of the rest."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest
from patience import PATIENCE
from places import PACKAGE
from virtual_npu import board, small_input, small_part

from lapilli.device.open import open_device
from lapilli.device.pipeline import Pipeline
from lapilli.device.runner import LoadedPart
from lapilli.emulator.machine import EmulatedDevice
from lapilli.litert.delegate import Delegate
from lapilli.litert.runtime import interpreter_class
from lapilli.program.device import ProcessLock

PART = small_part()
DIGITS = PACKAGE / "data" / "digits.tflite"
INPUT = small_input()
Busy: TypeAlias = Callable[[EmulatedDevice], Callable[[], None]]
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_a_child(action: Callable[[], object]) -> str:
    """What ``action`` gives, as text, or the error's, in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs ends
        try:
            text = str(action())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child hung: {text}"
    return text


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    """Starts an inference on a device that stays in its first instruction until the test ends, or
    what is returned is called: who closes the device waits for it."""
    ends = threading.Event()
    threads: list[threading.Thread] = []
    run = EmulatedDevice._run_instruction

    def start(device: EmulatedDevice) -> Callable[[], None]:
        inside = threading.Event()

        def halting(self: EmulatedDevice, *arguments: Any) -> Any:
            if threading.current_thread() in threads:
                inside.set()
                assert ends.wait(PATIENCE)
            return run(self, *arguments)

        monkeypatch.setattr(EmulatedDevice, "_run_instruction", halting)
        threads.append(threading.Thread(target=lambda: LoadedPart(device, PART).run(INPUT)))
        threads[0].start()
        assert inside.wait(PATIENCE)
        return end

    def end() -> None:
        ends.set()
        for thread in threads:
            thread.join(PATIENCE)

    yield start
    end()


def checksum(loaded: LoadedPart) -> int:
    return sum(int(values.astype(np.int64).sum()) for values in loaded.run(INPUT).values())


def test_a_child_goes_on_with_an_emulated_device_that_nobody_used() -> None:
    with open_device("emulator:a311d") as device, LoadedPart(device, PART) as loaded:  # type: ignore[attr-defined]
        expected = str(checksum(loaded))
        assert in_a_child(lambda: checksum(loaded)) == expected
        assert str(checksum(loaded)) == expected


def test_a_child_is_told_that_a_thread_used_the_device(
    busy: Busy,
) -> None:
    device = open_device("emulator:a311d")
    assert isinstance(device, EmulatedDevice)
    loaded = LoadedPart(device, PART)
    busy(device)
    for _ in range(2):
        text = in_a_child(lambda: checksum(loaded))
        assert text.startswith("DeviceError: emulator:a311d was in use by another thread when")
        assert in_a_child(device.close).startswith("DeviceError: emulator:a311d was in use")


def test_a_child_opens_a_device_of_its_own(busy: Busy) -> None:
    device = open_device("emulator:a311d")
    assert isinstance(device, EmulatedDevice)
    busy(device)

    def own() -> int:
        return checksum(LoadedPart(open_device("emulator:a311d"), PART))

    assert in_a_child(own) == str(checksum(LoadedPart(open_device("emulator:a311d"), PART)))


def test_a_child_may_not_use_a_board_s_buffers_which_it_shares() -> None:
    machine = board()
    device = machine.device()
    loaded = LoadedPart(device, PART)
    expected = checksum(loaded)
    text = in_a_child(lambda: checksum(loaded))
    assert text.startswith("DeviceError: /dev/dri/renderD128 was opened before this process was")
    assert in_a_child(lambda: device.alloc(64)).startswith("DeviceError: /dev/dri/renderD128 was")

    def calls_of_freeing() -> int:
        calls: list[int] = []
        machine.system.ioctl = lambda *call: calls.append(1)  # type: ignore[method-assign]
        loaded.close()
        return len(calls)

    assert in_a_child(calls_of_freeing) == "0"
    assert checksum(loaded) == expected


def test_a_pipeline_says_that_its_threads_are_not_there() -> None:
    with open_device("emulator:a311d") as device, Pipeline(device, PART) as pipeline:  # type: ignore[attr-defined]
        expected = pipeline.submit(INPUT).result(PATIENCE)
        text = in_a_child(lambda: pipeline.submit(INPUT).result(PATIENCE))
        assert text.startswith("DeviceError: the pipeline was made before this process was forked")
        assert in_a_child(pipeline.close) == "None"
        again = pipeline.submit(INPUT).result(PATIENCE)
        assert all(np.array_equal(again[tensor], expected[tensor]) for tensor in expected)


def test_a_lock_that_a_board_s_thread_holds_is_no_wait_for_ever() -> None:
    device: Any = board().device()
    taken, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with device._lock.held:
            taken.set()
            assert ends.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(PATIENCE)
    try:
        assert in_a_child(device.counter_buffer).startswith("DeviceError: /dev/dri/renderD128")
    finally:
        ends.set()
        thread.join(PATIENCE)


def test_a_lock_that_nobody_holds_is_free_in_a_child() -> None:
    lock = ProcessLock("x")
    with lock.held, lock.held:
        pass

    def nested() -> str:
        with lock.held:
            return "free"

    assert in_a_child(nested) == "free"


def test_a_child_s_inference_with_the_same_delegate_ends(
    busy: Busy,
) -> None:
    pytest.importorskip("ai_edge_litert")
    delegate = Delegate(device="emulator:a311d")
    interpreter = interpreter_class()(str(DIGITS), experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    interpreter.invoke()
    assert in_a_child(interpreter.invoke) == "None"
    assert isinstance(delegate.device, EmulatedDevice)
    end = busy(delegate.device)
    text = in_a_child(interpreter.invoke)
    end()
    assert (
        "lapilli: emulator:a311d was in use by another thread when this process was forked" in text
    )
