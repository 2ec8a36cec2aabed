"""What goes wrong in the delegate reaches its user, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from fake_npu import (
    FakeBackend,
    assert_close,
    new_interpreter,
    run,
    small_model,
)

from lapilli.errors import DeviceError, Unsupported
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate


def test_an_error_while_judging_reaches_the_user() -> None:
    backend = FakeBackend()
    backend.verdict_error = KeyError("a bug")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError, match="lapilli: KeyError: 'a bug'"):
        new_interpreter(small_model(), delegate)
    assert delegate.error is backend.verdict_error


def test_an_error_while_compiling_reaches_the_user() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("operator 1: 100 % of %s and %n do not fit")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError, match="lapilli: operator 1: 100 % of %s and %n do not fit"):
        new_interpreter(small_model(), delegate)
    assert delegate.error is backend.compile_error
    assert (delegate.partitions, delegate.parts) == ((), ())
    assert len(delegate.verdicts) == 5


@pytest.mark.parametrize("error", [DeviceError("the device went away"), MemoryError()])
def test_an_error_at_run_time_reaches_the_user(error: BaseException) -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    expected = run(interpreter)
    backend.execute_error = error
    text = "lapilli: the device went away" if isinstance(error, DeviceError) else "lapilli: "
    with pytest.raises(RuntimeError, match=text):
        run(interpreter)
    assert delegate.error is error
    backend.execute_error = None
    assert np.array_equal(run(interpreter), expected)


def test_a_long_message_is_cut_at_a_whole_character() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("é\0%" * 1000)
    with pytest.raises(RuntimeError, match="lapilli: é\ufffd%é\ufffd%"):
        new_interpreter(small_model(), Delegate(_backend=backend))


def test_no_traceback_keeps_the_graph_alive() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("no")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError):
        new_interpreter(small_model(), delegate)
    assert delegate.error is not None
    assert delegate.error.__traceback__ is None


# --- Resizing ---


def test_resized_inputs_are_compiled_anew() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    reference = new_interpreter(small_model())
    for size in (12, 8, 16):
        for one in (interpreter, reference):
            one.resize_tensor_input(one.get_input_details()[0]["index"], [1, size, size, 3])
            one.allocate_tensors()
        before = backend.executions
        assert_close(run(interpreter), run(reference))
        assert backend.executions == before + 2
        assert delegate.partitions == ((0, 1), (3, 4))
        assert delegate.parts[0].graph.tensors[0].shape == (1, size, size, 3)
    assert [loaded.open for loaded in backend.loaded].count(True) == 2


def test_resizing_before_the_first_allocation() -> None:
    backend = FakeBackend()
    arguments = {"experimental_delegates": [Delegate(_backend=backend)]}
    interpreter = litert.interpreter_class()(model_content=small_model(), **arguments)
    reference = litert.interpreter_class()(model_content=small_model())
    for one in (interpreter, reference):
        one.resize_tensor_input(one.get_input_details()[0]["index"], [2, 12, 8, 3])
        one.allocate_tensors()
    assert_close(run(interpreter), run(reference))
    assert backend.executions == 2


def test_a_resize_that_can_not_be_compiled_is_an_error() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    backend.compile_error = Unsupported("too wide")
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, 80, 80, 3])
    with pytest.raises(RuntimeError, match="too wide"):
        interpreter.allocate_tensors()
    assert delegate.partitions == ()
    assert delegate.error is backend.compile_error


def test_allocating_again_does_not_compile_again() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    expected = run(interpreter)
    interpreter.allocate_tensors()
    assert np.array_equal(run(interpreter), expected)
    assert len(backend.loaded) == 2
