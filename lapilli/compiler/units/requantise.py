"""Per-channel weights become one scale a job: the steps in order. Read this file first.

    found = requantise_graph(graph, parts, calibration, unit_options("best"))

layers and ties -> statistics on samples -> sensitivity -> units, jobs -> rounding on the quantised
stream -> the rewritten graph and what it loses. The graph that comes out has the same operators in
the same places. Layers in several jobs have as many scales, in runs of outputs side by side; any
other is as if it had had one scale always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lapilli.compiler.partition import readers_of, with_borders
from lapilli.compiler.units import margins, report
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.effort import affordable
from lapilli.compiler.units.exact import exact_weights
from lapilli.compiler.units.fixed_order import Floats, Integers, power_of_two
from lapilli.compiler.units.jobs import Allowance, Costs, choose, in_runs
from lapilli.compiler.units.layers import Layer, layers_of
from lapilli.compiler.units.objective import Objective
from lapilli.compiler.units.optimise import Bounds, find_bounds, find_units
from lapilli.compiler.units.options import UnitOptions
from lapilli.compiler.units.orders import find_orders, in_order
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
CLEAR_GAIN: Final = 1.25
"""Where units make less noise than none, or more, by this factor, the other is not tried, too."""
_HELD_OUT: Final = 8
_HELD_OUT_SEED: Final = 7


def one_job_alone(position: int, jobs: int) -> float | None:
    """Costs where nobody knows what several jobs take: they are never chosen for a time."""
    return None


@dataclass(frozen=True, eq=False)
class Requantised:
    """The graph with one scale for every job of a layer in the parts, and what that costs; without
    a loss if no layer there had more."""

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
    costs: Costs
    orders: Mapping[int, int]

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
class _Design:
    """Units and jobs: ``objective`` is the noise of these jobs, ``orders`` the channels'."""

    logs: Floats
    objective: Objective
    orders: Mapping[int, Integers]

    def value(self, bytes_alone: float) -> float:
        """The noise it makes; both models round their bytes, and with units no longer alike."""
        return self.objective.value(self.logs) + (bytes_alone if self.logs.any() else 0.0)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A design, and the graph that it gives: the stream's values and its witness."""

    design: _Design
    plans: tuple[LayerPlan, ...]
    graph: Graph
    outputs: Mapping[int, Array]
    witness: Witness


def requantise_graph(
    graph: Graph,
    parts: Sequence[Sequence[int]],
    calibration: Calibration,
    options: UnitOptions,
    costs: Costs = one_job_alone,
) -> Requantised:
    """``parts``: positions in ``graph.operators`` that one submit does each; ``costs``: of a layer
    in several jobs. Raises Unsupported if an operator that leads to a part is none that the
    reference executor knows, or if a single sample is more than is looked at (``effort``)."""
    chosen = tuple(tuple(part) for part in parts if _has_channels(layers_of(graph, part)))
    layers = tuple(layer for part in chosen for layer in layers_of(graph, part))
    if not layers or options.mode == "off" or all(in_runs(layer) for layer in layers):
        return Requantised(graph, None)
    options = replace(options, samples=affordable(graph, options.samples))
    exact = {layer.position: found for layer in layers if (found := exact_weights(layer))}
    ties, orders = find_ties(graph, chosen), find_orders(graph, chosen)
    task = _Task(graph, chosen, layers, exact, ties, calibration, options, costs, orders)
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
    bytes_alone = objective.channels_value(np.zeros(task.ties.count))
    plain = _Design(np.zeros(task.ties.count), objective, {})
    if task.options.feedback:
        plain = _in_jobs(task, plain)
    if plain.objective.weights_value(plain.logs) <= SMALL_LOSS * bytes_alone:
        return _attempt(task, plain, inputs, witness)
    bounds = find_bounds(task.graph, task.ties, statistics, trust.range)
    units = _Design(_search(task, objective, bounds), objective, {})
    found = _in_jobs(task, units)
    if not found.logs.any() and task.options.feedback:
        return _attempt(task, plain, inputs, witness)
    values = [design.value(bytes_alone) for design in (plain, found)]
    first, second = (plain, found) if values[0] < values[1] else (found, plain)
    attempt = _attempt(task, first, inputs, witness)
    if not task.options.feedback or max(values) > CLEAR_GAIN * min(values):
        return attempt
    other = _attempt(task, second, inputs, witness)
    noises = [_held_out_noise(task, each.graph) for each in (attempt, other)]
    return attempt if noises[0] <= noises[1] else other


def _in_jobs(task: _Task, design: _Design) -> _Design:
    """With some layers in several jobs where that is wanted and worth it. The units stay: looked
    for once more they gain less than a hundredth."""
    allowance = Allowance(task.options.jobs, task.options.extra)
    if allowance.most == 1:
        return design
    jobs = choose(design.objective, design.logs, task.orders, allowance, task.costs)
    return _Design(design.logs, design.objective.in_groups(jobs.groups), jobs.orders)


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
    task: _Task, design: _Design, inputs: Mapping[int, Array], witness: Witness
) -> _Attempt:
    plans = tuple(_plan(task, design.objective, layer, design.logs) for layer in task.layers)
    own = witness.again()
    weights, outputs = run_stream(task.graph, plans, inputs, task.options, own.compare(plans))
    arranged = [in_order(new, task.orders, design.orders) for new in weights]
    return _Attempt(design, plans, rewrite(task.graph, arranged), outputs, own)


def _plan(task: _Task, objective: Objective, layer: Layer, logs: Floats) -> LayerPlan:
    units = power_of_two(logs)
    source = units[task.ties.of(layer.source, task.graph.tensors[layer.source].shape[-1])]
    target = units[task.ties.of(layer.target, layer.outputs)]
    plain = bool((source == 1.0).all() and (target == 1.0).all())
    terms = [term for term in objective.layers if term.layer is layer]
    weight = np.empty(layer.outputs)
    for term in terms:
        weight[term.rows] = term.weight
    exact = task.exact.get(layer.position) if plain else None
    groups = tuple(term.rows for term in terms)
    return LayerPlan(layer, source, target, weight, exact, groups)


def _held_out_noise(task: _Task, graph: Graph) -> float:
    """Differences from the original at the parts' borders, by their variation, on samples that
    nothing was fitted to where they are made up. Whole numbers, so the same everywhere."""
    count = affordable(task.graph, _HELD_OUT)
    inputs = task.calibration.inputs(task.graph, count, _HELD_OUT_SEED)
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
    design = best.design
    values = {plan.layer.position: 0.0 for plan in best.plans}
    for term in design.objective.layers:
        values[term.layer.position] += term.value(design.logs)
    whole = sum(values.values()) or 1.0
    layers = tuple(
        LayerLoss(
            plan.layer.operator.index,
            plan.layer.operator.kind,
            task.graph.tensors[plan.layer.target].name,
            len(plan.groups),
            plan.exact is not None,
            values[plan.layer.position] / whole,
            best.witness.decibels(plan.layer.operator.index),
        )
        for plan in best.plans
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
        objective.value(np.zeros_like(design.logs)),
        design.objective.value(design.logs),
        bool(design.logs.any()),
    )
