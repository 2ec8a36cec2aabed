"""Per-channel weights become one scale a layer; what stays the same, what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from per_channel_models import Network, inverted_residuals

from lapilli.compiler.units.calibration import Calibration, synthetic
from lapilli.compiler.units.options import BEST, FAST, OFF, unit_options
from lapilli.compiler.units.report import Loss
from lapilli.compiler.units.requantise import Requantised, requantise_graph
from lapilli.errors import ModelError, UsageError
from lapilli.model import tflite
from lapilli.model.graph import Graph, Operator
from lapilli.reference.executor import execute
from lapilli.reference.node import Rounding

NAIVE = replace(FAST, steps=0)
"""One scale a layer as it stands, and corrected biases."""


def requantised(data: bytes, options: object = FAST) -> tuple[Graph, Requantised]:
    graph = tflite.parse(data, "model")
    return graph, requantise_graph(graph, [range(len(graph.operators))], Calibration(), options)  # type: ignore[arg-type]


def loss_of(found: Requantised) -> Loss:
    assert found.loss is not None
    return found.loss


def noise(graph: Graph, other: Graph) -> float:
    """Mean square difference of the outputs on samples that nothing was fitted to."""
    inputs = {i: synthetic(graph.tensors[i], 32, seed=99) for i in graph.inputs}
    first, second = (
        execute(each, inputs, rounding=Rounding.EXACT)[graph.outputs[0]].astype(float)
        for each in (graph, other)
    )
    return float(((first - second) ** 2).mean())


@pytest.mark.parametrize("seed", [2, 3])
def test_units_make_less_noise_than_one_scale_as_it_stands(seed: int) -> None:
    data = inverted_residuals(seed, spread=100.0)
    graph, naive = requantised(data, NAIVE)
    _, fast = requantised(data, FAST)
    _, best = requantised(data, BEST)
    assert loss_of(fast).noise_after < loss_of(fast).noise_before
    assert noise(graph, fast.graph) < noise(graph, naive.graph)
    assert noise(graph, best.graph) < noise(graph, naive.graph)


def test_only_weights_and_biases_change_and_all_weights_have_one_scale() -> None:
    graph, found = requantised(inverted_residuals(1))
    assert found.graph.operators == graph.operators
    assert (found.graph.inputs, found.graph.outputs) == (graph.inputs, graph.outputs)
    constants = {t for o in graph.operators for t in o.inputs if graph.tensors[t].data is not None}
    for before, after in zip(graph.tensors, found.graph.tensors, strict=True):
        if before.index not in constants:
            assert after is before
            continue
        assert after.quantization is not None and len(after.quantization.scales) == 1
        assert (after.shape, after.dtype, after.name) == (before.shape, before.dtype, before.name)


def one_layer(scales: list[float], weights: np.ndarray | None = None) -> bytes:
    network = Network(0, 4.0)
    count = len(scales)
    made = network.convolution(network.image, count, 3, scales=scales, weights=weights)
    return network.build(made)


@pytest.mark.parametrize(
    "ratios",
    [(1, 2, 4, 1), (1, 1 + 2.0**-14, 1 - 2.0**-14, 1), (3, 1, 2, 4)],
    ids=["powers of two", "nearly equal", "whole multiples"],
)
def test_scales_that_have_one_in_common_lose_nothing(ratios: tuple[float, ...]) -> None:
    scales = [float(np.float32(0.01 * ratio)) for ratio in ratios]
    weights = np.random.default_rng(0).integers(-31, 32, (4, 3, 3, 3)).astype(np.int8)
    graph, found = requantised(one_layer(scales, weights))
    assert all(layer.exact for layer in loss_of(found).layers)
    assert "exact" in loss_of(found).line
    tolerance = 0.0 if all(ratio == int(ratio) for ratio in ratios) else 0.01
    assert noise(graph, found.graph) <= tolerance


def test_weights_that_would_not_fit_are_rounded() -> None:
    scales = [0.01, 0.02, 0.04, 0.01]
    weights = np.full((4, 3, 3, 3), 60, np.int8)
    _, found = requantised(one_layer(scales, weights))
    assert not loss_of(found).layers[0].exact


@pytest.mark.parametrize("scale", [1e-9, 1e3])
def test_a_dead_channel_decides_no_scale(scale: float) -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    weights[2] = 0
    alive = [0.01, 0.013, 0.02, 0.017]
    graph, with_dead = requantised(one_layer([0.01, 0.013, scale, 0.017], weights))
    _, without = requantised(one_layer(alive, weights))
    kernel = graph.operators[0].inputs[1]
    first, second = (found.graph.tensors[kernel] for found in (with_dead, without))
    assert first.quantization == second.quantization
    np.testing.assert_array_equal(first.data, second.data)


def test_a_model_of_one_scale_a_tensor_is_left_as_it_is() -> None:
    network = Network(0, 1.0)
    made = network.convolution(network.image, 4, 3, scales=[0.01] * 4)
    graph, found = requantised(network.build(made))
    assert found.graph is graph and found.loss is None


def test_off_changes_nothing() -> None:
    graph, found = requantised(inverted_residuals(1), OFF)
    assert found.graph is graph and found.loss is None


def test_where_plain_rounding_costs_little_there_are_no_units() -> None:
    _, found = requantised(inverted_residuals(0, spread=1.2), BEST)
    assert not loss_of(found).units


def test_the_user_s_samples_are_what_is_looked_at() -> None:
    data = inverted_residuals(1, spread=100.0)
    graph = tflite.parse(data, "model")
    image = graph.inputs[0]
    part = [range(len(graph.operators))]
    dark = np.full((4, *graph.tensors[image].shape), -128, np.int8)
    found = requantise_graph(graph, part, Calibration({image: dark}, "pictures"), FAST)
    assert loss_of(found).samples == 4 and loss_of(found).source == "pictures"
    made_up = requantise_graph(graph, part, Calibration(), FAST)
    kernels = [o.inputs[1] for o in graph.operators if o.kind == "CONV_2D"]
    assert any(
        not np.array_equal(found.graph.tensors[k].data, made_up.graph.tensors[k].data)
        for k in kernels
    )


def test_samples_for_another_input_are_refused() -> None:
    graph = tflite.parse(inverted_residuals(1), "model")
    with pytest.raises(ModelError, match="calibration without input 'input'"):
        requantise_graph(graph, [range(len(graph.operators))], Calibration({}), FAST)


def test_the_loss_is_one_line() -> None:
    _, found = requantised(inverted_residuals(1))
    line = loss_of(found).line
    assert "\n" not in line and line.startswith("per-channel weights in 9 jobs: about ")
    assert line.endswith(" on 6 synthetic views")


def test_ways_are_named() -> None:
    assert unit_options("fast") is FAST and unit_options("best") is BEST
    assert unit_options("groups=4").jobs == 4
    for wrong in ("", "quick", "FAST", "groups", "groups=0", "groups=17", "groups=-1"):
        with pytest.raises(UsageError, match="fast, best, groups=N, off"):
            unit_options(wrong)


def test_more_jobs_make_less_noise() -> None:
    data = inverted_residuals(2, spread=100.0)
    graph, one = requantised(data, replace(BEST, jobs=1))
    _, four = requantised(data, unit_options("groups=4"))
    assert loss_of(four).jobs > loss_of(one).jobs == 9
    assert max(layer.jobs for layer in loss_of(four).layers) <= 4
    assert noise(graph, four.graph) < 0.5 * noise(graph, one.graph)


def test_layers_in_several_jobs_are_named_with_the_reason() -> None:
    _, asked = requantised(inverted_residuals(2, spread=100.0), unit_options("groups=3"))
    several = [layer for layer in loss_of(asked).layers if layer.jobs > 1]
    line = loss_of(asked).in_several_jobs
    assert line.startswith("layers in several jobs, as asked for: ")
    assert all(f"{layer.operator} {layer.kind} ({layer.jobs})" in line for layer in several[:1])
    assert ("and" in line) == (len(several) > 6)
    chosen = replace(loss_of(asked), mode="best").in_several_jobs
    assert "where that takes most noise away for the time it costs" in chosen
    _, one = requantised(inverted_residuals(2, spread=100.0), FAST)
    assert loss_of(one).in_several_jobs == ""


def test_a_job_s_outputs_stand_side_by_side() -> None:
    graph, found = requantised(inverted_residuals(2, spread=100.0), unit_options("groups=3"))
    for layer, operator in zip(loss_of(found).layers, with_weights(found.graph), strict=True):
        kernel = found.graph.tensors[operator.inputs[1]].quantization
        assert kernel is not None
        scales = np.array(kernel.scales)
        assert 1 + np.count_nonzero(np.diff(scales)) == len(set(kernel.scales)) == layer.jobs
    assert found.graph.operators == graph.operators


def with_weights(graph: Graph) -> list[Operator]:
    return [operator for operator in graph.operators if operator.kind != "ADD"]


def test_what_is_in_jobs_already_is_left_as_it_is() -> None:
    _, found = requantised(inverted_residuals(2, spread=100.0), unit_options("groups=3"))
    graph = found.graph
    again = requantise_graph(graph, [range(len(graph.operators))], Calibration(), BEST)
    assert again.graph is graph and again.loss is None


def test_more_jobs_are_chosen_by_what_they_take() -> None:
    data = inverted_residuals(2, spread=100.0)
    graph = tflite.parse(data, "model")
    part = [range(len(graph.operators))]
    free = requantise_graph(graph, part, Calibration(), BEST, lambda position, jobs: 100.0 + jobs)
    dear = requantise_graph(graph, part, Calibration(), BEST, lambda position, jobs: 100.0 * jobs)
    assert loss_of(free).jobs > loss_of(dear).jobs == 9
