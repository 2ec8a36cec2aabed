"""``lapilli explain``: operator by operator, NPU or CPU, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lapilli.cli import options, text
from lapilli.cli.per_channel import loss_json, loss_notes, per_channel_of
from lapilli.compiler import explanation
from lapilli.compiler import stages as compiler
from lapilli.compiler.explanation import Explanation, OperatorLine
from lapilli.compiler.verdict import ON_HOST, left_over
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
    rules = _rules(report)
    _print_table(report, rules)
    if rules:
        click.echo("\nWhy operators stay on the CPU:")
    for number, (allowed, lines) in enumerate(rules.items(), 1):
        operators = [line.operator.index for line in lines]
        first, example = lines[0], ""
        if first.verdict.found != first.operator.kind:
            example = f" Found first: {first.verdict.found}."
        body = f"{allowed} Broken by {_ranges(operators)}.{example}"
        if first.verdict.rule == ON_HOST:
            body = f"{allowed[:-1]}: {_ranges(operators)}."
        _print_wrapped(f"{number:3}  ", body)
        for remedy, indices in _remedies(lines).items():
            which = "" if len(indices) == len(lines) else f" ({_ranges(indices)})"
            _print_wrapped("     ", f"What to do{which}: {remedy}")
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


def _rules(report: Explanation) -> dict[str, list[OperatorLine]]:
    """What each rule that is broken allows, and the operators that break it."""
    rules: dict[str, list[OperatorLine]] = {}
    for line in report.operators:
        if not line.verdict.supported:
            rules.setdefault(line.verdict.allowed, []).append(line)
    return rules


def _remedies(lines: list[OperatorLine]) -> dict[str, list[int]]:
    """What a user can do about operators that break a rule, where something is known."""
    found: dict[str, list[int]] = {}
    for line in lines:
        if line.verdict.remedy:
            found.setdefault(line.verdict.remedy, []).append(line.operator.index)
    return found


def _print_table(report: Explanation, rules: dict[str, list[OperatorLine]]) -> None:
    """One line an operator, no wider than the screen."""
    numbers = {allowed: i for i, allowed in enumerate(rules, 1)}
    kinds = [text.clean(line.operator.kind, WIDEST_KIND) for line in report.operators]
    shapes = [_shapes(line) for line in report.operators]
    first = len(str(max((line.operator.index for line in report.operators), default=0)))
    second = max(map(len, (*kinds, "operator")))
    fixed = first + second + len("MAC%") + len("NPU") + 4 * len(GAP)
    room = text.width() - fixed
    third = min(max(map(len, (*shapes, "shapes"))), room - LEAST_WHY if rules else room)
    why = room - third - len(GAP)
    colour = text.colours_wanted(sys.stdout)

    def row(number: str, kind: str, shape: str, share: str, on: str, reason: str) -> None:
        shape = text.clean(shape, third)
        cells = (f"{number:>{first}}", f"{kind:{second}}", f"{shape:{third}}", f"{share:>4}", on)
        click.echo(GAP.join((*cells, reason)).rstrip(), color=colour)

    row("#", "operator", "shapes", "MAC%", "on ", "why" if rules else "")
    for line, kind, shape in zip(report.operators, kinds, shapes, strict=True):
        index, share = str(line.operator.index), _share(line, report)
        if line.verdict.supported:
            row(index, kind, shape, share, click.style("NPU", "green"), "")
        else:
            reason = _why(line, numbers[line.verdict.allowed], why)
            row(index, kind, shape, share, click.style("CPU", "yellow"), reason)


def _why(line: OperatorLine, rule: int, room: int) -> str:
    """The rule's number and what was found, of which the end matters: names come first."""
    if line.verdict.found == line.operator.kind:
        return str(rule)
    head, found = f"{rule}: ", text.clean(line.verdict.found)
    left = room - len(head)
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
