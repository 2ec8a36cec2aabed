"""``lapilli benchmark``: how long a model takes, in benchmark_model's words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from lapilli.answers.inputs import PictureWish, read_all
from lapilli.cli import options, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.remaining import remaining
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.errors import UsageError
from lapilli.litert import runtime as litert
from lapilli.model.input_shapes import Shapes
from lapilli.profile.benchmark import SPENT, Benchmark, Limits, Report, to_json

LABELS = {"device": "device, submit and wait", "python": "Python", "cpu": "CPU operators, LiteRT"}
DEFAULTS = Limits()
Command = TypeVar("Command", bound=Callable[..., Any])


def _seconds(context: click.Context, option: click.Parameter, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise click.BadParameter(f"{value} is not a number of seconds of 0 or more")
    return value


def _option(name: str, default: float, help_text: str) -> Callable[[Command], Command]:
    """An option spelt as benchmark_model spells it."""
    kind: dict[str, Any] = {"type": int}
    if isinstance(default, float):
        kind = {"type": float, "callback": _seconds}
    return click.option(
        f"--{name}", default=default, show_default=True, help=help_text, metavar="N", **kind
    )


@click.command()
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@targets.device("auto")
@options.schedule()
@options.search()
@options.cuts()
@options.cache()
@options.inputs(options.RANDOM_INPUTS)
@options.pictures()
@_option("num_threads", -1, "Threads of LiteRT's CPU operators; -1: its own choice.")
@_option("warmup_runs", DEFAULTS.warmup_runs, "Inferences to warm up, at least.")
@_option("warmup_min_secs", DEFAULTS.warmup_min_secs, "Seconds to warm up, at least.")
@_option("num_runs", DEFAULTS.num_runs, "Inferences to time, at least.")
@_option("min_secs", DEFAULTS.min_secs, "Seconds to time, at least.")
@_option("max_secs", DEFAULTS.max_secs, "Seconds after which a phase ends in any case.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def benchmark(
    model: str,
    shapes: Shapes,
    device: str,
    schedule: str,
    search: SearchOptions,
    partition: str | None,
    cache: bool,
    inputs: tuple[str, ...],
    picture_wish: PictureWish,
    num_threads: int,
    as_json: bool,
    **limits: Any,
) -> None:
    """Time MODEL.tflite with the options, phases and closing lines of TFLite's benchmark_model.

    Above the closing line stands how much of an average inference was spent waiting for the device,
    in Python, and in LiteRT with its CPU operators.
    """
    for name in ("warmup_runs", "num_runs"):
        if limits[name] < 0:
            raise UsageError(f"--{name} {limits[name]}: a number of inferences is 0 or more")
    with litert.native_messages():
        timed = Benchmark(
            model,
            device,
            schedule=schedule,
            search=search,
            num_threads=num_threads,
            cache=cache,
            shapes=shapes,
            partition=partition,
        )
    try:
        given = read_all(timed.graph, timed.content, inputs, picture_wish) if inputs else None
        notes = [*timed.graph.remarks]
        notes += [note for each in given or () for note in each.notes]
        text.say(notes)
        report = timed.measure(
            Limits(**limits),
            None if given is None else [each.values for each in given],
            None if as_json else lambda line: click.echo(line, err=True),
        )
    finally:
        timed.close()
    if as_json:
        source = list(inputs) or "random values, seed 0"
        click.echo(json.dumps({"input": source, "notes": notes, **to_json(report)}, indent=2))
    else:
        _print(report, model)


def _print(report: Report, path: str) -> None:
    head = (
        f"{report.model} on {report.device}, {report.runtime}: {report.npu_operators} of "
        f"{text.count(report.operators, 'operator')} on the NPU in "
        f"{text.count(report.partitions, 'part')}"
    )
    for line in text.wrapped("", text.clean(head), text.width()):
        click.echo(line)
    click.echo()
    for name, phase in (("Warm-up", report.warmup), ("Inference", report.regular)):
        click.echo(f"{name}, us:")
        click.echo(phase.line())
    click.echo()
    click.echo("Where an average inference was:")
    total = sum(vars(report.spent).values())
    for name, microseconds in vars(report.spent).items():
        share = 100 * microseconds / total if total else 0.0
        click.echo(f"  {LABELS[name]:<24}{microseconds:>12,.0f} us {share:>6.1f} %")
    click.echo()
    for name, meaning in SPENT.items():
        for line in text.wrapped(f"  {LABELS[name].split(',')[0]:<15}", meaning, text.width()):
            click.echo(line)
    click.echo()
    _print_board(report)
    chip = report.board.chip if report.board else None
    for line in remaining(report.blocking, path, chip, text.width()):
        click.echo(line)
    click.echo(f"Init has {report.compile} us of compiling for the NPU.")
    click.echo(report.timings())


def _print_board(report: Report) -> None:
    """What the times above are on an emulator, and what a board is modelled to take."""
    if report.board is None:
        return
    lines = (
        "The times here are this computer's, which emulates the NPU: no measure of its speed.",
        f"On a board, {report.board.line}.",
        report.board.evidence.sentence,
    )
    for sentence in lines:
        for line in text.wrapped("", sentence, text.width()):
            click.echo(line)
