"""The rows of ``lapilli explain``: one an operator, or one for all that are equal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from lapilli.cli import text
from lapilli.compiler.explanation import Explanation, OperatorLine
from lapilli.compiler.reasons import Reason
from lapilli.compiler.verdict import ON_HOST

WIDEST_KIND = 18
LEAST_SHAPE = 11
GAP = "  "
ARROW = " -> "


@dataclass(frozen=True)
class Row:
    """Equal operators. ``why``: numbers of the reasons, or in words."""

    kind: str
    shapes: str
    share: float
    on_npu: bool
    why: str
    lines: tuple[OperatorLine, ...]


def rows(report: Explanation, everything: bool) -> list[Row]:
    """In order of the first operator of each; each by itself if ``everything`` is wanted."""
    found: dict[object, Row] = {}
    for line in report.operators:
        row = Row(
            line.operator.kind,
            _shapes(line),
            line.macs / report.macs if report.macs else 0.0,
            line.verdict.supported,
            _why(line, report.reasons),
            (line,),
        )
        key: object = (row.kind, row.shapes, row.on_npu, row.why)
        if everything:
            key = line.operator.index
        if key in found:
            before = found[key]
            found[key] = Row(
                row.kind,
                row.shapes,
                before.share + row.share,
                row.on_npu,
                row.why,
                (*before.lines, line),
            )
        else:
            found[key] = row
    return list(found.values())


def table(report: Explanation, width: int, everything: bool) -> Iterator[str]:
    """The rows in lines of at most ``width``. If ``everything`` is wanted, what each operator of
    the CPU breaks follows it."""
    shown = rows(report, everything)
    numbers = [_number(row) for row in shown]
    kinds = [text.clean(row.kind, WIDEST_KIND) for row in shown]
    first = max(map(len, (*numbers, "#")))
    second = max(map(len, (*kinds, "operator")))
    last = max(map(len, (*(row.why for row in shown), "why")))
    fixed = first + second + len("MAC%") + len("NPU") + last + 5 * len(GAP)
    sizes, size_head = [row.shapes for row in shown], "shapes"
    if max(map(len, (*sizes, size_head))) > width - fixed:
        sizes, size_head = [row.shapes.split(ARROW)[-1] for row in shown], "output"
    third = min(max(map(len, (*sizes, size_head))), max(width - fixed, LEAST_SHAPE))
    heads = (f"{'#':>{first}}", f"{'operator':{second}}", f"{size_head:{third}}", "MAC%", "on ")
    yield GAP.join((*heads, "why"))
    for row, number, kind, size in zip(shown, numbers, kinds, sizes, strict=True):
        on, colour = ("NPU", "green") if row.on_npu else ("CPU", "yellow")
        share = f"{100 * row.share:.1f}" if row.share else ""
        cells = (
            f"{number:>{first}}",
            f"{kind:{second}}",
            f"{text.clean(size, third):{third}}",
            f"{share:>4}",
            click.style(on, colour) if text.colours_wanted(sys.stdout) else on,
            row.why,
        )
        yield GAP.join(cells).rstrip()
        if everything:
            yield from _broken(row.lines[0], first, width)


def _broken(line: OperatorLine, indent: int, width: int) -> Iterator[str]:
    """What an operator breaks, a line each."""
    if line.verdict.rule == ON_HOST:
        return
    for broken in line.verdict.broken:
        if broken.found != line.operator.kind:
            yield from text.wrapped(
                " " * (indent + len(GAP)), text.clean(f"{broken.rule}: {broken.found}"), width
            )


def _number(row: Row) -> str:
    """The first operator, and how many are like it."""
    index = str(row.lines[0].operator.index)
    return index if len(row.lines) == 1 else f"{index} +{len(row.lines) - 1}"


def _why(line: OperatorLine, reasons: Sequence[Reason]) -> str:
    if line.verdict.supported:
        into = line.verdict.folded_into
        return "" if into is None else f"with {into}"
    numbers = [
        str(number)
        for number, reason in enumerate(reasons, 1)
        if line.operator.index in reason.operators
    ]
    return ",".join(numbers) or "on the host"


def _shapes(line: OperatorLine) -> str:
    """As in ``1x28x28x64 +1 -> 1x28x28x64``: the first of several and how many more."""
    sides = []
    for shapes in (line.inputs, line.outputs):
        first = text.shape(shapes[0]) if shapes else "nothing"
        sides.append(first + (f" +{len(shapes) - 1}" if len(shapes) > 1 else ""))
    return ARROW.join(sides)
