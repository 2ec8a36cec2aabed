"""A tensor's memory need not be where it was: programs and the runtime may move it between two
invocations, without preparing anything anew."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fake_npu import (
    Array,
    FakeBackend,
    FakeVerdict,
    OneImage,
    assert_close,
    image_for,
    new_interpreter,
    run,
    small_model,
)

from lapilli.errors import DeviceError, Unsupported
from lapilli.litert import kernel
from lapilli.litert.delegate import Delegate
from lapilli.litert.kernel import Kernel
from lapilli.model.graph import Graph


class Moving:
    """An interpreter whose input and output a program has put elsewhere, as NNStreamer does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contexts: list[Any] = []
        invoke = Kernel.invoke

        def noted(one: Kernel, context: Any) -> None:
            self.contexts.append(context)
            invoke(one, context)

        monkeypatch.setattr(Kernel, "invoke", noted)
        self.delegate = Delegate(_backend=FakeBackend())
        self.interpreter = new_interpreter(small_model(), self.delegate)
        self.source = self.interpreter.get_input_details()[0]["index"]
        self.result = self.interpreter.get_output_details()[0]["index"]
        run(self.interpreter)

    def move(self, index: int, memory: Array) -> int:
        """Let a tensor lie in ``memory``; where it lay."""
        tensor = self.contexts[0].tensors[index]
        before = int(tensor.data)
        assert tensor.bytes == memory.nbytes
        tensor.data = memory.ctypes.data
        return before


def test_an_input_that_moved_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = Moving(monkeypatch)
    images = [image_for(moving.interpreter, seed) for seed in range(3)]
    plain = new_interpreter(small_model())
    home = moving.move(moving.source, images[0])
    details = moving.interpreter.get_output_details()[0]["index"]
    for image in images:
        moving.move(moving.source, image)
        moving.interpreter.invoke()
        assert_close(moving.interpreter.get_tensor(details), run(plain, image))
    # What moves back is read there again.
    moving.contexts[0].tensors[moving.source].data = home
    assert_close(run(moving.interpreter, images[1]), run(plain, images[1]))


def test_an_output_that_moved_is_written_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = Moving(monkeypatch)
    image = image_for(moving.interpreter, 5)
    expected = run(new_interpreter(small_model()), image)
    elsewhere = np.full_like(expected, 77)
    home = moving.move(moving.result, elsewhere)
    moving.interpreter.set_tensor(moving.source, image)
    moving.interpreter.invoke()
    assert_close(elsewhere, expected)
    at_home = np.ctypeslib.as_array((ctypes.c_uint8 * expected.size).from_address(home))
    before = at_home.copy()
    other = image_for(moving.interpreter, 6)
    moving.interpreter.set_tensor(moving.source, other)
    moving.interpreter.invoke()
    assert not np.array_equal(elsewhere, expected)
    assert np.array_equal(at_home, before), "nothing is written where it was"
    moving.contexts[0].tensors[moving.result].data = home


def test_a_tensor_without_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = Moving(monkeypatch)
    home = moving.contexts[0].tensors[moving.result].data
    moving.contexts[0].tensors[moving.result].data = None
    with pytest.raises(RuntimeError, match="has no memory"):
        moving.interpreter.invoke()
    assert isinstance(moving.delegate.error, DeviceError)
    moving.contexts[0].tensors[moving.result].data = home
    run(moving.interpreter)
    del moving
    gc.collect()


def test_a_shape_that_is_another_when_a_part_is_prepared_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runtimes apply a delegate anew then; one that doesn't must not run a part of other sizes."""
    asked: list[tuple[int, ...]] = []
    shape_of = kernel.values_of

    def grown(dims: Any) -> tuple[int, ...]:
        asked.append(shape_of(dims))
        first, *rest = asked[-1]
        return (first + 1, *rest)

    class Small(OneImage):
        """None at all of another size than the first."""

        def without_per_channel(self, graph: Graph) -> Sequence[FakeVerdict]:
            return [FakeVerdict(False, "too large") for _ in graph.operators]

    monkeypatch.setattr(kernel, "values_of", grown)
    delegate = Delegate(_backend=Small())
    with pytest.raises(RuntimeError, match=r"was \[1, 8, 8, 3\] .* and is \[2, 8, 8, 3\] now"):
        new_interpreter(small_model(), delegate)
    assert isinstance(delegate.error, Unsupported)
    assert asked[0] == (1, 8, 8, 3)
