"""``lapilli fit``: one screen that says whether a model fits, how fast it is, and what is in the
way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lapilli.cache.programs import store_for
from lapilli.cli import fit_screen, options, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.per_channel import per_channel_of
from lapilli.compiler import stages as compiler
from lapilli.cpu_rates import cuts_of
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.input_shapes import Shapes
from lapilli.profile.fit import fit_graph, timed_chips


@click.command()
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@click.option(
    "--chip",
    "chips",
    multiple=True,
    metavar="CHIP",
    help="A chip or board; may be given again.  [default: all that have times]",
)
@click.option("--device", metavar="DEVICE", help="The device whose chip it is.")
@options.cuts("fastest; all with --strict")
@options.per_channel("fast")
@options.cache()
@click.option(
    "--strict", is_flag=True, help="Exit with 4 if any operator stays on the CPU of any chip."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fit(
    model: str,
    shapes: Shapes,
    chips: tuple[str, ...],
    device: str | None,
    partition: str | None,
    per_channel: str,
    calibration: str | None,
    cache: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Say whether MODEL.tflite fits the NPUs, how fast it would be, and what is in the way.

    Nothing is run, and no board is needed: times are modelled from the compiled command stream, and
    the range says how far published times were from the model.
    """
    named = [targets.chosen_chip(chip, None) for chip in chips]
    named += [] if device is None else [targets.chosen_chip(None, device)]
    wanted = tuple(map(compiler.chip_named, dict.fromkeys(named))) or timed_chips()
    data = tflite.read_file(model, shapes)
    graph = tflite.parse(data, Path(model).name, source=model)
    wish = per_channel_of(per_channel, calibration, graph, data)
    cuts = cuts_of(partition, "best", strict)
    found = fit_graph(graph, tflite.digest(data), wanted, wish, store_for(cache), cuts)
    text.say(graph.remarks)
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"notes": list(graph.remarks)}, indent=2))
    else:
        for line in fit_screen.screen(found, model, text.width()):
            click.echo(line)
    left = [chip for chip in found.chips if chip.blocking is not None]
    if strict and left:
        sys.stdout.flush()
        assert left[0].blocking is not None
        raise Unsupported(
            f"{graph.name}: {left[0].blocking.amount} would stay on the CPU of the "
            f"{left[0].chip}, which --strict does not allow"
        )
