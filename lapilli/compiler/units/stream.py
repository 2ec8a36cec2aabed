"""The quantised stream: layer by layer in order of execution, each rounded on the values that the
layers before it give, then run, so that later layers see what earlier ones really do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lapilli.compiler.units import bias as bias_correction
from lapilli.compiler.units import rounding
from lapilli.compiler.units.fixed_order import Floats, Integers
from lapilli.compiler.units.layers import Layer
from lapilli.compiler.units.options import UnitOptions
from lapilli.compiler.units.rewrite import NewWeights, rewrite
from lapilli.compiler.units.scale import choose_scale, nearest
from lapilli.model.graph import Graph
from lapilli.reference.arithmetic import Array
from lapilli.reference.executor import execute, node_of
from lapilli.reference.node import Node, Rounding
from lapilli.reference.patches import patches_of

LARGEST_DENSE = 2048
"""Weights of one output channel up to which error feedback is computed: its cost grows with the
third power."""


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """What was decided about a layer: the units at its inputs and outputs, how much each output
    counts, weights that need no rounding, where there are such, and the outputs of each job."""

    layer: Layer
    source_units: Floats
    target_units: Floats
    weight: Floats
    exact: tuple[float, Integers] | None
    groups: tuple[Integers, ...]


def run_stream(
    graph: Graph,
    plans: Sequence[LayerPlan],
    inputs: Mapping[int, Array],
    options: UnitOptions,
    watch: Callable[[Node, tuple[Array, ...]], None],
) -> tuple[list[NewWeights], dict[int, Array]]:
    """(new weights of every layer that ran, values of the graph's outputs)."""
    by_operator = {plan.layer.operator.index: plan for plan in plans}
    found: list[NewWeights] = []

    def changed(node: Node) -> Node:
        plan = by_operator.get(node.operator.index)
        if plan is None:
            return node
        new = _round_layer(plan, node, options)
        found.append(new)
        other = rewrite(graph, [new])
        computed = {
            index: value
            for index, tensor, value in zip(
                node.operator.inputs, node.inputs, node.values, strict=True
            )
            if tensor is not None and tensor.data is None and value is not None
        }
        return node_of(other, other.operators[plan.layer.position], computed, node.rounding)

    values = execute(graph, inputs, rounding=Rounding.EXACT, watch=watch, change=changed)
    return found, values


def _round_layer(plan: LayerPlan, node: Node, options: UnitOptions) -> NewWeights:
    layer = plan.layer
    bias = layer.bias / plan.target_units
    if plan.exact is not None:
        scale, whole = plan.exact
        scales = np.full(layer.outputs, scale)
        return NewWeights(layer, whole, bias_correction.in_sums(bias, scales), scales)
    patches = patches_of(node, options.positions)
    steps = layer.steps(plan.source_units, plan.target_units)
    means = _met(layer, bias_correction.patch_means(patches))
    scales = _scales(plan, steps, _met(layer, bias_correction.patch_energies(patches)))
    rounded = _rounded(layer, steps, scales, patches, options)
    bias = bias + bias_correction.correction(steps, scales, rounded, means)
    return NewWeights(
        layer, rounded.astype(np.int64), bias_correction.in_sums(bias, scales), scales
    )


def _met(layer: Layer, values: Floats) -> Floats:
    """[taps, inputs] of the image as the weights meet them: [outputs or 1, taps, inputs]."""
    if not layer.depthwise:
        return (values * layer.share)[None]
    return layer.by_output_columns(values)


def _scales(plan: LayerPlan, steps: Floats, energy: Floats) -> Floats:
    """S of each output channel: one for all of a job."""
    weight = plan.weight * plan.target_units**2
    scales = np.empty(plan.layer.outputs)
    for rows in plan.groups:
        met = energy[rows] if len(energy) > 1 else energy
        scales[rows] = choose_scale(steps[rows], met, weight[rows])
    return scales


def _rounded(
    layer: Layer, steps: Floats, scales: Floats, patches: Integers, options: UnitOptions
) -> Floats:
    """Whole weights, to the nearest or with error feedback."""
    depth = layer.taps * layer.weights.shape[2]
    possible = layer.operator.kind != "TRANSPOSE_CONV" and depth <= LARGEST_DENSE
    if not options.feedback or not possible:
        return nearest(steps, scales)
    wanted = (steps / scales[:, None, None]).reshape(layer.outputs, -1)
    if layer.depthwise:
        wide = np.repeat(patches, layer.multiplier, axis=2)
        found = rounding.round_depthwise(wanted, wide)
    else:
        found = rounding.round_dense(wanted, patches.reshape(len(patches), -1))
    return found.reshape(steps.shape)
