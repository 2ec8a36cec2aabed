"""The noise formula, its derivatives, and the search that lowers it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from per_channel_models import inverted_residuals

from lapilli.compiler.units.calibration import synthetic
from lapilli.compiler.units.layers import layers_of
from lapilli.compiler.units.objective import Objective
from lapilli.compiler.units.optimise import Bounds, find_bounds, find_units
from lapilli.compiler.units.sensitivity import find_sensitivities
from lapilli.compiler.units.statistics import Statistics
from lapilli.compiler.units.ties import FIXED, find_ties
from lapilli.model import tflite
from lapilli.reference.executor import execute


@dataclass(frozen=True)
class Problem:
    objective: Objective
    bounds: Bounds


@pytest.fixture(scope="module")
def problem() -> Problem:
    graph = tflite.parse(inverted_residuals(seed=1, spread=100.0), "model")
    part = range(len(graph.operators))
    layers, ties = layers_of(graph, part), find_ties(graph, [part])
    inputs = {graph.inputs[0]: synthetic(graph.tensors[graph.inputs[0]], 4)}
    tensors = sorted(
        {t for layer in layers for t in (layer.source, layer.target)} | {*ties.classes}
    )
    statistics = Statistics(layers, tensors, 500)
    statistics.add(graph.inputs[0], inputs[graph.inputs[0]], 0, None)
    execute(graph, inputs, watch=statistics.watch)
    found = statistics.result()
    sensitivities = find_sensitivities(graph, layers, found)
    objective = Objective.of(graph, layers, ties, found, sensitivities)
    return Problem(objective, find_bounds(graph, ties, found, 1.5))


@pytest.mark.parametrize("power", [8.0, 24.0])
def test_the_slopes_are_those_of_the_value(problem: Problem, power: float) -> None:
    objective = problem.objective
    random = np.random.default_rng(0)
    logs = random.uniform(-0.3, 0.4, objective.classes)
    near = objective.near(logs, 40.0)
    _, slopes = objective.gradient(logs, near, power)
    step = 1e-5
    for chosen in random.integers(1, objective.classes, 30):
        ends = []
        for sign in (1.0, -1.0):
            moved = logs.copy()
            moved[chosen] += sign * step / np.log(2.0)
            ends.append(objective.gradient(moved, near, power)[0])
        assert slopes[chosen] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-3, abs=1e-7)


def test_weights_far_from_the_largest_do_not_change_the_value(problem: Problem) -> None:
    objective = problem.objective
    logs = np.zeros(objective.classes)
    values = [objective.gradient(logs, objective.near(logs, d), 8.0)[0] for d in (2.0, 40.0)]
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_the_search_lowers_the_noise_within_the_bounds(problem: Problem) -> None:
    objective, bounds = problem.objective, problem.bounds
    found = find_units(objective, bounds, 80)
    assert objective.value(found) < 0.7 * objective.value(np.zeros_like(found))
    assert (found >= bounds.low).all() and (found <= bounds.high).all()
    assert found[FIXED] == 0.0


def test_without_room_every_unit_stays_one(problem: Problem) -> None:
    closed = np.zeros(problem.objective.classes)
    assert not find_units(problem.objective, Bounds(closed, closed), 5).any()


def test_channels_that_use_their_bytes_get_no_finer_unit(problem: Problem) -> None:
    assert (problem.bounds.low <= 0.0).all()
    assert (problem.bounds.low > -3.0).any()
