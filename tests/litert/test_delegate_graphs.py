"""Whole models through the delegate with the real compiler and the emulated A311D.

What the delegate does around them is in test_delegate.py, random graphs are in test_grid.py.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases import Array, issue_grid
from comparing import CHIP, compare, run_litert
from models import ModelBuilder
from patience import PATIENCE

from lapilli.compiler.stages import compile_part
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite

DEVICE = "emulator:a311d"
CHANNELS = 12


def residual_model(seed: int, size: int = 10) -> bytes:
    """A convolution, a depthwise one with stride 2 and their sum with a branch, all for the NPU."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Array:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    model = ModelBuilder()
    x = model.input((1, size, size, 5), 0.02, 128)
    bias = rng.integers(-9000, 9000, CHANNELS)
    first = model.conv(x, weights(CHANNELS, 3, 3, 5), bias, 0.004, 125, 0.05, 110)
    deep = model.depthwise(first, weights(1, 3, 3, CHANNELS), bias, 0.004, 130, 0.06, 120, stride=2)
    kernels = weights(CHANNELS, 1, 1, CHANNELS)
    branch = model.conv(first, kernels, bias, 0.004, 128, 0.06, 125, stride=2)
    return model.build([model.add(deep, branch, 0.1, 120)])


def interpreter_for(model: bytes, delegate: Delegate | None) -> Any:
    found = litert.interpreter_class()(
        model_content=model,
        num_threads=1,
        experimental_delegates=[delegate] if delegate is not None else None,
    )
    found.allocate_tensors()
    return found


def infer(interpreter: Any, image: Array) -> Array:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


def image(seed: int, size: int = 10) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (1, size, size, 5), dtype=np.uint8)


def emulators() -> int:
    """Open devices; those of other tests are closed or referenced elsewhere too."""
    gc.collect()
    return sum(type(thing) is EmulatedDevice for thing in gc.get_objects())


def npu_alone(model: bytes, images: Sequence[Array]) -> list[Array]:
    """What the NPU gives when nothing else runs."""
    interpreter = interpreter_for(model, Delegate(device=DEVICE, strict=True))
    return [infer(interpreter, values) for values in images]


# --- Several at once ---


@pytest.mark.parametrize("shared", [True, False])
def test_two_models_in_turns(shared: bool) -> None:
    models = [residual_model(seed) for seed in range(2)]
    images = [image(seed) for seed in range(3)]
    expected = [npu_alone(model, images) for model in models]
    assert not np.array_equal(expected[0][0], expected[1][0])
    delegate = Delegate(device=DEVICE)
    interpreters = [
        interpreter_for(model, delegate if shared else Delegate(device=DEVICE)) for model in models
    ]
    for number, values in enumerate(images):
        for interpreter, results in zip(interpreters, expected, strict=True):
            assert np.array_equal(infer(interpreter, values), results[number])


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """``work(0)``, ``work(1)`` … at the same time; what one raises is raised."""
    failures: list[BaseException] = []

    def attempt(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("shared", [True, False])
def test_the_same_model_in_two_threads(shared: bool) -> None:
    model = residual_model(0)
    images = [image(seed) for seed in range(10)]
    expected = npu_alone(model, images)
    common = Delegate(device=DEVICE)

    def work(number: int) -> None:
        interpreter = interpreter_for(model, common if shared else Delegate(device=DEVICE))
        for values, result in list(zip(images, expected, strict=True))[:: 1 - 2 * number]:
            assert np.array_equal(infer(interpreter, values), result)

    in_threads(2, work)


def test_threads_load_run_and_unload_on_one_device() -> None:
    """Buffers are allocated and freed while other threads' jobs run."""
    graph = tflite.parse(residual_model(0), "residual")
    part = compile_part(graph, range(len(graph.operators)), CHIP)
    (source,), (result,) = graph.inputs, graph.outputs
    expected = npu_alone(residual_model(0), [image(number) for number in range(4)])
    device = EmulatedDevice(CHIP)

    def work(number: int) -> None:
        for _ in range(60):
            with LoadedPart(device, part) as loaded:
                found = loaded.run({source: image(number)})[result]
            assert np.array_equal(found, expected[number])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(4, work)
    finally:
        sys.setswitchinterval(before)


# --- Shapes ---


def test_resized_inputs() -> None:
    """Larger, smaller and back; weights stay, everything that depends on the size is new."""
    model = residual_model(3)
    delegate = Delegate(device=DEVICE, strict=True)
    interpreter, cpu = interpreter_for(model, delegate), interpreter_for(model, None)
    for size in (10, 17, 1, 4, 10):
        for each in (interpreter, cpu):
            index = each.get_input_details()[0]["index"]
            each.resize_tensor_input(index, (1, size, size, 5))
            each.allocate_tensors()
        values = image(size, size)
        found, expected = infer(interpreter, values), infer(cpu, values)
        assert found.shape == (1, -(-size // 2), -(-size // 2), CHANNELS)
        # Three operators after one another.
        assert compare(found, expected).worst <= 3
        assert len(delegate.partitions) == 1


# --- What runs where ---


def test_everything_on_the_npu_is_one_partition() -> None:
    model = residual_model(1)
    delegate = Delegate(device=DEVICE, strict=True)
    found = infer(interpreter_for(model, delegate), image(1))
    assert delegate.partitions == ((0, 1, 2, 3),)
    assert compare(found, run_litert(model, [image(1)])[0]).worst <= 3


def test_nothing_on_the_npu_gives_the_cpus_values() -> None:
    model = ModelBuilder()
    x = model.input((1, 6, 6, 5), 0.02, 128)
    y = model.tensor((1, 6, 6, 5), 1 / 256, 0)
    model.operator("SOFTMAX", [x], [y], ("SoftmaxOptions", {"Beta": 1.0}))
    data = model.build([y])
    delegate = Delegate(device=DEVICE)
    found = infer(interpreter_for(data, delegate), image(1, 6))
    assert (delegate.partitions, delegate.parts) == ((), ())
    assert [verdict.supported for verdict in delegate.verdicts] == [False]
    assert delegate.verdicts[0].reason
    assert np.array_equal(found, run_litert(data, [image(1, 6)])[0])


def test_schedules_give_the_same_convolutions_up_to_a_rounding() -> None:
    for case in issue_grid(12):
        found = [
            infer(interpreter_for(case.model(), Delegate(device=DEVICE, schedule=name)), feed)
            for name in ("reference", "best")
            for feed in case.feed()
        ]
        assert compare(*found).worst <= 1


# --- Lifetime ---


def test_the_device_is_freed_when_the_delegate_goes_first() -> None:
    before = emulators()
    delegate = Delegate(device=DEVICE)
    interpreter = interpreter_for(residual_model(0), delegate)
    expected = infer(interpreter, image(0))
    delegate.close()
    del delegate
    assert emulators() == before + 1
    assert np.array_equal(infer(interpreter, image(0)), expected)
    del interpreter
    assert emulators() == before


def test_the_device_is_freed_when_the_interpreter_goes_first() -> None:
    before = emulators()
    delegate = Delegate(device=DEVICE)
    interpreter = interpreter_for(residual_model(0), delegate)
    expected = infer(interpreter, image(0))
    del interpreter
    again = interpreter_for(residual_model(0), delegate)
    assert np.array_equal(infer(again, image(0)), expected)
    del again, delegate
    assert emulators() == before
