"""``lapilli calibrate-cpu``: measure this CPU, for the choice of what goes to the NPU."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path

import click

from lapilli.cli import text
from lapilli.cpu_rates import VARIABLE, settings_file, write_rates
from lapilli.errors import UsageError
from lapilli.litert import runtime as litert
from lapilli.selftest.cpu_speed import compared, measure_cpu
from lapilli.timing.cpu import MEASURED, CpuRates


@click.command("calibrate-cpu")
@click.option(
    "-o",
    "--output",
    metavar="RATES.json",
    help=f"Write here, for {VARIABLE} on another machine.  [default: your settings]",
)
@click.option(
    "--num_threads",
    default=-1,
    show_default=True,
    metavar="N",
    type=int,
    help="Threads of LiteRT's CPU operators; -1: its own choice.",
)
@click.option("--dry-run", is_flag=True, help="Measure and show, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate_cpu(output: str | None, num_threads: int, dry_run: bool, as_json: bool) -> None:
    """Measure how fast this machine's CPU does a model's operators, in a few seconds.

    Parts of a model that are modelled to be faster on the CPU stay there (--partition fastest).
    Without this the CPU is an A311D's; run it on the board whose NPU is used.
    """
    if num_threads < -1 or num_threads == 0:
        raise UsageError(f"--num_threads is 1 or more, or -1, not {num_threads}")
    path = settings_file() if output is None else Path(output)
    if path is None and not dry_run:
        raise UsageError(
            f"{VARIABLE} is set to nothing, so there are no settings; say where to write: --output"
        )
    name = f"{platform.node() or 'this machine'} ({platform.machine()})"
    with litert.native_messages():
        rates = measure_cpu(text.clean(name), None if num_threads == -1 else num_threads)
    if not dry_run:
        assert path is not None
        write_rates(rates, path)
        click.echo(text.clean(f"{path}: written"), err=True)
    if as_json:
        written = None if dry_run else str(path)
        click.echo(json.dumps({**asdict(rates), "output": written}, indent=2))
    else:
        _print(rates)


def _print(rates: CpuRates) -> None:
    click.echo(text.clean(f"CPU of {rates.name}, beside the rates built in:"))
    for name, value, built_in in compared(rates):
        how = "" if name in MEASURED else "  not measured"
        click.echo(f"  {name:<22}{value:>12.4g}{built_in:>12.4g}{how}")
