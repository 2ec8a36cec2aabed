"""How ``lapilli run`` shows its answer to a reader."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from lapilli.cli.text import clean, colours_wanted, count, shape, to_type, width, wrapped
from lapilli.compiler.blocking import Blocking
from lapilli.profile.board_time import BoardTime

HEAD = 9
"""Columns of the words on the left."""
WIDEST = 100
SCORE_WIDTH = 8
LONGEST_LABEL = 40
EDGES = ("left", "top", "right", "bottom")
GAP = 3
"""Columns between columns."""
GLUE = "\u00a0"
LISTED = 6
"""Operators named before an ellipsis."""


def show(
    report: dict[str, Any], board: BoardTime | None, blocked: Blocking | None, path: str
) -> None:
    """Print the report of a run. ``board``: what a board is modelled to take for it, if it was
    emulated; ``blocked``: what stays on the CPU of the model at ``path``."""
    if "classes" in report:
        _show_classes(report)
    elif "detections" in report:
        _show_detections(report)
    else:
        _show_outputs(report)
    click.echo()
    _show_placement(report)
    _show_times(report)
    if board is not None:
        _block("Board", f"{board.line}; how sure: {board.evidence.short}")
    for key, head in (("image", "Picture"), ("output", "Outputs")):
        if key in report:
            click.echo(f"{head:<{HEAD}}{clean(report[key])}")
    if blocked is not None:
        _block("Next", to_type("explain", path, board.chip if board is not None else None))


def _show_classes(report: dict[str, Any]) -> None:
    # In a terminal a line is a class; in a file a name is whole.
    limit = width() - SCORE_WIDTH - 2 if sys.stdout.isatty() else 0
    for found in report["classes"]:
        click.echo(f"{found['score']:{SCORE_WIDTH}.4f}  {clean(_name(found), limit)}")


def _name(found: dict[str, Any]) -> str:
    return clean(found["label"]).strip() or f"class {found['class']}"


def _show_detections(report: dict[str, Any]) -> None:
    found = report["detections"]
    across, down = report["picture"]["width"], report["picture"]["height"]
    if not found:
        best = report["best_score"]
        what = "" if best is None else f"; the best is {best:.2f} (--threshold)"
        click.echo(f"Nothing found with a score of {report['threshold']:.2f} or more{what}")
        return
    rows: list[tuple[str, ...]] = [("class", "score", *EDGES)]
    for each in found:
        edges = (f"{each['box'][edge]:.0f}" for edge in EDGES)
        rows.append((clean(_name(each), LONGEST_LABEL), f"{each['score']:.2f}", *edges))
    lines = _aligned(rows)
    click.echo(click.style(lines[0], bold=True) if colours_wanted(sys.stdout) else lines[0])
    click.echo("\n".join(lines[1:]))
    click.echo(f"\n{count(len(found), 'detection')}; edges in pixels of {across}x{down}")


def _show_outputs(report: dict[str, Any]) -> None:
    for i, tensor in enumerate(report["outputs"]):
        click.echo(
            f"output_{i}  {clean(tensor['name'])}  {tensor['dtype']} "
            f"{shape(tuple(tensor['shape']))}"
        )
    if "output" not in report:
        click.echo("No reading for these outputs; --output OUT.npz writes their values")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines: the first column to the left, the others, which are numbers, to the right."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers in rows:
        line = first + " " * (widths[0] - cell_len(first))
        lines.append(
            line + "".join(f"{n:>{w + GAP}}" for n, w in zip(numbers, widths[1:], strict=True))
        )
    return lines


def _block(head: str, text: str) -> None:
    """Text behind a word on the left, folded to the terminal's width, but not at ``GLUE``."""
    lines = wrapped(f"{head:<{HEAD}}", text, min(width(), WIDEST))
    click.echo("\n".join(lines).replace(GLUE, " "))


def _show_placement(report: dict[str, Any]) -> None:
    kinds = ", ".join(f"{number}{GLUE}{kind}" for kind, number in report["npu_kinds"].items())
    parts = count(len(report["partitions"]), "part")
    placed = (
        f"{len(report['npu_operators'])} of {count(report['operators'], 'operator')} on "
        f"{report['device']} in {parts}: {kinds}"
    )
    _block("NPU", placed if report["npu_operators"] else "nothing: all of it ran on the CPU")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for operator in report["cpu_operators"]:
        rule = operator["rule"]
        # One line for each rule that was broken, and for each kind of operator.
        key = (rule, "" if rule == "operator" else operator["kind"])
        groups.setdefault(key, []).append(operator)
    if not groups:
        _block("CPU", "nothing")
    head = "CPU"
    for (rule, _), operators in _by_cost(groups, report["blocking"]):
        _block(head, _other_kinds(operators) if rule == "operator" else _refused(operators))
        head = ""


def _by_cost(
    groups: dict[tuple[str, str], list[dict[str, Any]]], blocked: dict[str, Any] | None
) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """What most multiplications are left to the CPU for comes first."""
    rules = [rule["rule"] for rule in blocked["rules"]] if blocked else []
    return sorted(
        groups.items(), key=lambda item: rules.index(item[0][0]) if item[0][0] in rules else 1 << 30
    )


def _other_kinds(operators: list[dict[str, Any]]) -> str:
    """Operators of kinds that the NPU never takes."""
    kinds = Counter(clean(o["kind"]).removeprefix("CUSTOM:") for o in operators)
    listed = ", ".join(f"{number}{GLUE}{kind}" for kind, number in kinds.most_common())
    return f"{count(len(operators), 'operator')} of kinds the NPU does not have: {listed}"


def _refused(operators: list[dict[str, Any]]) -> str:
    """Operators of one kind that break one rule; what was found is the first one's."""
    numbers = ", ".join(str(o["index"]) for o in operators[:LISTED])
    more = ", …" if len(operators) > LISTED else ""
    first = operators[0]
    return (
        f"{len(operators)} {clean(first['kind'])} (operator {numbers}{more}): "
        f"{clean(first['reason'])}"
    )


def _show_times(report: dict[str, Any]) -> None:
    load, compiling, first, later = (
        _time(report["times_ms"][name]) for name in ("load", "compile", "first_run", "run")
    )
    runs = report["runs"]
    more = "a further one" if runs == 1 else f"fastest of {runs} more"
    text = f"loading {load}, compiling {compiling}, first inference {first}, {more} {later}"
    if report["npu_operators"] and report["device"].startswith("emulator:"):
        text += " (emulated on this computer: no measure of the NPU's speed)"
    _block("Time", text)


def _time(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f}{GLUE}s"
    digits = 0 if milliseconds >= 10 else 2
    return f"{milliseconds:.{digits}f}{GLUE}ms"
