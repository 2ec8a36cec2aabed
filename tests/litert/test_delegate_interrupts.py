"""What a handler of signals raises while the delegate runs comes out of LiteRT as itself."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from fake_npu import Array, FakeBackend, OneImage, assert_close, new_interpreter, run, small_model
from models import ModelBuilder
from patience import PATIENCE

from lapilli.errors import DeviceError, Unsupported
from lapilli.litert.delegate import Delegate
from lapilli.litert.raising import from_its_entry

SIGNAL = signal.SIGUSR1


class Late(TimeoutError):
    """What the handlers here raise."""


def handler(_number: int, _frame: Any) -> None:
    raise Late("a second is over")


class Watch:
    def __call__(self, _number: int, _frame: Any) -> None:
        raise Late("a second is over")

    def rings(self, _number: int, _frame: Any) -> None:
        raise Late("a second is over")


def helped(number: int, frame: Any) -> None:
    handler(number, frame)


HANDLERS = [handler, Watch(), Watch().rings, helped]


@pytest.fixture(params=HANDLERS)
def handled(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(SIGNAL, request.param)
    yield
    signal.signal(SIGNAL, before)


class Signalled(FakeBackend):
    """The process gets a signal while the NPU executes, compiles, or judges."""

    when = ""

    def _now(self, what: str) -> None:
        if self.when == what:
            self.when = ""
            os.kill(os.getpid(), SIGNAL)
            for _ in range(100):  # somewhere here
                pass

    def verdicts(self, graph: Any) -> Any:
        self._now("verdicts")
        return super().verdicts(graph)

    def compile(self, *arguments: Any) -> Any:
        self._now("compile")
        return super().compile(*arguments)

    def load(self, part: Any) -> Any:
        loaded = super().load(part)
        execute = loaded.execute

        def executed() -> None:
            self._now("execute")
            execute()

        loaded.execute = executed  # type: ignore[method-assign]
        return loaded


def resized(interpreter: Any, size: int) -> None:
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, size, size, 3])
    interpreter.allocate_tensors()


@pytest.mark.usefixtures("handled")
def test_what_a_handler_raises_comes_out_of_invoke() -> None:
    backend = Signalled()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    expected = run(interpreter)
    for _ in range(3):
        backend.when = "execute"
        with pytest.raises(Late, match="a second is over"):
            run(interpreter)
        assert np.array_equal(run(interpreter), expected)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), Late(110, "over"), GeneratorExit("x")]
)
def test_what_ends_programs_comes_out_of_invoke(error: BaseException) -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    expected = run(interpreter)
    backend.execute_error = error
    kind = RuntimeError if isinstance(error, Late) else type(error)  # no handler raised that
    with pytest.raises(kind) as raised:
        run(interpreter)
    if kind is not RuntimeError:
        assert raised.value is error
    assert delegate.error is error
    backend.execute_error = None
    assert np.array_equal(run(interpreter), expected)


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize("when", ["verdicts", "compile"])
def test_what_a_handler_raises_comes_out_of_the_constructor(when: str) -> None:
    backend = Signalled()
    delegate = Delegate(_backend=backend)
    backend.when = when
    with pytest.raises(Late):
        new_interpreter(small_model(), delegate)
    gc.collect()
    assert not any(loaded.open for loaded in backend.loaded)
    assert_close(run(new_interpreter(small_model(), delegate)), run(new_interpreter(small_model())))


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize("when", ["verdicts", "compile"])
def test_after_a_signal_at_a_resize_the_model_is_not_on_the_cpu(when: str) -> None:
    backend = Signalled()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    reference = new_interpreter(small_model())
    backend.when = when
    with pytest.raises(Late):
        resized(interpreter, 12)
    resized(reference, 12)
    if when == "verdicts":
        with pytest.raises(RuntimeError, match=r"could not be prepared \(Late: a second is over\)"):
            run(interpreter)
    else:
        before = backend.executions
        assert_close(run(interpreter), run(reference))
        assert backend.executions == before + 2
    resized(interpreter, 8)
    before = backend.executions
    assert_close(run(interpreter), run(new_interpreter(small_model())))
    assert backend.executions == before + 2


def test_strict_holds_after_a_resize() -> None:
    delegate = Delegate(_backend=OneImage(choose=lambda operator: True), strict=True)
    interpreter = new_interpreter(one_convolution(), delegate)
    expected = run(interpreter)
    details = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(details["index"], [2, 8, 8, 3])
    with pytest.raises(RuntimeError, match="strict: 1 of 1 operators would stay on the CPU"):
        interpreter.allocate_tensors()
    assert isinstance(delegate.error, Unsupported)
    assert delegate.partitions == ()
    for _ in range(2):
        interpreter.allocate_tensors()
        with pytest.raises(RuntimeError, match="strict: 1 of 1 operators would stay on the CPU"):
            run(interpreter)
    interpreter.resize_tensor_input(details["index"], [1, 8, 8, 3])
    interpreter.allocate_tensors()
    assert delegate.partitions == ((0,),)
    assert np.array_equal(run(interpreter), expected)


def one_convolution() -> bytes:
    random = np.random.default_rng(5)
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    weights: Array = random.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
    return model.build([model.conv(x, weights, np.arange(4), 0.01, 120, 0.05, 100)])


@pytest.mark.parametrize("failing", ["compile_error", "verdict_error"])
def test_a_resize_that_fails_leaves_nothing_on_the_cpu(failing: str) -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    expected = run(interpreter)
    setattr(backend, failing, DeviceError("no memory for that"))
    with pytest.raises(RuntimeError, match="lapilli: no memory for that"):
        resized(interpreter, 12)
    with pytest.raises(RuntimeError, match="lapilli: no memory for that"):
        run(interpreter)
    setattr(backend, failing, None)
    resized(interpreter, 8)
    assert np.array_equal(run(interpreter), expected)
    assert delegate.partitions == ((0, 1), (3, 4))
    del interpreter, delegate
    gc.collect()
    assert not any(loaded.open for loaded in backend.loaded)
    assert not backend.open


def test_a_closed_delegate_is_not_closed_twice_by_a_resize() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    delegate.close()
    with pytest.raises(RuntimeError, match="this Delegate was closed"):
        resized(interpreter, 12)
    with pytest.raises(RuntimeError, match="this Delegate was closed"):
        run(interpreter)
    del interpreter
    gc.collect()
    assert not backend.open


def entered(caught: list[BaseException]) -> int:
    try:
        return len(caught)
    except BaseException as error:
        caught.append(error)
        return -1


@pytest.mark.usefixtures("handled")
def test_a_signal_at_the_entry_of_a_callback_is_not_lost() -> None:
    """Nothing of Python's runs between the signal and the entry: C code makes both calls."""
    caught: list[BaseException] = []
    callback = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(from_its_entry(entered))
    native = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(
        ctypes.cast(callback, ctypes.c_void_p).value
    )
    calls = [partial(ctypes.PyDLL(None)["raise"], SIGNAL), partial(native, caught)]
    assert list(map(partial.__call__, calls)) == [0, -1]
    assert [type(error) for error in caught] == [Late]
    assert list(map(partial.__call__, calls[1:])) == [1]


def test_threads_get_no_exceptions_of_handlers() -> None:
    """Handlers run in the main thread; elsewhere an inference goes on."""
    backend = Signalled()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    expected = run(interpreter)
    found: list[Array] = []
    before = signal.signal(SIGNAL, signal.SIG_IGN)
    try:
        backend.when = "execute"
        thread = threading.Thread(target=lambda: found.append(run(interpreter)))
        thread.start()
        thread.join(PATIENCE)
    finally:
        signal.signal(SIGNAL, before)
    assert np.array_equal(found[0], expected)


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_that_a_handler_ends_does_not_end_well_if_it_did_not(code: int) -> None:
    """Nobody catches anything here; Pythons before 3.12 can't tell 3 from 1 then."""
    script = f"""
        from fake_npu import FakeBackend, new_interpreter, run, small_model
        from lapilli.litert.delegate import Delegate
        backend = FakeBackend()
        interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
        backend.execute_error = SystemExit({code})
        interpreter.invoke()
        print("went on")
    """
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert bool(done.returncode) == bool(code), done.stderr
    assert not done.stdout
