"""What the delegate takes, and what comes back. Compiler and device are numpy here, except in the
last group.

Runs with any runtime that ``lapilli.litert.runtime`` finds, as all ``test_delegate*.py`` do;
``tools/check_runtimes.py`` tries all versions.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fake_npu import (
    FakeBackend,
    assert_close,
    delegated_outputs,
    new_interpreter,
    run,
    small_model,
)
from models import ModelBuilder
from random_graphs import RandomGraph
from shared_data import shared_data

from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.litert.delegate import Delegate

# --- What runs where ---


def test_supported_operators_run_on_the_npu_and_the_rest_on_the_cpu() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    result = run(interpreter)
    assert delegate.partitions == ((0, 1), (3, 4))
    assert [verdict.supported for verdict in delegate.verdicts] == [True, True, False, True, True]
    assert delegate.verdicts[2].reason == "no SOFTMAX here"
    assert backend.executions == 2
    assert_close(result, run(new_interpreter(small_model())))
    assert len(np.unique(result)) > 8  # a picture, not a constant
    assert delegate.parts == tuple(loaded.part for loaded in backend.loaded)
    assert delegate.compile_seconds > 0
    assert delegate.error is None


def test_everything_on_the_npu() -> None:
    delegate = Delegate(_backend=FakeBackend(), strict=True)
    model = ModelBuilder()
    x = model.input((1, 4, 4, 2), 0.1, 3)
    data = model.build([model.add(x, x, 0.2, 3)])
    interpreter = new_interpreter(data, delegate)
    assert_close(run(interpreter), run(new_interpreter(data)), 1)
    details = interpreter.get_output_details()[0]
    assert delegate.partitions == ((0,),)
    assert delegated_outputs(interpreter) == [[details["index"]]]
    assert details["name"] == "tensor1"


def test_nothing_on_the_npu() -> None:
    backend = FakeBackend(kinds=())
    delegate = Delegate(_backend=backend)
    result = run(new_interpreter(small_model(), delegate))
    assert (delegate.partitions, delegate.parts, backend.executions) == ((), (), 0)
    assert np.array_equal(result, run(new_interpreter(small_model())))


def test_the_default_cpu_delegate_comes_second_and_gets_what_is_left() -> None:
    delegate = Delegate(_backend=FakeBackend())
    interpreter = new_interpreter(small_model(), delegate)
    (first,), (second,) = (part.outputs for part in delegate.parts)
    (logistic,) = delegate.parts[1].inputs
    outputs = delegated_outputs(interpreter)
    assert outputs[:2] == [[first], [second]]
    assert outputs[2:] in ([], [[logistic]])  # tflite-runtime's XNNPACK takes no uint8


def test_constants_are_not_copied_at_each_invocation() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    run(interpreter)
    first, second = backend.loaded
    assert [len(first.written), len(second.written)] == [1, 1]
    assert tuple(first.written) == first.part.inputs
    assert tuple(second.written) == second.part.inputs


def test_tensors_are_copied_once_between_litert_s_memory_and_the_device() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    run(interpreter)
    first, second = backend.loaded
    borders = [(part, t) for part in (first, second) for t in part.addresses]
    assert len(borders) >= 4
    for part, tensor in borders:
        assert part.addresses[tensor] == interpreter.tensor(tensor)().ctypes.data


def test_a_tensor_inside_a_partition_that_is_a_model_output_comes_back() -> None:
    random = np.random.default_rng(1)
    model = ModelBuilder()
    x = model.input((1, 4, 4, 3), 0.02, 128)
    kernels = random.integers(0, 256, (3, 1, 1, 3)).astype(np.uint8)
    first = model.conv(x, kernels, np.zeros(3), 0.01, 120, 0.05, 100)
    second = model.conv(first, kernels, np.zeros(3), 0.01, 120, 0.05, 100)
    data = model.build([second, first])
    backend = FakeBackend()
    interpreter = new_interpreter(data, Delegate(_backend=backend))
    expected = new_interpreter(data)
    run(interpreter), run(expected)
    assert set(backend.graphs[0].outputs) == {first, second}
    for details in interpreter.get_output_details():
        index = details["index"]
        assert_close(interpreter.get_tensor(index), expected.get_tensor(index))


def test_small_partitions_can_be_left_to_the_cpu() -> None:
    chosen = FakeBackend(choose=lambda operator: operator.index in (0, 1, 3))
    delegate = Delegate(_backend=chosen, min_partition=2)
    run(new_interpreter(small_model(), delegate))
    assert delegate.partitions == ((0, 1),)
    delegate = Delegate(_backend=FakeBackend(), min_partition=3)
    run(new_interpreter(small_model(), delegate))
    assert delegate.partitions == ()


def test_no_partition_is_smaller_than_asked_for_in_any_graph() -> None:
    """Whatever is given up joins the CPU's operators, which joins cuts and splits none."""
    given_up = 0
    for seed in range(40):
        model = RandomGraph(seed).model()
        wanted = np.random.default_rng(seed).random(100) < 0.6
        delegates = []
        for least in (1, 3):
            some = FakeBackend(choose=lambda operator, wanted=wanted: wanted[operator.index])
            delegates.append(Delegate(_backend=some, min_partition=least))
            new_interpreter(model, delegates[-1])
        cut, kept = (set(delegate.partitions) for delegate in delegates)
        assert {i for part in kept for i in part} == {i for p in cut if len(p) > 2 for i in p}
        assert all(len(part) > 2 for part in kept)
        given_up += len(cut) > len(kept)
    assert given_up > 10


def test_preserve_all_tensors_still_works() -> None:
    arguments = {"experimental_preserve_all_tensors": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions warn that it takes memory
        interpreter = new_interpreter(small_model(), Delegate(_backend=FakeBackend()), **arguments)
    assert_close(run(interpreter), run(new_interpreter(small_model())))


# --- Options ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"devise": "auto"}, "unknown option 'devise'; options are device (str), schedule"),
        ({"schedule": "fast"}, "schedule is one of best, reference, not 'fast'"),
        ({"strict": "yes"}, "strict is True or False, not 'yes'"),
        ({"min_partition": 0}, "min_partition is an integer of 1 or more, not 0"),
        ({"min_partition": "2"}, "min_partition is an integer of 1 or more, not '2'"),
        ({"device": 3}, "device is a name such as 'emulator:a311d' or 'auto', not 3"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(options: Mapping[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as raised:
        Delegate(_backend=FakeBackend(), **options)
    assert isinstance(raised.value, UsageError)


def test_strict_refuses_a_model_with_operators_for_the_cpu() -> None:
    delegate = Delegate(_backend=FakeBackend(), strict=True)
    text = r"strict: 1 of 5 operators .* CPU; operator 2 \(SOFTMAX\): no SOFTMAX here"
    with pytest.raises(RuntimeError, match=text):
        new_interpreter(small_model(), delegate)
    assert isinstance(delegate.error, Unsupported)
    assert [verdict.supported for verdict in delegate.verdicts].index(False) == 2
    assert delegate.partitions == ()


def test_strict_counts_partitions_that_are_too_small() -> None:
    backend = FakeBackend(choose=lambda operator: True)
    delegate = Delegate(_backend=backend, strict=True, min_partition=6)
    with pytest.raises(
        RuntimeError,
        match=r"An NPU part must have at least 6 operators \(min_partition\). Found: a part of 5",
    ):
        new_interpreter(small_model(), delegate)


# --- With the real compiler and the emulator ---


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("emulator:a311e", UsageError, "unknown device 'emulator:a311e'"),
        ("/dev/dri/no_such_node", DeviceError, "no such device node"),
    ],
)
def test_a_wrong_device_fails_at_once(device: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Delegate(device=device)


# Small ones of each kind: convolutions of 1 and 3, with stride, depthwise, an addition.
OPERATORS = ("conv2d", "mb12", "mb13", "mb14", "mb24", "mb26")


@pytest.mark.parametrize("schedule", ["reference", "best"])
@pytest.mark.parametrize("name", OPERATORS)
def test_single_operators_give_the_cpus_values(name: str, schedule: str) -> None:
    pytest.importorskip("lapilli.emulator.machine")
    model = (shared_data() / "models" / "ops" / f"{name}.tflite").read_bytes()
    delegate = Delegate(device="emulator:a311d", schedule=schedule, strict=True)
    result = run(new_interpreter(model, delegate))
    assert delegate.partitions == ((0,),)
    assert_close(result, run(new_interpreter(model)), 1)


def test_a_partitioned_model_on_the_emulator() -> None:
    pytest.importorskip("lapilli.emulator.machine")
    delegate = Delegate(device="emulator:a311d")
    result = run(new_interpreter(small_model(), delegate))
    assert any(verdict.supported for verdict in delegate.verdicts)
    assert not all(verdict.supported for verdict in delegate.verdicts)
    assert_close(result, run(new_interpreter(small_model())))
