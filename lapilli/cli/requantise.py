"""``lapilli requantise``: the per-tensor model that the NPU computes for a per-channel one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from lapilli.cli import options, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.per_channel import loss_json, loss_notes, per_channel_of, show_layers
from lapilli.compiler import stages as compiler
from lapilli.errors import ModelError, UsageError
from lapilli.files import replacing
from lapilli.model import tflite
from lapilli.model.rewriting import rewritten

SUFFIX = "_per_tensor.tflite"


SEVERAL: Final = (
    "some layers have a few scales, in runs of outputs, a job each; LiteRT runs them, too. "
    "With --per-channel groups=1 every layer has one"
)


@click.command()
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@click.option(
    "-o",
    "--output",
    metavar="PER_TENSOR.tflite",
    help=f"The new model; by default the model's name with {SUFFIX}, here.",
)
@targets.chip("Whose parts of the model.")
@options.per_channel("best")
@click.option("--layers", is_flag=True, help="Also print what each layer loses.")
@click.option("--json", "as_json", is_flag=True, help="Print the loss as one JSON object.")
def requantise(
    model: str,
    output: str | None,
    chip: str,
    per_channel: str,
    calibration: str | None,
    layers: bool,
    as_json: bool,
) -> None:
    """Write what MODEL.tflite is on the NPU: a model with one scale for each job's weights.

    Only weights and biases of layers that the NPU takes change; LiteRT runs the new model as it
    is, so that anybody can compare the two, or give it to another driver.
    """
    found = compiler.chip_named(chip)
    data = tflite.read_file(model)
    graph = tflite.parse(data, Path(model).name, source=model)
    wish = per_channel_of(per_channel, calibration, graph, data)
    if not wish.wanted:
        raise UsageError("--per-channel off changes nothing, so there is nothing to write")
    prepared = compiler.prepare(graph, found, compiler.CompileOptions(per_channel=wish))
    if prepared.loss is None:
        raise ModelError(
            f"{model}: no layer that the NPU takes has more than one scale"
            + (f"; {prepared.note}" if prepared.note else "")
        )
    path = Path(model).stem + SUFFIX if output is None else output
    content = rewritten(data, prepared.graph)
    with replacing(path) as file:
        file.write(content)
    text.say(loss_notes(prepared))
    if any(layer.jobs > 1 for layer in prepared.loss.layers):
        text.say([SEVERAL])
    click.echo(text.clean(f"{path}: {text.size(len(content))}"), err=True)
    if as_json:
        click.echo(json.dumps({"output": path, "per_channel": loss_json(prepared.loss)}, indent=2))
    elif layers:
        show_layers(prepared.loss)
