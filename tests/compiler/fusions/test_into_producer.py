"""Clamps and rescalings behind a layer, which become part of it."""

from __future__ import annotations

from dataclasses import replace

import hand_graphs as by_hand
import numpy as np
import pytest
from comparing import CHIPS, SCHEDULES, compare, device, run_litert
from further_operators import extremum, quantize
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.fusions.into_producer import worst
from lapilli.compiler.stages import compile_graph
from lapilli.compiler.verdict import fused, judge_all
from lapilli.device.runner import LoadedPart
from lapilli.model import tflite
from lapilli.model.graph import Activation, Convolution, Quantization

BYTES = np.arange(256)


def convolution(builder: ModelBuilder, zero_point: int = 100, activation: str = "NONE") -> int:
    """Its output has steps of 0.02."""
    rng = np.random.default_rng(7)
    x = builder.input((1, 11, 9, 6), 0.02, 130)
    weights = rng.integers(0, 256, (13, 3, 3, 6), np.uint8)
    bias = rng.integers(-2000, 2000, 13)
    return builder.conv(x, weights, bias, 0.0012, 128, 0.02, zero_point, activation=activation)


def relu(builder: ModelBuilder, x: int, scale: float, zero_point: int = 0) -> int:
    y = builder.tensor((1, 11, 9, 13), scale, zero_point)
    builder.operator("RELU", [x], [y])
    return y


def jobs(model: bytes, name: str, schedule: str = "best") -> list[str]:
    (part,) = compile_graph(tflite.parse(model, "model"), chip(name), schedule).parts
    return [job.kind for job in part.jobs if "transpose" not in job.kind]


def difference(model: bytes, name: str, schedule: str) -> int:
    graph = tflite.parse(model, "model")
    (part,) = compile_graph(graph, chip(name), schedule).parts
    given = np.random.default_rng(3).integers(0, 256, (1, 11, 9, 6), np.uint8)
    with LoadedPart(device(name), part) as loaded:
        found = loaded.run({graph.inputs[0]: given})[graph.outputs[0]]
    assert len(np.unique(found)) > 20
    return compare(found, run_litert(model, [given])[0]).worst


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("scale", "zero_point"), [(0.02, 100), (0.02 * 155 / 255, 0), (0.0199, 99), (0.0121, 0)]
)
def test_a_relu_becomes_the_convolutions(
    scale: float, zero_point: int, schedule: str, name: str
) -> None:
    builder = ModelBuilder()
    model = builder.build([relu(builder, convolution(builder), scale, zero_point)])
    assert jobs(model, name, schedule) == ["convolution"]
    assert difference(model, name, schedule) <= 1


@pytest.mark.parametrize("name", CHIPS)
def test_a_quantize_becomes_the_convolutions(name: str) -> None:
    builder = ModelBuilder()
    model = builder.build([quantize(builder, convolution(builder), (0.015, 90))])
    assert jobs(model, name) == ["convolution"]
    assert difference(model, name, "best") <= 1


def test_a_minimum_and_a_relu_together_become_the_convolutions() -> None:
    """As a ReLU6 that a converter wrote in two halves."""
    builder = ModelBuilder()
    x = convolution(builder)
    high = builder.constant(np.array(255, np.uint8), 0.02, 100)
    model = builder.build([relu(builder, extremum(builder, "MINIMUM", x, high), 0.0122)])
    assert jobs(model, "a311d") == ["convolution"]
    assert difference(model, "a311d", "best") <= 1


def test_a_relu_behind_a_relu() -> None:
    builder = ModelBuilder()
    x = convolution(builder, 30, "RELU")
    model = builder.build([relu(builder, x, 0.02, 30)])
    assert jobs(model, "a311d") == ["convolution"]
    assert difference(model, "a311d", "best") == 0


@pytest.mark.parametrize(
    ("scale", "zero_point", "why"),
    [
        (0.03, 0, "the convolution clamps at 3.1, the ReLU does not"),
        (0.008, 0, "a step between is more than two steps behind"),
    ],
)
def test_what_would_be_more_than_one_off_stays(scale: float, zero_point: int, why: str) -> None:
    builder = ModelBuilder()
    model = builder.build([relu(builder, convolution(builder), scale, zero_point)])
    assert jobs(model, "a311d")[:2] == ["convolution", "relu"], why
    assert difference(model, "a311d", "best") <= 1


def test_a_tensor_that_others_read_stays() -> None:
    builder = ModelBuilder()
    x = convolution(builder)
    graph = tflite.parse(builder.build([relu(builder, x, 0.02, 100), x]), "two")
    assert fused(graph, chip()).folded == {}


def test_a_curve_is_no_clamp() -> None:
    builder = ModelBuilder()
    y = builder.tensor((1, 11, 9, 13), 1 / 128, 128)
    builder.operator("TANH", [convolution(builder)], [y])
    assert fused(tflite.parse(builder.build([y]), "curve"), chip()).folded == {}


def test_a_layer_that_the_npu_does_not_take_is_left_alone() -> None:
    builder = ModelBuilder()
    rng = np.random.default_rng(7)
    x = builder.input((1, 11, 9, 6), 0.02, 130)
    weights = rng.integers(0, 256, (13, 3, 3, 6), np.uint8)
    x = builder.conv(x, weights, None, 0.0012, 128, 0.02, 100, activation="TANH")
    graph = tflite.parse(builder.build([relu(builder, x, 0.02, 100)]), "curve")
    assert [verdict.supported for verdict in judge_all(graph, chip())] == [False, True]


def test_the_layer_gets_the_output_and_its_activation() -> None:
    graph = by_hand.convolution()
    tensors = (*graph.tensors, by_hand.tensor(4, "cut", (1, 8, 8, 6)))
    behind = replace(graph.operators[0], index=1, kind="RELU", inputs=(3,), outputs=(4,))
    two = replace(graph, tensors=tensors, operators=(*graph.operators, behind), outputs=(4,))
    found = fused(two, chip())
    (operator,) = found.graph.operators
    assert isinstance(operator.options, Convolution)
    assert (operator.outputs, operator.options.activation) == ((4,), Activation.RELU)
    assert (found.folded, found.gone) == ({1: 0}, {3})


# ------------------------------------------------------------------------------------ arithmetic


def quantization(scale: float, zero_point: int) -> Quantization:
    return Quantization((scale,), (zero_point,))


def rounded(between: Quantization, result: Quantization, low: int) -> np.ndarray:
    factor = between.scale / result.scale
    steps = np.floor((BYTES - between.zero_point) * factor + 0.5) + result.zero_point
    return np.clip(steps, low, 255).astype(np.uint8)


def test_the_same_steps_cost_no_more_than_the_npu_itself_may_be_off() -> None:
    same = quantization(0.1, 50)
    assert worst(rounded(same, same, 50), same, same, relu=False, clamped=True) == 1
    assert worst(BYTES.astype(np.uint8), same, same, relu=False, clamped=False) == 1


@pytest.mark.parametrize(("factor", "off"), [(1.0, 1), (1.5, 1), (1.9, 1), (2.1, 2), (3.0, 2)])
def test_two_roundings_are_within_one_of_one_up_to_a_factor_of_two(factor: float, off: int) -> None:
    between, result = quantization(0.1, 128), quantization(0.1 / factor, 128)
    wanted = rounded(between, result, 128)
    assert worst(wanted, between, result, relu=False, clamped=True) == off


def test_every_sum_is_within_what_is_promised() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        between = quantization(0.1, int(rng.integers(0, 256)))
        result = quantization(0.1 / rng.uniform(0.5, 3), int(rng.integers(0, 100)))
        wanted = rounded(between, result, result.zero_point)
        sums = rng.uniform(-400, 400, 20000)
        stored = np.clip(np.floor(sums + 0.5) + between.zero_point, 0, 255).astype(int)
        at_once = np.floor(sums * (between.scale / result.scale) + 0.5) + result.zero_point
        at_once = np.clip(at_once, result.zero_point, 255)
        off = np.abs(at_once - wanted[stored]).max()
        assert off <= worst(wanted, between, result, relu=False, clamped=True)
