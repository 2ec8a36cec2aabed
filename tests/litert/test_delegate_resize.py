"""Inputs that are resized, to what the NPU takes and to what it doesn't, and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fake_npu import Array, FakeBackend, OneImage, assert_close, new_interpreter, run
from models import ModelBuilder

from lapilli.litert.delegate import Delegate

BACK_AND_FORTH = (
    [(1, 9, 9, 3), (2, 8, 8, 3), (1, 8, 8, 3)],
    [(2, 8, 8, 3), (1, 8, 8, 3), (2, 8, 8, 3), (1, 9, 9, 3)],
    [(2, 8, 8, 3), (3, 8, 8, 3), (1, 8, 8, 3)],
)


def model(softmax: bool = False) -> bytes:
    """A convolution, all of it on the NPU; or with a SOFTMAX behind it, for the CPU."""
    random = np.random.default_rng(5)
    model = ModelBuilder()
    model.signature = "serve"
    x = model.input((1, 8, 8, 3), 0.02, 128)
    weights = random.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
    made = model.conv(x, weights, random.integers(-500, 500, 4), 0.01, 120, 0.05, 100)
    if softmax:
        result = model.tensor((1, 8, 8, 4), 1 / 256, 0)
        model.operator("SOFTMAX", [made], [result], ("SoftmaxOptions", {"Beta": 1.0}))
        made = result
    return model.build([made])


def resized(interpreter: Any, shape: Sequence[int]) -> Array:
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()
    return run(interpreter)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("shapes", BACK_AND_FORTH)
def test_what_the_npu_does_not_take_runs_on_the_cpu_and_then_on_the_npu_again(
    shapes: Sequence[Sequence[int]], softmax: bool
) -> None:
    backend = OneImage()
    delegate = Delegate(_backend=backend)
    ours, reference = new_interpreter(model(softmax), delegate), new_interpreter(model(softmax))
    for shape in shapes:
        before = backend.executions
        assert_close(resized(ours, shape), resized(reference, shape))
        on_npu = shape[0] == 1
        assert backend.executions == before + on_npu
        assert bool(delegate.partitions) == on_npu
    assert [loaded.open for loaded in backend.loaded].count(True) == (shapes[-1][0] == 1)


def test_a_signature_runner_that_is_given_another_batch_once() -> None:
    backend = OneImage()
    delegate = Delegate(_backend=backend)
    runners = [
        new_interpreter(model(), *chosen).get_signature_runner("serve")
        for chosen in ((delegate,), ())
    ]
    for batch in (1, 2, 1, 3, 1):
        name = next(iter(runners[0].get_input_details()))
        shape = (batch, 8, 8, 3)
        image = np.random.default_rng(batch).integers(0, 256, shape).astype(np.uint8)
        ours, theirs = (next(iter(runner(**{name: image}).values())) for runner in runners)
        assert_close(ours, theirs)
        assert bool(delegate.partitions) == (batch == 1)


def test_a_model_does_not_stay_on_the_cpu_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    delegate = Delegate(_backend=OneImage())
    interpreter = new_interpreter(model(), delegate)
    with caplog.at_level(logging.WARNING):
        resized(interpreter, (1, 9, 9, 3))
        assert not caplog.records
        resized(interpreter, (2, 8, 8, 3))
    assert "only a batch of 1" in caplog.text
    assert "none of 1 operators" in caplog.text


def test_a_model_of_which_the_npu_takes_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        new_interpreter(model(), Delegate(_backend=FakeBackend(kinds=())))
    assert "the NPU takes none of 1 operators; operator 0 (CONV_2D): no CONV_2D here" in caplog.text
