"""What per-channel weights cost: for each layer, and for the model in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats
from lapilli.model.graph import Graph
from lapilli.reference.arithmetic import Array

_NAMED: Final = 6
"""Layers that a line names."""


@dataclass(frozen=True)
class LayerLoss:
    """One layer. ``operator``: its index in the .tflite; ``jobs`` it becomes; ``exact``: its
    weights have one scale without rounding; ``share`` of the noise that the search foresees;
    ``decibels``: the variation of its output by the difference from the original model's, with
    all differences of earlier layers (infinite if there is none)."""

    operator: int
    kind: str
    name: str
    jobs: int
    exact: bool
    share: float
    decibels: float


@dataclass(frozen=True)
class Loss:
    """The whole model on ``samples`` samples from ``source``.

    ``steps``: mean difference of an output from the original's, in its steps; ``decibels``:
    signal to noise over the outputs; ``same_first``: samples whose largest output is the same, or
    None where no output has classes; ``noise_before``, ``noise_after``: the search's objective.
    ``units``: whether channels have units of their own.
    """

    mode: str
    source: str
    samples: int
    layers: tuple[LayerLoss, ...]
    steps: float
    decibels: float
    same_first: int | None
    noise_before: float
    noise_after: float
    units: bool

    @property
    def jobs(self) -> int:
        """Jobs of all layers."""
        return sum(layer.jobs for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; decibels are null where there is no difference."""
        return {
            "mode": self.mode,
            "samples": self.samples,
            "source": self.source,
            "jobs": self.jobs,
            "units": self.units,
            "output_steps": round(self.steps, 6),
            "decibels": _finite(self.decibels),
            "same_first": self.same_first,
            "layers": [
                {
                    "operator": layer.operator,
                    "kind": layer.kind,
                    "jobs": layer.jobs,
                    "exact": layer.exact,
                    "share": round(layer.share, 6),
                    "decibels": _finite(layer.decibels),
                }
                for layer in self.layers
            ],
        }

    @property
    def line(self) -> str:
        """One line for a reader."""
        if all(layer.exact for layer in self.layers):
            return (
                f"per-channel weights in {self.jobs} jobs: exact, their scales have one in common"
            )
        parts = [
            f"per-channel weights in {self.jobs} jobs: about {_short(self.steps)} output steps"
        ]
        if self.same_first is not None:
            percent = 100 * self.same_first / max(1, self.samples)
            parts.append(f"{percent:.0f} % same first class on {self.samples} {self.source}")
        else:
            parts.append(f"{_decibels(self.decibels)} on {self.samples} {self.source}")
        return ", ".join(parts)

    @property
    def in_several_jobs(self) -> str:
        """Which layers became several jobs and why, in one line; empty if none did."""
        several = sorted(
            (layer for layer in self.layers if layer.jobs > 1), key=lambda layer: -layer.jobs
        )
        if not several:
            return ""
        named = ", ".join(
            f"{layer.operator} {layer.kind} ({layer.jobs})" for layer in several[:_NAMED]
        )
        rest = len(several) - _NAMED
        more = f" and {rest} more" if rest > 0 else ""
        if self.mode.startswith("groups="):
            why = "as asked for"
        else:
            why = "where that takes most noise away for the time it costs"
        return f"layers in several jobs, {why}: {named}{more}"


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _short(value: float) -> str:
    return f"{value:.2g}"


def _decibels(value: float) -> str:
    return "no difference" if math.isinf(value) else f"{value:.1f} dB signal to noise"


def decibels(signal: float, noise: float) -> float:
    """10 log10 of a ratio of powers; infinite without noise."""
    if noise <= 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def variation(values: Floats) -> float:
    """Mean square of [samples, ...] about the mean over the samples."""
    centred = values - values.mean(axis=0)
    return float((centred * centred).mean())


def compare_outputs(
    graph: Graph, wanted: Mapping[int, Array], found: Mapping[int, Array]
) -> tuple[float, float, int | None]:
    """(mean difference in steps, signal to noise in decibels, samples with the same first class)
    over all outputs; the last is None where no output is a list of classes."""
    differences, signal, noise, same = [], 0.0, 0.0, None
    for tensor in graph.outputs:
        first, second = (_in_steps(graph, tensor, values[tensor]) for values in (wanted, found))
        off = second - first
        differences.append(float(np.abs(off).mean()) if off.size else 0.0)
        signal += variation(first)
        noise += float((off * off).mean()) if off.size else 0.0
        if _is_classes(graph, tensor):
            rows = [values.reshape(len(values), -1) for values in (first, second)]
            equal = int((rows[0].argmax(axis=1) == rows[1].argmax(axis=1)).sum())
            same = equal if same is None else min(same, equal)
    mean = sum(differences) / max(1, len(differences))
    return mean, decibels(signal, noise), same


def _in_steps(graph: Graph, tensor: int, values: Array) -> Floats:
    """As float64, real outputs in shares of their range as if they had 255 steps."""
    wide = values.astype(np.float64)
    if values.dtype.kind != "f" or not wide.size:
        return wide
    span = float(wide.max() - wide.min())
    return wide * (255.0 / span) if span > 0 else wide


def _is_classes(graph: Graph, tensor: int) -> bool:
    shape = graph.tensors[tensor].shape
    return len(shape) >= 1 and shape[-1] > 1 and all(extent == 1 for extent in shape[:-1])
