"""What commands share about per-channel weights: the options' meaning, the loss in a line."""

from __future__ import annotations

import math
from typing import Any

import click

from lapilli.answers.calibration import read_calibration
from lapilli.compiler.explanation import Explanation
from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.stages import Prepared
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.options import unit_options
from lapilli.compiler.units.report import Loss
from lapilli.model.graph import Graph


def per_channel_of(mode: str, calibration: str | None, graph: Graph, content: bytes) -> PerChannel:
    """``--per-channel`` and ``--calibration``; raises UsageError and ModelError."""
    options = unit_options(mode)
    if calibration is None:
        return PerChannel(options, Calibration())
    return PerChannel(options, read_calibration(calibration, graph, content))


def loss_notes(prepared: Prepared | Explanation) -> list[str]:
    """What a reader should know, in a line each."""
    found = prepared.loss
    lines = [] if found is None else [found.line, found.in_several_jobs]
    lines = [line for line in lines if line]
    return [*lines, *([prepared.note] if prepared.note else [])]


def loss_json(loss: Loss | None) -> dict[str, Any] | None:
    """The loss as JSON has it."""
    return None if loss is None else loss.to_dict()


def show_layers(loss: Loss) -> None:
    """What each layer loses, in a line each."""
    click.echo("  #  operator           jobs  share of the noise  signal to noise")
    for layer in loss.layers:
        ratio = "exact" if layer.exact else "same"
        if math.isfinite(layer.decibels) and not layer.exact:
            ratio = f"{layer.decibels:.1f} dB"
        click.echo(
            f"{layer.operator:3}  {layer.kind:17}  {layer.jobs:4}  {100 * layer.share:16.1f} %  "
            f"{ratio:>15}"
        )
