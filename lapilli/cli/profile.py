"""``lapilli profile``: where the time goes, operator by operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from lapilli.answers.inputs import PictureWish
from lapilli.cli import options, targets, text
from lapilli.cli.completion import FILE
from lapilli.cli.remaining import remaining
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.device.counters import Counters
from lapilli.errors import UsageError
from lapilli.files import replacing
from lapilli.litert.runtime import native_messages
from lapilli.model.input_shapes import Shapes
from lapilli.printable import as_utf8
from lapilli.profile import json_report, node_data, page, rows, table, trace
from lapilli.profile.answer import answer
from lapilli.profile.events import Profile
from lapilli.profile.rows import Row
from lapilli.profile.sources import DEFAULT_DEVICE, Wishes, kind_of, profile_file


@click.command()
@click.argument("path", metavar="MODEL.tflite|PROGRAM.lapilli|RECORDING.npz", type=FILE)
@targets.device(
    DEFAULT_DEVICE,
    "An emulator, whose chip is modelled, or a board's render node, which is measured.",
)
@options.schedule()
@options.search()
@options.cuts()
@options.cache()
@options.shapes()
@options.inputs("zeros")
@options.pictures()
@click.option("--no-run", is_flag=True, help="Do not run the model to measure the CPU's part.")
@click.option(
    "--runs", default=3, show_default=True, type=click.IntRange(1), help="The median one counts."
)
@click.option("--sort", type=click.Choice(rows.SORTS), default="order", show_default=True)
@click.option("--jobs", is_flag=True, help="Also one row for each instruction.")
@click.option("--csv", "csv_path", metavar="OUT.csv", help="The table as CSV (--jobs: the jobs).")
@click.option("--trace", "trace_path", metavar="OUT.json", help="A trace for ui.perfetto.dev.")
@click.option("--html", "html_path", metavar="OUT.html", help="A page with drawings.")
@click.option("--node-data", "node_path", metavar="OUT.json", help="Times for Model Explorer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def profile(
    path: str,
    device: str,
    schedule: str,
    search: SearchOptions,
    partition: str | None,
    cache: bool,
    inputs: tuple[str, ...],
    picture_wish: PictureWish,
    shapes: Shapes,
    no_run: bool,
    runs: int,
    sort: str,
    jobs: bool,
    csv_path: str | None,
    trace_path: str | None,
    html_path: str | None,
    node_path: str | None,
    as_json: bool,
) -> None:
    """Say where the time of a model, a program or a recorded submit goes.

    NPU times are modelled from the command stream; on a board each part's is measured too. Times of
    operators that stay on the CPU are measured between the NPU's parts, on this machine.
    """
    if node_path is not None and kind_of(path) != "model":
        raise UsageError(f"--node-data needs a model's tensor names; {path} has none")
    wishes = Wishes(
        device,
        schedule,
        inputs,
        not no_run,
        runs,
        picture_wish,
        cache,
        shapes,
        search,
        partition,
    )
    with native_messages():
        found = profile_file(path, wishes)
    _write(csv_path, lambda: json_report.to_csv(found, jobs))
    _write(trace_path, lambda: json.dumps(trace.to_trace(found), indent=0))
    _write(html_path, lambda: page.to_html(found))
    _write(node_path, lambda: json.dumps(node_data.to_node_data(found), indent=1))
    if as_json:
        report = json_report.to_json(found)
        report["operators"] = rows.by(report["operators"], sort)
        click.echo(json.dumps(report, indent=2))
        return
    for line in report_lines(found, sort, jobs, text.width()):
        click.echo(line)
    for line in remaining(found.blocking, path, found.chip, text.width()):
        click.echo(line)


def _write(path: str | None, make: Any) -> None:
    """All of a file or nothing."""
    if path is not None:
        content: str = make()
        with replacing(path) as file:
            file.write(as_utf8(content))
        click.echo(text.clean(f"{path}: written"), err=True)


def report_lines(found: Profile, sort: str, jobs: bool, width: int) -> Iterator[str]:
    """The tables, sums and notes in lines of at most ``width``."""
    name = text.clean(found.model, max(width - 44, 16))
    yield text.clean(
        f"{name} on {found.chip}, {found.limits.clock_hz / 1e6:.0f} MHz, schedule {found.schedule}"
    )
    yield from text.wrapped("", text.clean(answer(found)), width)
    yield ""
    ordered = rows.by(rows.operator_rows(found), sort)
    yield from table.lines(
        ordered, table.OPERATOR_COLUMNS, _name, "output tensor", width, text.clean
    )
    if jobs:
        yield ""
        yield from table.lines(
            rows.job_rows(found), table.JOB_COLUMNS, _shape, "shape", width, text.clean
        )
    yield ""
    yield from summary(found, width)


def _name(row: Row, room: int) -> str:
    """The tensor; of programs and recordings, which have no names, the sizes."""
    return text.clean(row["name"] or row["shape"], room)


def _shape(row: Row, room: int) -> str:
    return text.clean(row["shape"], room)


def summary(found: Profile, width: int) -> Iterator[str]:
    """The sums, then what is measured and what is modelled."""
    total = rows.totals(found)
    lines = [("NPU, modelled", f"{_ms(total['npu_seconds'])}, {total['npu_cycles']:,} cycles")]
    if total["npu_seconds_measured"] is not None:
        lines.append(("NPU, measured", _ms(total["npu_seconds_measured"])))
    lines += [(f"  part {p.number}", _counted(p.counters)) for p in found.parts if p.counters]
    if total["operators_on_npu"] < total["operators"]:
        known = total["cpu_seconds_measured"] is not None
        lines.append(("CPU, measured" if known else "CPU", _ms(total["cpu_seconds_measured"])))
    if total["copying_seconds_measured"] is not None:
        lines.append(("copying", f"{_ms(total['copying_seconds_measured'])}, measured"))
    spent = ", ".join(
        f"{name} {100 * cycles / total['npu_cycles']:.1f} %"
        for name, cycles in total["cycles_by_bound"].items()
    )
    memory = [part.memory for part in found.parts if part.memory is not None]
    if memory:
        lines.append(
            (
                "tensors take",
                text.memory(sum(m.taken for m in memory), sum(m.apart for m in memory)),
            )
        )
    lines += [
        ("waits for", spent),
        (
            "MACs",
            (f"{total['macs'] / 1e6:,.1f} million real, " if total["macs"] else "")
            + f"{total['macs_dense'] / 1e6:,.1f} million dense, "
            f"{total['macs_useful'] / 1e6:,.1f} million useful; "
            f"{100 * total['utilisation']:.1f} % of the peak",
        ),
        (
            "bytes moved",
            f"{text.size(total['bytes'])}: input {text.size(total['bytes_input'])}, "
            f"output {text.size(total['bytes_output'])}, coefficients "
            f"{text.size(total['bytes_coefficients'])}; {total['bandwidth'] / 1e9:.2f} GB/s",
        ),
        (
            "coefficients",
            f"{text.size(total['coefficients_stored'])} stored, "
            f"{total['compression']:.2f} weights a byte",
        ),
    ]
    for head, body in lines:
        yield from text.wrapped(f"{head:14}", body, width)
    yield "What these words mean: lapilli help terms"
    for note in found.notes:
        yield from text.wrapped("", text.clean(note), width)


def _counted(counters: Counters) -> str:
    """What the kernel's counters say of a part."""

    def shown(value: str | None) -> str:
        return "not counted" if value is None else value

    cycles, idle = (None if n is None else f"{n:,}" for n in (counters.cycles, counters.idle))
    read, written = (None if n is None else text.size(n) for n in (counters.read, counters.written))
    return (
        f"cycles {shown(cycles)}, idle {shown(idle)}, read {shown(read)}, written "
        f"{shown(written)}, measured by the kernel's counters"
    )


def _ms(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds * 1e3:,.3f} ms"
