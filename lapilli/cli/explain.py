"""``lapilli explain``: whether a model fits, what stays on the CPU, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lapilli.cache.programs import store_for
from lapilli.cache.store import Store
from lapilli.cache.units import keeper
from lapilli.cli import fit_screen, operator_table, options, part_costs, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.per_channel import loss_json, loss_notes, per_channel_of
from lapilli.compiler import explanation
from lapilli.compiler import stages as compiler
from lapilli.compiler.explanation import Explanation
from lapilli.compiler.reasons import Reason
from lapilli.compiler.verdict import ON_HOST, left_over
from lapilli.cpu_rates import cuts_of
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.input_shapes import Shapes
from lapilli.profile.fit import Fit, fit_explained
from lapilli.timing.evidence import EVIDENCE

SHOWN_RUNS = 12


@click.command()
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@targets.chip("The chip in question, or a board such as vim3.")
@click.option(
    "--min-partition",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Leave NPU parts of fewer operators to the CPU.",
)
@options.cuts("fastest; all with --strict")
@options.per_channel("fast")
@options.cache()
@click.option(
    "--all", "everything", is_flag=True, help="A row for each operator, and all that it breaks."
)
@click.option("--strict", is_flag=True, help="Exit with 4 if any operator stays on the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def explain(
    model: str,
    shapes: Shapes,
    chip: str,
    min_partition: int,
    partition: str | None,
    per_channel: str,
    calibration: str | None,
    cache: bool,
    everything: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Say whether MODEL.tflite fits, what stays on the CPU and why, and what to do about it.

    The verdict and its causes come first, then the operators; equal ones share a row.
    """
    found = compiler.chip_named(chip)
    data = tflite.read_file(model, shapes)
    graph = tflite.parse(data, Path(model).name, source=model)
    wish = per_channel_of(per_channel, calibration, graph, data)
    store = store_for(cache)
    cuts = cuts_of(partition, "best", strict, min_partition)
    report = explanation.explain(graph, found, cuts, wish, keeper(store, wish))
    asked = compiler.CompileOptions(per_channel=wish, cuts=cuts)
    fit = _fit(graph, tflite.digest(data), found, report, asked, store)
    text.say(graph.remarks)
    if as_json:
        more = {
            "fit": fit.chips[0].to_dict() if fit else None,
            "per_channel": loss_json(report.loss),
            "notes": list(graph.remarks),
        }
        click.echo(json.dumps(explanation.to_json(report) | more, indent=2))
    else:
        for line in lines(report, fit, model, text.width(), everything):
            click.echo(line)
    left = len(left_over(line.verdict for line in report.operators))
    if strict and left:
        sys.stdout.flush()
        raise Unsupported(
            f"{graph.name}: {left} of {text.count(len(report.operators), 'operator')} would stay "
            f"on the CPU, which --strict does not allow"
        )


def _fit(
    graph: Graph,
    digest: str,
    chip: Chip,
    report: Explanation,
    asked: compiler.CompileOptions,
    store: Store | None,
) -> Fit | None:
    """How fast it would be; None for a chip without times."""
    if chip.name not in EVIDENCE:
        return None
    found = fit_explained(graph, digest, chip, report, asked, store, EVIDENCE[chip.name])
    return Fit(graph.name, len(graph.operators), report.macs, (found,), report.loss, report.note)


def lines(
    report: Explanation, fit: Fit | None, path: str, width: int, everything: bool
) -> Iterator[str]:
    """The whole report in lines of at most ``width``."""
    if fit is not None:
        yield from text.wrapped("", fit_screen.answer(fit), width)
        yield ""
        yield from fit_screen.table(fit, width)
    else:
        yield from text.wrapped("", _placed(report), width)
    for line in loss_notes(report):
        yield from text.wrapped("", text.clean(line), width)
    if report.reasons:
        yield ""
        yield "Why operators stay on the CPU, what costs most first:"
    elif report.on_npu == len(report.operators):
        yield ""
        yield "Nothing stays on the CPU."
    for number, reason in enumerate(report.reasons, 1):
        yield from _reason(report, number, reason, width)
    yield from _on_the_host(report, width)
    yield from _runs(report, width)
    yield from part_costs.lines(report, width)
    yield ""
    yield from operator_table.table(report, width, everything)
    yield ""
    yield from text.wrapped("", LEGEND, width)
    if report.on_npu:
        yield from text.wrapped("Next: ", text.to_type("profile", path, report.chip), width)


LEGEND = (
    "MAC%: share of the multiplications; +N: and so many equal operators (--all: each by itself); "
    "why: numbers of the reasons above; with N: done by the jobs of operator N."
)


def _placed(report: Explanation) -> str:
    return (
        f"{text.clean(report.model)} on {report.chip}: {report.on_npu} of "
        f"{text.count(len(report.operators), 'operator')} and {100 * report.mac_share:.1f} % of "
        f"{report.macs / 1e6:,.1f} million MACs on the NPU"
    )


def _reason(report: Explanation, number: int, reason: Reason, width: int) -> Iterator[str]:
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
    who = f"Broken by {text.ranges(reason.operators)}."
    yield from text.wrapped(f"{number:3}  ", text.clean(f"{allowed} {who}{example}"), width)
    remedies: dict[str, list[int]] = {}
    for index, found in broken.items():
        if found.remedy:
            remedies.setdefault(found.remedy, []).append(index)
    for remedy, indices in remedies.items():
        which = "" if len(indices) == len(broken) else f" ({text.ranges(indices)})"
        yield from text.wrapped("     ", text.clean(f"What to do{which}: {remedy}"), width)
    yield from text.wrapped("     ", f"What it would bring: {_gain(report, reason)}.", width)


def _gain(report: Explanation, reason: Reason) -> str:
    if not reason.alone:
        return "nothing by itself, as they break other rules, too"
    others = len(reason.operators) - len(reason.alone)
    share = 100 * reason.macs / report.macs if report.macs else 0.0
    parts = text.parts_then(reason.parts, report.npu_parts)
    gain = f"{text.count(len(reason.alone), 'operator')}, {share:.1f} % of the MACs, {parts}"
    return gain + (f"; {others} break other rules, too" if others else "")


def _on_the_host(report: Explanation, width: int) -> Iterator[str]:
    """What the delegate does itself."""
    found = [line for line in report.operators if line.verdict.rule == ON_HOST]
    if found:
        yield ""
        which = text.ranges([line.operator.index for line in found])
        yield from text.wrapped("", f"{found[0].verdict.allowed[:-1]}: {which}.", width)


def _runs(report: Explanation, width: int) -> Iterator[str]:
    """The order of NPU and CPU, with the bytes that cross."""
    if len(report.runs) < 2:
        return
    yield ""
    yield "Execution order:"
    for number, run in enumerate(report.runs[:SHOWN_RUNS], 1):
        where = "NPU" if run.on_npu else "CPU"
        crossing = f"{text.size(run.bytes_in)} in, {text.size(run.bytes_out)} out"
        yield from text.wrapped(
            f"{number:3}  {where}  ", f"{text.ranges(run.operators)}: {crossing}", width
        )
    more = len(report.runs) - SHOWN_RUNS
    if more > 0:
        yield f"     and {more} more (--json has them all)"
