"""Per-channel weights become one scale a layer: the steps in order. Read this file first.

    found = requantise_graph(graph, parts, calibration, unit_options("best"))

layers and ties -> statistics on samples -> sensitivity -> units -> rounding on the quantised
stream -> the rewritten graph and what it loses. The graph that comes out has the same operators in
the same places, and any later stage takes it as if it had been one scale a tensor always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lapilli.compiler.partition import readers_of, with_borders
from lapilli.compiler.units import margins, report
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.exact import exact_weights
from lapilli.compiler.units.fixed_order import Floats, Integers, power_of_two
from lapilli.compiler.units.layers import Layer, layers_of
from lapilli.compiler.units.objective import Objective
from lapilli.compiler.units.optimise import Bounds, find_bounds, find_units
from lapilli.compiler.units.options import UnitOptions
from lapilli.compiler.units.report import LayerLoss, Loss
from lapilli.compiler.units.rewrite import rewrite
from lapilli.compiler.units.sensitivity import find_sensitivities
from lapilli.compiler.units.statistics import Channels, Statistics, mixed
from lapilli.compiler.units.stream import LayerPlan, run_stream
from lapilli.compiler.units.ties import Ties, find_ties
from lapilli.compiler.units.witness import Witness
from lapilli.model.graph import Graph
from lapilli.reference.arithmetic import Array
from lapilli.reference.executor import execute
from lapilli.reference.node import Node, Rounding

SMALL_LOSS: Final = 1.0
"""Where plain rounding of weights makes less noise, by this factor, than the model's own bytes
make, channels keep units of 1."""
CLEAR_GAIN: Final = 4.0
"""Where units make less noise than plain rounding by this factor, they are not tried against it."""
_HELD_OUT: Final = 8
_HELD_OUT_SEED: Final = 7


@dataclass(frozen=True, eq=False)
class Requantised:
    """The graph with one scale for the weights of every layer in the parts, and what that costs;
    without a loss if no layer there had more."""

    graph: Graph
    loss: Loss | None


@dataclass(frozen=True, eq=False)
class _Task:
    """What is asked."""

    graph: Graph
    parts: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    exact: Mapping[int, tuple[float, Integers]]
    ties: Ties
    calibration: Calibration
    options: UnitOptions

    @property
    def borders(self) -> list[int]:
        """Tensors that leave the parts."""
        readers = readers_of(self.graph)
        found = {
            t
            for part in self.parts
            for t in with_borders(self.graph, part, readers=readers).outputs
        }
        return sorted(found)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """Units, and the graph that they give: the stream's values and its witness."""

    logs: Floats
    plans: tuple[LayerPlan, ...]
    graph: Graph
    outputs: Mapping[int, Array]
    witness: Witness


def requantise_graph(
    graph: Graph,
    parts: Sequence[Sequence[int]],
    calibration: Calibration,
    options: UnitOptions,
) -> Requantised:
    """``parts``: positions in ``graph.operators`` that one submit does each. Raises Unsupported if
    an operator that leads to a part is none that the reference executor knows."""
    chosen = tuple(tuple(part) for part in parts if _has_channels(layers_of(graph, part)))
    layers = tuple(layer for part in chosen for layer in layers_of(graph, part))
    if not layers or options.mode == "off":
        return Requantised(graph, None)
    exact = {layer.position: found for layer in layers if (found := exact_weights(layer))}
    task = _Task(graph, chosen, layers, exact, find_ties(graph, chosen), calibration, options)
    inputs = calibration.inputs(graph, options.samples)
    trust = margins.REAL if calibration.real else margins.SYNTHETIC
    witness = Witness(layers)
    statistics, outputs = _look(task, inputs, trust, witness)
    objective = _objective(task, statistics)
    best = _best_attempt(task, objective, statistics, trust, inputs, witness)
    return Requantised(best.graph, _loss(task, objective, best, outputs))


def _has_channels(layers: Sequence[Layer]) -> bool:
    return any(bool((layer.factors != layer.factors[0]).any()) for layer in layers)


def _look(
    task: _Task, inputs: Mapping[int, Array], trust: margins.Margins, witness: Witness
) -> tuple[Mapping[int, Channels], dict[int, Array]]:
    """(statistics of the original, its outputs)."""
    layers, graph = task.layers, task.graph
    tensors = {layer.source for layer in layers} | {layer.target for layer in layers}
    collector = Statistics(
        layers, sorted(tensors | set(task.ties.classes)), task.options.positions, trust.enlarged
    )
    for tensor, value in inputs.items():
        quantization = graph.tensors[tensor].quantization
        if tensor in tensors and quantization is not None:
            collector.add(tensor, value, quantization.zero_point, None)

    def watch(node: Node, results: tuple[Array, ...]) -> None:
        collector.watch(node, results)
        witness.original(node, results)

    outputs = execute(graph, inputs, rounding=Rounding.EXACT, watch=watch)
    return {t: mixed(channels) for t, channels in collector.result().items()}, outputs


def _objective(task: _Task, statistics: Mapping[int, Channels]) -> Objective:
    every = layers_of(task.graph, range(len(task.graph.operators)))
    sensitivities = find_sensitivities(task.graph, every, statistics)
    exact = frozenset(task.exact)
    return Objective.of(task.graph, task.layers, task.ties, statistics, sensitivities, exact)


def _best_attempt(
    task: _Task,
    objective: Objective,
    statistics: Mapping[int, Channels],
    trust: margins.Margins,
    inputs: Mapping[int, Array],
    witness: Witness,
) -> _Attempt:
    """With units if they are better than none: by the formula where that is clear or there is no
    time, else tried on samples of their own."""
    plain = np.zeros(task.ties.count)
    before = objective.weights_value(plain)
    bytes_alone = objective.channels_value(plain)
    found = plain
    if before > SMALL_LOSS * bytes_alone:
        bounds = find_bounds(task.graph, task.ties, statistics, trust.range)
        found = _search(task, objective, bounds)
    with_units = _attempt(task, objective, found, inputs, witness)
    # Both models round their bytes, and no longer alike.
    after = objective.value(found) + bytes_alone
    if not found.any() or not task.options.feedback or before > CLEAR_GAIN * after:
        return with_units
    without = _attempt(task, objective, plain, inputs, witness)
    noises = [_held_out_noise(task, attempt.graph) for attempt in (with_units, without)]
    return with_units if noises[0] < noises[1] else without


def _search(task: _Task, objective: Objective, bounds: Bounds) -> Floats:
    """Units; layers that lose nothing keep units of 1 if that is better for the whole."""
    found = find_units(objective, bounds, task.options.steps)
    if task.exact:
        pinned = find_units(objective, _pinned(objective, bounds), task.options.steps)
        if objective.value(pinned) < objective.value(found):
            return pinned
    return found


def _pinned(objective: Objective, bounds: Bounds) -> Bounds:
    """The bounds with units of 1 around layers that need no rounding."""
    low, high = bounds.low.copy(), bounds.high.copy()
    for term in objective.layers:
        if term.exact:
            for classes in (term.source, term.target):
                low[classes] = high[classes] = 0.0
    return Bounds(low, high)


def _attempt(
    task: _Task,
    objective: Objective,
    logs: Floats,
    inputs: Mapping[int, Array],
    witness: Witness,
) -> _Attempt:
    plans = tuple(_plan(task, objective, layer, logs) for layer in task.layers)
    own = witness.again()
    weights, outputs = run_stream(task.graph, plans, inputs, task.options, own.compare(plans))
    return _Attempt(logs, plans, rewrite(task.graph, weights), outputs, own)


def _plan(task: _Task, objective: Objective, layer: Layer, logs: Floats) -> LayerPlan:
    units = power_of_two(logs)
    source = units[task.ties.of(layer.source, task.graph.tensors[layer.source].shape[-1])]
    target = units[task.ties.of(layer.target, layer.outputs)]
    plain = bool((source == 1.0).all() and (target == 1.0).all())
    term = next(term for term in objective.layers if term.layer is layer)
    exact = task.exact.get(layer.position) if plain else None
    return LayerPlan(layer, source, target, term.weight, exact)


def _held_out_noise(task: _Task, graph: Graph) -> float:
    """Differences from the original at the parts' borders, by their variation, on samples that
    nothing was fitted to where they are made up. Whole numbers, so the same everywhere."""
    inputs = task.calibration.inputs(task.graph, _HELD_OUT, _HELD_OUT_SEED)
    wanted, found = (
        execute(each, inputs, keep=task.borders, rounding=Rounding.EXACT)
        for each in (task.graph, graph)
    )
    total = 0.0
    for tensor in task.borders:
        first, second = wanted[tensor].astype(np.int64), found[tensor].astype(np.int64)
        if task.graph.tensors[tensor].dtype not in ("int8", "uint8"):
            continue
        spread = len(first) * int((first * first).sum()) - int((first.sum(axis=0) ** 2).sum())
        total += len(first) * int(((first - second) ** 2).sum()) / (spread + 1)
    return total


def _loss(task: _Task, objective: Objective, best: _Attempt, outputs: Mapping[int, Array]) -> Loss:
    values = [term.value(best.logs) for term in objective.layers]
    whole = sum(values) or 1.0
    layers = tuple(
        LayerLoss(
            plan.layer.operator.index,
            plan.layer.operator.kind,
            task.graph.tensors[plan.layer.target].name,
            1,
            plan.exact is not None,
            value / whole,
            best.witness.decibels(plan.layer.operator.index),
        )
        for plan, value in zip(best.plans, values, strict=True)
    )
    steps, ratio, same = report.compare_outputs(task.graph, outputs, best.outputs)
    return Loss(
        task.options.mode,
        task.calibration.source,
        max(len(value) for value in outputs.values()),
        layers,
        steps,
        ratio,
        same,
        objective.value(np.zeros_like(best.logs)),
        objective.value(best.logs),
        bool(best.logs.any()),
    )
