"""``lapilli diff``: operator by operator, what the NPU computes against what the CPU does."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path

import click

from lapilli.answers.inputs import PictureWish, read_all
from lapilli.answers.results import Task
from lapilli.cli import options, progress, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.per_channel import per_channel_of, show_layers
from lapilli.cli.remaining import remaining
from lapilli.compiler.cuts import ALL
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.diff.interpreters import REFERENCES, YARDSTICKS
from lapilli.diff.layers import diff
from lapilli.diff.records import ACCUMULATED, ALONE, Diff, Layer
from lapilli.diff.report import CSV_COLUMNS, to_csv, to_json
from lapilli.diff.statistics import DEFINITIONS, HISTOGRAM_NAMES, Difference
from lapilli.errors import ResultsDiffer, UsageError
from lapilli.files import replacing
from lapilli.litert import runtime as litert
from lapilli.model import tflite
from lapilli.model.input_shapes import Shapes
from lapilli.printable import as_utf8

WIDE, NARROW = 100, 79
"""From the first width on, output shapes are shown; below the second one means and SNR are not."""
KIND_WIDTH = 17
SHAPE_WIDTH = 14
ROUNDED = (
    "Below, NPU and CPU both have the weights with one scale a job, as lapilli requantise writes "
    "them."
)


@click.command("diff")
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@options.inputs(options.RANDOM_INPUTS)
@options.pictures()
@click.option("--seed", default=0, show_default=True, help="Of the random values.")
@targets.device(targets.DEFAULT_EMULATOR)
@options.schedule()
@options.search()
@options.cuts("all")
@options.per_channel("fast")
@click.option(
    "--reference",
    type=click.Choice(list(REFERENCES)),
    default="xnnpack",
    show_default=True,
    help="The CPU's kernels: LiteRT's default, its builtin or its reference ones.",
)
@click.option(
    "--tolerance",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    metavar="STEPS",
    help="Exit with 6 if an operator alone differs by more output steps than that.",
)
@click.option("--histogram", is_flag=True, help="Also print the histogram of every operator.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write everything as a table here.")
@click.option("--plot", metavar="OUT.png", help="Draw the error by operator here.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def diff_command(
    model: str,
    shapes: Shapes,
    inputs: tuple[str, ...],
    picture_wish: PictureWish,
    seed: int,
    device: str,
    schedule: str,
    search: SearchOptions,
    partition: str | None,
    per_channel: str,
    calibration: str | None,
    reference: str,
    tolerance: int,
    histogram: bool,
    csv_file: str | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Compare the NPU with the CPU, operator by operator of MODEL.tflite.

    Each operator is compared alone, on the CPU's inputs, and accumulated, where differences travel
    through the model. Exit code 6 if any operator alone differs by more than --tolerance steps of
    its output; accumulated differences are shown but don't count.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed}: a seed is 0 or more")
    content = tflite.read_file(model, shapes)
    graph = tflite.parse(content, Path(model).name, source=model)
    given = read_all(graph, content, inputs, picture_wish) if inputs else None
    notes = [*graph.remarks]
    notes += [note for each in given or () for note in each.notes]
    text.say(notes)
    with progress.bar("comparing") as advance, litert.native_messages():
        found = diff(
            content,
            device,
            None if given is None else [each.values for each in given],
            schedule=schedule,
            search=search,
            reference=reference,
            tolerance=tolerance,
            seed=seed,
            progress=advance,
            per_channel=per_channel_of(per_channel, calibration, graph, content),
            name=Path(model).name,
            partition=partition or ALL,
        )
    source = ", ".join(inputs) if inputs else f"random values, seed {seed}"
    if as_json:
        click.echo(json.dumps({"input": source, "notes": notes, **to_json(found)}, indent=2))
    else:
        _print(found, source, histogram, model)
    if csv_file is not None:
        _write_csv(csv_file, found)
    if plot is not None:
        from lapilli.diff.plot import draw

        picture = draw(found)
        with replacing(plot) as file:
            picture.save(file, "PNG")
    _judge(found)


def _judge(found: Diff) -> None:
    """Exit code 6 and one line about why."""
    first = found.first_over(alone=True)
    if first is not None:
        sys.stdout.flush()
        count = len({layer.operator for layer in found.over(alone=True)})
        raise ResultsDiffer(
            f"{found.model}: {text.count(count, 'operator')} alone "
            f"{'differs' if count == 1 else 'differ'} from the CPU by more than "
            f"{text.count(found.tolerance, 'step')}; {_named(first, first.alone)}"
        )


def _write_csv(path: str, found: Diff) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([text.clean(cell) for cell in row] for row in to_csv(found))
    with replacing(path) as file:
        file.write(as_utf8(buffer.getvalue()))


# --------------------------------------------------------------------------------------- the table


def _print(found: Diff, source: str, histogram: bool, path: str) -> None:
    width = text.width()
    reference = found.reference
    by = ""
    if reference.operators is not None and reference.operators < found.operators:
        by = (
            f" ({reference.operators} of {text.count(found.operators, 'operator')}, "
            "the rest by its builtin kernels)"
        )
    click.echo(text.clean(found.model))
    _wrapped("NPU    ", f"{found.device}, schedule {found.schedule}", width)
    _wrapped("CPU    ", f"{reference.title}{by}", width)
    _wrapped("input  ", source, width)
    if found.loss is not None:
        _wrapped("weights", f" {found.loss.line}. {ROUNDED}", width)
    click.echo()
    _print_layers(found, width)
    click.echo()
    _print_totals(found, width)
    if histogram:
        click.echo()
        _print_histograms(found)
    click.echo()
    _print_definitions(found, width)
    click.echo()
    if found.loss is not None:
        click.echo(_bold("what one scale a layer does, against the model itself"))
        show_layers(found.loss)
        click.echo()
    for alone in (True, False):
        _wrapped(f"{_side(alone):<14}", _verdict(found, alone), width)
    click.echo()
    _wrapped("", _bold(answer_line(found, source)), width)
    for line in remaining(found.blocking, path, found.chip, width):
        click.echo(line)


def _side(alone: bool) -> str:
    return "alone" if alone else "accumulated"


def _print_layers(found: Diff, width: int) -> None:
    wide, narrow = width >= WIDE, width < NARROW
    space = " " * (SHAPE_WIDTH + 2) if wide else ""
    measures = f"{'max':>4} {'unequal':>7}"
    if not narrow:
        measures = f"{'max':>4} {'mean':>6} {'unequal':>7} {'SNR':>5}"
    left = f"{'#':>3} {'operator':<{KIND_WIDTH}} "
    shape = f"{'output':<{SHAPE_WIDTH}}  " if wide else ""
    names = [_side(alone)[: len(measures) - 1] for alone in (True, False)]
    above = " ".join(f" {f'{name} ':─<{len(measures) - 1}}" for name in names)
    click.echo(f"{' ' * len(left)}{space}    {above}")
    click.echo(_bold(f"{left}{shape}on  {measures} {measures}"))
    for layer in found.layers:
        shape = ""
        if wide:
            shape = f"{text.clean(text.shape(layer.tensor.shape), SHAPE_WIDTH):<{SHAPE_WIDTH}}  "
        kind = text.clean(layer.kind, KIND_WIDTH)
        row = (
            f"{layer.operator:>3} {kind:<{KIND_WIDTH}} {shape}"
            f"{'CPU' if layer.part is None else 'NPU'} {_measures(layer.alone, narrow)} "
            f"{_measures(layer.accumulated, narrow)}"
        )
        over = layer.alone is not None and layer.alone.exceeds(found.tolerance)
        click.echo(_red(f"{row} !") if over else row.rstrip())  # 79 columns with shapes left out


def _measures(found: Difference | None, narrow: bool) -> str:
    if found is None:
        return " " * (12 if narrow else 25)
    maximum = "-" if found.maximum is None else str(found.maximum)
    if narrow:
        return f"{maximum:>4} {_percent(found.share):>7}"
    return (
        f"{maximum:>4} {_mean(found.mean):>6} {_percent(found.share):>7} "
        f"{_decibels(found.snr_db):>5}"
    )


def _mean(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return "<0.001" if value < 0.0005 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _percent(share: float) -> str:
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    return "<0.01%" if share < 0.00005 else ">99.99%" if share > 0.99995 else f"{100 * share:.2f}%"


def _decibels(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if math.isfinite(value) else str(value)


def _print_totals(found: Diff, width: int) -> None:
    """All layers together, with the histogram."""
    sides = [("alone", found.total(True)), ("accumulated", found.total(False))]
    if found.yardstick is not None:
        sides.append((_yardstick_name(found), found.yardstick))
    narrow = width < NARROW
    cell = 7 if narrow else 9
    head = "".join(f"{name:>{cell}}" for name in HISTOGRAM_NAMES)
    mean_head = "" if narrow else f" {'mean':>6} "
    click.echo(_bold(f"{'all values':<14}{'max':>4}{mean_head}{head}"))
    for name, whole in sides:
        counts = whole.histogram or ()
        stepped = max(sum(counts), 1)
        shares = "".join(f"{_percent(count / stepped):>{cell}}" for count in counts)
        mean = "" if narrow else f" {_mean(whole.mean):>6} "
        click.echo(f"{name:<14}{whole.maximum:>4}{mean}{shares}")


def _print_histograms(found: Diff) -> None:
    head = "".join(f"{name:>8}" for name in HISTOGRAM_NAMES)
    click.echo(_bold(f"{'#':>3} {'operator':<{KIND_WIDTH}} {'':<6}{head}"))
    for layer in found.layers:
        label = f"{layer.operator:>3} {text.clean(layer.kind, KIND_WIDTH):<{KIND_WIDTH}}"
        for alone in (True, False):
            side = layer.alone if alone else layer.accumulated
            if side is not None and side.histogram is not None:
                counts = "".join(f"{count:>8}" for count in side.histogram)
                click.echo(f"{label} {'alone' if alone else 'accum.':<6}{counts}")
                label = " " * len(label)


def _print_definitions(found: Diff, width: int) -> None:
    definitions = {"alone": ALONE, "accumulated": ACCUMULATED, **DEFINITIONS}
    definitions["0 1 2 ... >8"] = "histogram: share of the values by |d|, floats left out"
    if found.yardstick is not None:
        definitions[_yardstick_name(found)] = (
            "what other CPU kernels of LiteRT give for the same model and input, compared with the "
            "reference: how much accumulates without any NPU"
        )
    if any(
        d is not None and d.maximum is None for r in found.layers for d in (r.alone, r.accumulated)
    ):
        definitions["-"] = "floats have no steps"
    if found.over(alone=True):
        definitions["!"] = f"alone, more than {text.count(found.tolerance, 'step')}"
    for name, meaning in definitions.items():
        _wrapped(f"{name:<14}", meaning, width)


def _yardstick_name(found: Diff) -> str:
    return f"{YARDSTICKS[found.reference.name]} (CPU)"


def _verdict(found: Diff, alone: bool) -> str:
    compared = {
        layer.operator
        for layer in found.layers
        if (layer.alone if alone else layer.accumulated) is not None
    }
    over = {layer.operator for layer in found.over(alone)}
    steps = text.count(found.tolerance, "step")
    first = found.first_over(alone)
    if first is None:
        return f"no operator differs by more than {steps}; {len(compared)} compared"
    verb = "differs" if len(over) == 1 else "differ"
    return (
        f"{len(over)} of {text.count(len(compared), 'operator')} {verb} by more than {steps}; "
        f"{_named(first, first.alone if alone else first.accumulated)}"
    )


def answer_line(found: Diff, source: str) -> str:
    """The verdict in a sentence or two."""
    over = len({layer.operator for layer in found.over(alone=True)})
    steps = text.count(found.tolerance, "step")
    alone = f"{text.count(over, 'operator') if over else 'no operator'} alone is off by more"
    if over > 1:
        alone = f"{over} operators alone are off by more"
    rest = f"{_outputs(found)}; {alone} than {steps}."
    answer = found.answer
    if answer is None or answer.same is None:
        return rest[0].upper() + rest[1:]
    both = f"{answer.npu} on the NPU, {answer.cpu} on the CPU"
    hint = (
        " Random values say little of that: give a picture with --input."
        if (source.startswith("random values"))
        else ""
    )
    verdict = "Same answer" if answer.same else "Another answer"
    return f"{verdict}: {both}; {rest}{hint}"


def _outputs(found: Diff) -> str:
    answer = found.answer
    if answer is None:
        return "the outputs could not be compared"
    if not answer.largest and not answer.largest_real:
        return "the outputs are equal"
    if answer.task is Task.DETECTION:
        return f"scores and edges differ by at most {answer.largest_real:.3f}"
    parts = [] if answer.largest is None else [text.count(answer.largest, "step")]
    parts += [] if answer.largest_real is None else [f"{answer.largest_real:.3g}"]
    return f"the outputs differ by at most {' and '.join(parts)}"


def _named(layer: Layer, found: Difference | None) -> str:
    """The first operator over the tolerance, for a sentence."""
    assert found is not None
    name = text.clean(layer.tensor.name, 48)
    return (
        f"the first is operator {layer.operator}, {text.clean(layer.kind)} making {name}: "
        f"max {found.maximum}, {_percent(found.share)} unequal"
    )


def _wrapped(head: str, body: str, width: int) -> None:
    for line in text.wrapped(head, text.clean(body), width):
        click.echo(line)


def _bold(line: str) -> str:
    return click.style(line, bold=True) if text.colours_wanted(sys.stdout) else line


def _red(line: str) -> str:
    return click.style(line, fg="red") if text.colours_wanted(sys.stdout) else line
