"""``lapilli explain``: operator by operator, NPU or CPU, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lapilli.cli import options, text
from lapilli.cli.per_channel import loss_json, loss_notes, per_channel_of
from lapilli.compiler import explanation
from lapilli.compiler import stages as compiler
from lapilli.compiler.explanation import Explanation, OperatorLine
from lapilli.compiler.reasons import Reason
from lapilli.compiler.verdict import ON_HOST, UNKNOWN, left_over
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.input_shapes import Shapes

WIDEST_KIND = 18
SHOWN_RUNS = 12
LEAST_WHY = 15
GAP = "  "


@click.command()
@click.argument("model", metavar="MODEL.tflite")
@options.shapes()
@click.option("--chip", default="a311d", show_default=True, help="The chip in question.")
@click.option(
    "--min-partition",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Leave NPU parts of fewer operators to the CPU.",
)
@options.per_channel("fast")
@click.option("--strict", is_flag=True, help="Exit with 4 if any operator stays on the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def explain(
    model: str,
    shapes: Shapes,
    chip: str,
    min_partition: int,
    per_channel: str,
    calibration: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Say for every operator of MODEL.tflite whether the NPU takes it, and if not, why."""
    found = compiler.chip_named(chip)
    data = tflite.read_file(model, shapes)
    graph = tflite.parse(data, Path(model).name, source=model)
    wish = per_channel_of(per_channel, calibration, graph, data)
    report = explanation.explain(graph, found, min_partition, wish)
    text.say(graph.remarks)
    if as_json:
        more = {"per_channel": loss_json(report.loss), "notes": list(graph.remarks)}
        click.echo(json.dumps(explanation.to_json(report) | more, indent=2))
    else:
        _print(report)
    left = len(left_over(line.verdict for line in report.operators))
    if strict and left:
        sys.stdout.flush()
        raise Unsupported(
            f"{graph.name}: {left} of {text.count(len(report.operators), 'operator')} would stay "
            f"on the CPU, which --strict does not allow"
        )


def _print(report: Explanation) -> None:
    _print_table(report)
    if report.reasons:
        click.echo("\nWhy operators stay on the CPU:")
    for number, reason in enumerate(report.reasons, 1):
        _print_reason(report, number, reason)
    on_host = [line.operator.index for line in report.operators if line.verdict.rule == ON_HOST]
    if on_host:
        click.echo()
        sentence = next(
            line.verdict.allowed for line in report.operators if line.verdict.rule == ON_HOST
        )
        _print_wrapped("", f"{sentence[:-1]}: {_ranges(on_host)}.")
    _print_runs(report)
    total = len(report.operators)
    click.echo()
    _print_wrapped(
        "",
        f"{report.model} on {report.chip}: {report.on_npu} of {text.count(total, 'operator')} and "
        f"{100 * report.mac_share:.1f} % of {report.macs / 1e6:,.1f} million MACs on the NPU",
    )
    for line in loss_notes(report):
        _print_wrapped("", line)


def _print_reason(report: Explanation, number: int, reason: Reason) -> None:
    """A rule, who breaks it, what can be done, and what that would bring."""
    broken = {
        line.operator.index: found
        for line in report.operators
        for found in line.verdict.broken
        if line.operator.index in reason.operators and found.rule == reason.rule
    }
    allowed, example = f"The NPU takes no {reason.kind}.", ""
    if not reason.kind:
        allowed, example = reason.allowed, f" Found first: {broken[reason.operators[0]].found}."
    who = f"Broken by {_ranges(list(reason.operators))}."
    _print_wrapped(f"{number:3}  ", f"{allowed} {who}{example}")
    remedies: dict[str, list[int]] = {}
    for index, found in broken.items():
        if found.remedy:
            remedies.setdefault(found.remedy, []).append(index)
    for remedy, indices in remedies.items():
        which = "" if len(indices) == len(broken) else f" ({_ranges(indices)})"
        _print_wrapped("     ", f"What to do{which}: {remedy}")
    _print_wrapped("     ", f"What it would bring: {_gain(report, reason)}.")


def _gain(report: Explanation, reason: Reason) -> str:
    if not reason.alone:
        return "nothing by itself, as they break other rules, too"
    others = len(reason.operators) - len(reason.alone)
    share = 100 * reason.macs / report.macs if report.macs else 0.0
    parts = f"{text.count(reason.parts, 'part')} instead of {report.npu_parts}"
    gain = f"{text.count(len(reason.alone), 'operator')}, {share:.1f} % of the MACs, {parts}"
    return gain + (f"; {others} break other rules, too" if others else "")


def _print_table(report: Explanation) -> None:
    """One line an operator, no wider than the screen."""
    verdicts = [line.verdict for line in report.operators]
    silent = all(v.supported and v.folded_into is None for v in verdicts)
    kinds = [text.clean(line.operator.kind, WIDEST_KIND) for line in report.operators]
    shapes = [_shapes(line) for line in report.operators]
    first = len(str(max((line.operator.index for line in report.operators), default=0)))
    second = max(map(len, (*kinds, "operator")))
    fixed = first + second + len("MAC%") + len("NPU") + 4 * len(GAP)
    room = text.width() - fixed
    third = min(max(map(len, (*shapes, "shapes"))), room if silent else room - LEAST_WHY)
    why = room - third - len(GAP)
    colour = text.colours_wanted(sys.stdout)

    def row(number: str, kind: str, shape: str, share: str, on: str, reason: str) -> None:
        shape = text.clean(shape, third)
        cells = (f"{number:>{first}}", f"{kind:{second}}", f"{shape:{third}}", f"{share:>4}", on)
        click.echo(GAP.join((*cells, reason)).rstrip(), color=colour)

    row("#", "operator", "shapes", "MAC%", "on ", "" if silent else "why")
    for line, kind, shape in zip(report.operators, kinds, shapes, strict=True):
        index, share = str(line.operator.index), _share(line, report)
        if line.verdict.supported:
            into = line.verdict.folded_into
            reason = "" if into is None else f"folded into {into}"
            row(index, kind, shape, share, click.style("NPU", "green"), reason)
        else:
            reason = _why(line, report.reasons, why)
            row(index, kind, shape, share, click.style("CPU", "yellow"), reason)


def _why(line: OperatorLine, reasons: Sequence[Reason], room: int) -> str:
    """The numbers of the rules and what was found first, of which the end matters: names come
    first."""
    numbers = [
        str(number)
        for number, reason in enumerate(reasons, 1)
        if line.operator.index in reason.operators
    ]
    if not numbers:
        return "on the host"[:room]
    if line.verdict.rule == UNKNOWN:
        return numbers[0]
    head, found = ",".join(numbers) + ": ", text.clean(line.verdict.found)
    left = max(room - len(head), 1)
    return head + (found if len(found) <= left else "…" + found[len(found) - left + 1 :])


def _shapes(line: OperatorLine) -> str:
    """As in ``1x28x28x64 +1 -> 1x28x28x64``: the first of several and how many more."""
    sides = []
    for shapes in (line.inputs, line.outputs):
        first = text.shape(shapes[0]) if shapes else "nothing"
        sides.append(first + (f" +{len(shapes) - 1}" if len(shapes) > 1 else ""))
    return " -> ".join(sides)


def _share(line: OperatorLine, report: Explanation) -> str:
    return f"{100 * line.macs / report.macs:.1f}" if line.macs else ""


def _ranges(numbers: list[int]) -> str:
    """As in ``operators 1-3, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in spans]
    return ("operator " if len(numbers) == 1 else "operators ") + ", ".join(texts)


def _print_wrapped(head: str, body: str) -> None:
    for line in text.wrapped(head, text.clean(body), text.width()):
        click.echo(line)


def _print_runs(report: Explanation) -> None:
    """The order of NPU and CPU, with the bytes that cross."""
    if len(report.runs) < 2:
        return
    click.echo("\nExecution order:")
    for number, run in enumerate(report.runs[:SHOWN_RUNS], 1):
        where = "NPU" if run.on_npu else "CPU"
        crossing = f"{text.size(run.bytes_in)} in, {text.size(run.bytes_out)} out"
        _print_wrapped(f"{number:3}  {where}  ", f"{_ranges(list(run.operators))}: {crossing}")
    more = len(report.runs) - SHOWN_RUNS
    if more > 0:
        click.echo(f"     and {more} more (--json has them all)")
