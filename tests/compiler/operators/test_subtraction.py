"""Subtractions: their weights, and models that have them, against LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from comparing import CHIPS, SCHEDULES, Array, compare, device, run_litert
from models import ModelBuilder
from rule_checks import chip
from shared_data import shared_data

from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.generations import generation_of
from lapilli.compiler.stages import compile_graph
from lapilli.device.runner import LoadedPart
from lapilli.diff.layers import diff
from lapilli.litert import runtime
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import Quantization

MODELS = ("subeven_u8", "subtall_u8", "subwide_u8", "subrev_u8", "subrelu_u8", "subnet_u8")


def scales(first: float, second: float, output: float) -> AdditionScales:
    quantizations = [
        Quantization((scale,), (zero_point,))
        for scale, zero_point in ((first, 10), (second, 30), (output, 128))
    ]
    return AdditionScales(quantizations[0], quantizations[1], quantizations[2], subtract=True)


def on_the_emulator(model: bytes, inputs: Sequence[Array], name: str) -> Array:
    """The output of a model that the NPU does as a whole."""
    graph = tflite.parse(model, "model")
    (part,) = compile_graph(graph, chip(name)).parts
    with LoadedPart(device(name), part) as loaded:
        return loaded.run(dict(zip(graph.inputs, inputs, strict=True)))[graph.outputs[0]]


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.013, 3.7, 80.0])
def test_both_weights_are_bytes_around_one_zero_point(ratio: float, name: str) -> None:
    wanted = scales(0.1, 0.1 * ratio, 0.1 * (1 + ratio))
    numbers = generation_of(chip(name)).addition_numbers(wanted, True)
    assert numbers.first > 0 > numbers.second
    assert 0 <= numbers.zero_point + numbers.second <= numbers.zero_point + numbers.first <= 255
    assert numbers.bias == numbers.second * (10 - 30)
    assert requantise.addition_error(numbers, wanted, numbers.scale) < 0.05


def test_equal_scales_are_exact() -> None:
    numbers = requantise.closest_addition(scales(0.1, 0.1, 0.1), lambda scale: scale)
    assert (numbers.first, numbers.second) == (1, -1)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("model", MODELS)
def test_models_with_subtractions(model: str, schedule: str, name: str) -> None:
    path: Path = shared_data() / "newer" / "models" / f"{model}.tflite"
    found = diff(path, f"emulator:{name}", schedule=schedule)
    assert all(layer.part is not None for layer in found.layers)
    assert found.first_over(alone=True) is None


@pytest.mark.parametrize("name", CHIPS)
def test_a_tensor_minus_itself_is_zero(name: str) -> None:
    """The second operand is a copy behind the first."""
    builder = ModelBuilder()
    x = builder.input((1, 5, 7, 3), 0.1, 17)
    model = builder.build([builder.subtract(x, x, 0.3, 200)])
    (part,) = compile_graph(tflite.parse(model, "self"), chip(name)).parts
    assert [job.kind for job in part.jobs] == ["copy", "subtraction"]
    given = np.arange(105, dtype=np.uint8).reshape(1, 5, 7, 3)
    assert (on_the_emulator(model, [given], name) == 200).all()


@pytest.mark.parametrize("name", CHIPS)
def test_a_fused_relu_cuts_at_the_output_zero_point(name: str) -> None:
    builder = ModelBuilder()
    first, second = (builder.input((1, 4, 4, 16), 0.1, 128) for _ in range(2))
    model = builder.build([builder.subtract(first, second, 0.2, 90, activation="RELU")])
    given = [np.arange(256, dtype=np.uint8).reshape(1, 4, 4, 16) for _ in range(2)]
    given[1] = given[1][:, ::-1, ::-1, ::-1].copy()
    found = on_the_emulator(model, given, name)
    assert found.min() == 90
    assert compare(found, run_litert(model, given)[0]).worst <= 1


def test_the_delegate_takes_it_with_its_activation() -> None:
    """What the runtime tells of a SUB is what the file says of it."""
    builder = ModelBuilder()
    first, second = (builder.input((1, 2, 2, 2), 0.1, 128) for _ in range(2))
    model = builder.build([builder.subtract(first, second, 0.2, 90, activation="TANH")])
    delegate = Delegate(device="emulator:a311d")
    runtime.interpreter_class()(
        model_content=model, experimental_delegates=[delegate]
    ).allocate_tensors()
    (verdict,) = delegate.verdicts
    assert "fused activation" in verdict.reason
