"""The noise that units cause, as a formula, with its derivatives.

    J = sum over layers   S^2 / 12 * [sum_c T[c] u_y[c]^2] * [sum_i N[i] / u_x[i]^2]
      + sum over tensors  sum_c g L s^2 u[c]^2 / 12
      + 4 * sum over layers   sum_c L s^2 D[c](u[c])
    S = max_{c,k} |W'[c,k]| / 127,  T[c] = g_y[c] L_y[c] s_y^2,
    N[i] = taps(i) * (e_x[i] - 0.9 m_x[i]^2 + 1/12)

The terms: rounding of weights, rounding of activations, clamping too late. A depthwise layer's
first term is S^2 / 12 * sum_c T[c] u_y[c]^2 N[i(c)] / u_x[i(c)]^2. The 0.9 is what the correction
of the bias takes out. The maximum is a p-norm, log S = M + log(sum exp(p (log|W'| - M))) / p; with
``pi`` its softmax, dj/dlog u_y[c] = j (2 T_c u_c^2 / sum - 2 sum_k pi) and
dj/dlog u_x[i] = j (2 sum_c pi - 2 N_i u_i^-2 / sum).

Only weights near the largest count in a p-norm: they are found again every few steps, and the
rest is left out. Everything is in logarithms to the base 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.units.fixed_order import (
    Floats,
    Integers,
    by_group,
    logarithm_of_two,
    ordered_total,
    power_of_two,
)
from lapilli.compiler.units.layers import LARGEST_WEIGHT, Layer
from lapilli.compiler.units.statistics import LARGEST_LATE_UNIT_LOG2, LATE_UNITS, Channels
from lapilli.compiler.units.ties import Ties
from lapilli.model.graph import Graph

LATE_WEIGHT: Final = 4.0
"""How much more than the formula says late clamping counts; measured, not derived."""
MEAN_TAKEN_OUT: Final = 0.9
BYTE_NOISE: Final = 1.0 / 12.0
_TINY: Final = 1e-300
_DEAD_LOG2: Final = -30.0
"""Weights this far below a layer's largest, about 1e-9, never decide its scale."""


@dataclass(frozen=True, eq=False)
class LayerTerm:
    """What one layer, or one job of it, adds to J. ``rows``: its outputs among the layer's.
    ``source``, ``target``: the classes of the units at its inputs (depthwise: one for each output)
    and outputs. ``largest``: log2 of the largest weights, [outputs, inputs]. ``exact``: at units
    of 1 its weights need no rounding."""

    layer: Layer
    rows: Integers
    source: Integers
    target: Integers
    largest: NDArray[np.float32]
    weight: Floats
    noise: Floats
    exact: bool

    def scaled(self, logs: Floats) -> NDArray[np.float32]:
        """log2 |W'| of ``largest`` at the units ``logs``."""
        few = logs.astype(np.float32)
        moved: NDArray[np.float32] = self.largest - few[self.target][:, None]
        if self.layer.depthwise:
            moved += few[self.source][:, None]
        else:
            moved += few[self.source][None, :]
        return moved

    def spread(self, logs: Floats) -> float:
        """The term but for S^2 / 12."""
        targets = self.weight * power_of_two(2.0 * logs[self.target])
        sources = self.noise * power_of_two(-2.0 * logs[self.source])
        if self.layer.depthwise:
            return ordered_total(targets * sources)
        return ordered_total(targets) * ordered_total(sources)

    def largest_scale(self, logs: Floats) -> float:
        """S: the largest |W'| / 127."""
        top = float(self.scaled(logs).max())
        return float(power_of_two(np.array([top]))[0]) / LARGEST_WEIGHT

    def needed(self, logs: Floats) -> tuple[Floats, Floats]:
        """(the scale that each output needs, how much its square counts) at the units ``logs``."""
        scales = power_of_two(self.scaled(logs).max(axis=1).astype(np.float64)) / LARGEST_WEIGHT
        weights = self.weight * power_of_two(2.0 * logs[self.target])
        if self.layer.depthwise:
            weights = weights * self.noise * power_of_two(-2.0 * logs[self.source])
        return scales, weights

    def of_rows(self, rows: Integers) -> LayerTerm:
        """The term of some of its outputs."""
        paired = self.layer.depthwise
        return replace(
            self,
            rows=self.rows[rows],
            source=self.source[rows] if paired else self.source,
            target=self.target[rows],
            largest=self.largest[rows],
            weight=self.weight[rows],
            noise=self.noise[rows] if paired else self.noise,
        )

    def value(self, logs: Floats) -> float:
        """The term, with the true maximum; 0 where nothing is rounded."""
        if self.exact and not np.any(logs[self.source]) and not np.any(logs[self.target]):
            return 0.0
        return self.largest_scale(logs) ** 2 * BYTE_NOISE * self.spread(logs)


@dataclass(frozen=True, eq=False)
class Near:
    """The weights that may decide their layers' scales: their layer, and where they are among
    the objective's outputs and inputs of all layers; log2 at units of 1."""

    layers: Integers
    starts: Integers
    rows: Integers
    columns: Integers
    logs: Floats


@dataclass(frozen=True, eq=False)
class ChannelTerm:
    """What the activations of one tensor add: g L s^2 for each channel, and its table of late
    clamping times L s^2."""

    classes: Integers
    weight: Floats
    late: Floats | None


@dataclass(frozen=True, eq=False)
class Objective:
    """J of the logarithms of the units of all classes.

    ``layers`` as they are, and one behind the other: ``targets`` and ``sources`` are the classes
    of all their outputs and inputs, ``paired_*`` the places of depthwise ones among them.
    """

    layers: tuple[LayerTerm, ...]
    classes: int
    targets: Integers
    target_layers: Integers
    weight: Floats
    sources: Integers
    source_layers: Integers
    noise: Floats
    paired: Integers
    paired_targets: Integers
    paired_sources: Integers
    rounded: ChannelTerm
    clamped: ChannelTerm

    @staticmethod
    def of(
        graph: Graph,
        layers: Sequence[Layer],
        ties: Ties,
        statistics: Mapping[int, Channels],
        sensitivities: Mapping[int, Floats],
        exact: frozenset[int] = frozenset(),
    ) -> Objective:
        """``exact``: positions of layers whose weights need no rounding at units of 1."""
        terms = [
            _layer_term(graph, layer, ties, statistics, sensitivities, layer.position in exact)
            for layer in layers
        ]
        channels = [
            _channel_term(graph, tensor, classes, statistics, sensitivities)
            for tensor, classes in sorted(ties.classes.items())
            if tensor in statistics and tensor in sensitivities
        ]
        return _whole(
            terms,
            ties.count,
            _together([replace(term, late=None) for term in channels]),
            _together([term for term in channels if term.late is not None]),
        )

    def in_groups(self, groups: Mapping[int, Sequence[Integers]]) -> Objective:
        """The same with several scales in the layers of these positions, one for each of their
        lists of outputs."""
        terms: list[LayerTerm] = []
        for term in self.layers:
            rows = groups.get(term.layer.position)
            terms += [term] if rows is None else [term.of_rows(each) for each in rows]
        return _whole(terms, self.classes, self.rounded, self.clamped)

    def weights_value(self, logs: Floats) -> float:
        """What the rounding of weights adds."""
        total = 0.0
        for term in self.layers:
            total += term.value(logs)
        return total

    def channels_value(self, logs: Floats) -> float:
        """What activations add: rounding and late clamping."""
        return _rounding(self.rounded, logs)[0] + _late(self.clamped, logs)[0]

    def value(self, logs: Floats) -> float:
        """J, with the true maxima."""
        return self.weights_value(logs) + self.channels_value(logs)

    def near(self, logs: Floats, distance: float) -> Near:
        """The weights within ``distance`` (log2) of their layer's largest at the units ``logs``."""
        found = []
        first_row = first_column = 0
        for number, term in enumerate(self.layers):
            moved = term.scaled(logs)
            places = np.flatnonzero(moved.reshape(-1) > moved.max() - np.float32(distance))
            rows, columns = np.divmod(places, moved.shape[1])
            logs_ = term.largest.reshape(-1)[places]
            columns = rows if term.layer.depthwise else columns
            found.append(
                (np.full(len(rows), number), rows + first_row, columns + first_column, logs_)
            )
            first_row += len(term.target)
            first_column += len(term.source)
        layers, rows, columns, logs_ = (_joined(list(part)) for part in zip(*found, strict=True))
        starts = np.searchsorted(layers, np.arange(len(self.layers)))
        return Near(layers, starts, rows, columns, logs_.astype(np.float64))

    def gradient(self, logs: Floats, near: Near, power: float) -> tuple[float, Floats]:
        """(J with p-norms, dJ / dln u)."""
        values, sources, targets = self._layer_slopes(logs, near, power)
        slopes = by_group(self.sources, sources, self.classes)
        slopes += by_group(self.targets, targets, self.classes)
        total = ordered_total(values)
        for term, part in ((self.rounded, _rounding), (self.clamped, _late)):
            value, slope = part(term, logs)
            total += value
            slopes += by_group(term.classes, slope, self.classes)
        return total, slopes

    def _layer_slopes(
        self, logs: Floats, near: Near, power: float
    ) -> tuple[Floats, Floats, Floats]:
        """(value of each layer's term, slopes by input, slopes by output)."""
        count = len(self.layers)
        moved = near.logs - logs[self.targets][near.rows] + logs[self.sources][near.columns]
        tops = np.maximum.reduceat(moved, near.starts)
        parts = power_of_two(power * (moved - tops[near.layers]))
        wholes = by_group(near.layers, parts, count)
        scales = power_of_two(2.0 * (tops + logarithm_of_two(wholes) / power))
        spreads, by_target, by_source = self._spreads(logs)
        values = scales * spreads * (BYTE_NOISE / LARGEST_WEIGHT**2)
        parts /= wholes[near.layers]
        sources = by_group(near.columns, parts, len(self.sources)) - by_source
        targets = by_target - by_group(near.rows, parts, len(self.targets))
        twice = 2.0 * values
        return values, sources * twice[self.source_layers], targets * twice[self.target_layers]

    def _spreads(self, logs: Floats) -> tuple[Floats, Floats, Floats]:
        """(the terms but for S^2 / 12, their shares by output and by input)."""
        count = len(self.layers)
        squares = power_of_two(2.0 * logs)
        targets = self.weight * squares[self.targets]
        sources = self.noise / squares[self.sources]
        by_target = np.maximum(by_group(self.target_layers, targets, count), _TINY)
        by_source = np.maximum(by_group(self.source_layers, sources, count), _TINY)
        both = targets[self.paired_targets] * sources[self.paired_sources]
        pairs = by_group(self.target_layers[self.paired_targets], both, count)
        spreads = by_target * by_source
        spreads[self.paired] = pairs[self.paired]
        shares = both / np.maximum(pairs, _TINY)[self.target_layers[self.paired_targets]]
        targets /= by_target[self.target_layers]
        sources /= by_source[self.source_layers]
        targets[self.paired_targets] = shares
        sources[self.paired_sources] = shares
        return spreads, targets, sources


def _whole(
    terms: Sequence[LayerTerm], classes: int, rounded: ChannelTerm, clamped: ChannelTerm
) -> Objective:
    paired = [i for i, term in enumerate(terms) if term.layer.depthwise]
    target_layers = _numbered([len(term.target) for term in terms])
    source_layers = _numbered([len(term.source) for term in terms])
    return Objective(
        tuple(terms),
        classes,
        _joined([term.target for term in terms]),
        target_layers,
        _joined([term.weight for term in terms]).astype(np.float64),
        _joined([term.source for term in terms]),
        source_layers,
        _joined([term.noise for term in terms]).astype(np.float64),
        np.array(paired, np.int64),
        np.flatnonzero(np.isin(target_layers, paired)),
        np.flatnonzero(np.isin(source_layers, paired)),
        rounded,
        clamped,
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _numbered(lengths: Sequence[int]) -> Integers:
    """0 as often as the first says, 1 as often as the second …"""
    return np.repeat(np.arange(len(lengths)), lengths)


def _together(terms: Sequence[ChannelTerm]) -> ChannelTerm:
    """The terms of several tensors, all with a table or all without, as one."""
    classes = _joined([term.classes for term in terms]).astype(np.int64)
    weight = _joined([term.weight for term in terms]).astype(np.float64)
    tables = [term.late for term in terms if term.late is not None]
    return ChannelTerm(classes, weight, np.concatenate(tables) if tables else None)


def _layer_term(
    graph: Graph,
    layer: Layer,
    ties: Ties,
    statistics: Mapping[int, Channels],
    sensitivities: Mapping[int, Floats],
    exact: bool,
) -> LayerTerm:
    source, target = graph.tensors[layer.source], graph.tensors[layer.target]
    assert target.quantization is not None
    seen = statistics[layer.source]
    variance = seen.square - MEAN_TAKEN_OUT * seen.mean**2
    noise = (layer.taps * layer.share) * (np.maximum(variance, 0.0) + BYTE_NOISE)
    classes = ties.of(source.index, source.shape[-1])
    if layer.depthwise:
        noise, classes = layer.by_output(noise), np.repeat(classes, layer.multiplier)
    elif layer.weights.shape[2] != len(classes):  # fully connected on several flattened rows
        repeats = layer.weights.shape[2] // len(classes)
        noise, classes = np.tile(noise, repeats), np.tile(classes, repeats)
    after = statistics.get(layer.target)
    active = after.active if after is not None else np.ones(layer.outputs)
    weight = sensitivities.get(layer.target, np.zeros(layer.outputs))
    largest = layer.largest_log2()
    largest[largest < largest.max() + _DEAD_LOG2] = largest.max() + 2 * _DEAD_LOG2
    return LayerTerm(
        layer,
        np.arange(layer.outputs),
        classes,
        ties.of(target.index, layer.outputs),
        largest.astype(np.float32),
        active * weight * target.quantization.scale**2,
        noise,
        exact,
    )


def _channel_term(
    graph: Graph,
    tensor: int,
    classes: Integers,
    statistics: Mapping[int, Channels],
    sensitivities: Mapping[int, Floats],
) -> ChannelTerm:
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    seen = statistics[tensor]
    weight = sensitivities[tensor] * quantization.scale**2
    late = None if seen.late is None else seen.late * (LATE_WEIGHT * weight)[:, None]
    return ChannelTerm(classes, seen.active * weight * BYTE_NOISE, late)


def _rounding(term: ChannelTerm, logs: Floats) -> tuple[float, Floats]:
    """Rounding of activations: coarser units, more noise."""
    values = term.weight * power_of_two(2.0 * logs[term.classes])
    return ordered_total(values), 2.0 * values


def _late(term: ChannelTerm, logs: Floats) -> tuple[float, Floats]:
    """Clamping later than the original does: the table, linear in u between its places."""
    if term.late is None:
        return 0.0, np.zeros(len(term.weight))
    wanted = logs[term.classes]
    place = np.clip(wanted * ((LATE_UNITS - 1) / LARGEST_LATE_UNIT_LOG2), 0.0, LATE_UNITS - 1)
    place_low: Floats = np.minimum(np.floor(place), LATE_UNITS - 2.0)
    low = place_low.astype(np.int64)
    every = np.arange(len(low))
    first, second = term.late[every, low], term.late[every, low + 1]
    step = LARGEST_LATE_UNIT_LOG2 / (LATE_UNITS - 1)
    unit = power_of_two(np.maximum(wanted, 0.0))
    least, most = power_of_two(place_low * step), power_of_two((place_low + 1.0) * step)
    rise = (second - first) / (most - least)
    values = first + rise * (unit - least)
    slopes = np.where(wanted > 0.0, rise * unit, 0.0)
    return ordered_total(values), slopes
