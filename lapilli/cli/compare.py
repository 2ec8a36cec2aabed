"""``lapilli compare``: two models, schedules, programs or recordings side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import click

from lapilli.cli import targets, text
from lapilli.cli.completion import FILE
from lapilli.profile import comparison, table
from lapilli.profile.events import Profile
from lapilli.profile.rows import Row
from lapilli.profile.sources import DEFAULT_DEVICE, Wishes, profile_file
from lapilli.profile.table import ABSENT, Column
from lapilli.timing.evidence import evidence_of

SCHEDULES = click.Choice(["reference", "best"])
KINDS = "MODEL.tflite|PROGRAM.lapilli|RECORDING.npz"


@click.command()
@click.argument("a", metavar=f"A({KINDS})", type=FILE)
@click.argument("b", metavar="B", type=FILE)
@click.option("--chip", metavar="CHIP", help="Of both, if no device says another.")
@click.option("--device-a", help=f"Device of A.  [default: {DEFAULT_DEVICE}]")
@click.option("--device-b", help="Device of B.  [default: that of A]")
@click.option("--schedule-a", type=SCHEDULES, default="best", show_default=True)
@click.option("--schedule-b", type=SCHEDULES, default="best", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(
    a: str,
    b: str,
    chip: str | None,
    device_a: str | None,
    device_b: str | None,
    schedule_a: str,
    schedule_b: str,
    as_json: bool,
) -> None:
    """Compare what A and B cost on the NPU, operator by operator. Nothing is run."""
    both = targets.chosen_device(None, chip, DEFAULT_DEVICE)
    first = targets.chosen_device(device_a, None, both)
    second = targets.chosen_device(device_b, None, both if chip else first)
    one = profile_file(a, Wishes(first, schedule_a, measure=False))
    other = profile_file(b, Wishes(second, schedule_b, measure=False))
    if as_json:
        click.echo(json.dumps(comparison.to_json(one, other), indent=2))
        return
    for line in _lines(one, other, text.width()):
        click.echo(line)


def _number(key: str, factor: float, digits: int, sign: str = "") -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row[key]
        return ABSENT if value is None else f"{value * factor:{sign},.{digits}f}"

    return cell


def _operator(row: Row) -> str:
    return str(row["operators"][0] if row["operators"] else row["row"])


def _bound(row: Row) -> str:
    """One word if nothing changed."""
    a, b = row["bound_a"] or ABSENT, row["bound_b"] or ABSENT
    return a if a == b else f"{a} > {b}"


COLUMNS = (
    Column("#", -1, _operator),
    Column("operator", -1, lambda row: str(row["kind"]), left=True),
    Column("ms A", -1, _number("seconds_a", 1e3, 3)),
    Column("ms B", -1, _number("seconds_b", 1e3, 3)),
    Column("B-A", -1, _number("seconds_difference", 1e3, 3, "+")),
    Column("KiB A", 1, _number("bytes_a", 1 / 1024, 0)),
    Column("KiB B", 1, _number("bytes_b", 1 / 1024, 0)),
    Column("B-A", 0, _number("bytes_difference", 1 / 1024, 0, "+")),
    Column("bound by", 1, _bound, left=True),
)


def _lines(a: Profile, b: Profile, width: int) -> Iterator[str]:
    for letter, each in (("A", a), ("B", b)):
        name = text.clean(each.model, max(width - 44, 16))
        yield text.clean(f"{letter}: {name} on {each.chip}, schedule {each.schedule}")
    yield ""
    rows = comparison.rows_of(comparison.pairs(a, b))
    yield from table.lines(rows, COLUMNS, _name, "output tensor", width, text.clean)
    yield ""
    total = comparison.totals(a, b)
    yield from text.wrapped(
        "NPU, modelled  ",
        f"A {total['npu_seconds_a'] * 1e3:,.3f} ms, B {total['npu_seconds_b'] * 1e3:,.3f} ms, "
        f"B-A {total['npu_seconds_difference'] * 1e3:+,.3f} ms"
        + _percent(total["npu_seconds_a"], total["npu_seconds_b"]),
        width,
    )
    yield from text.wrapped(
        "bytes moved    ",
        f"A {text.size(total['bytes_a'])}, B {text.size(total['bytes_b'])}"
        + _percent(total["bytes_a"], total["bytes_b"]),
        width,
    )
    for sentence in dict.fromkeys(evidence_of(each.chip).sentence for each in (a, b)):
        yield from text.wrapped("", sentence, width)


def _percent(a: float, b: float) -> str:
    return f" ({100 * (b - a) / a:+.1f} %)" if a else ""


def _name(row: Row, room: int) -> str:
    return text.clean(row["name"] or row["shape"], room)
