"""``lapilli devices``: every render node, and whether it is an NPU that can be used."""

from __future__ import annotations

import json
from typing import Any

import click

from lapilli.cli.text import clean
from lapilli.device import open as opening
from lapilli.device.candidates import Candidate, candidates
from lapilli.device.system import NODE_PATTERN, NODES
from lapilli.hw.chips import CHIPS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def devices(as_json: bool) -> None:
    """List the NPUs of this machine, and why others can't be used."""
    found = candidates(opening.this_machine())
    emulators = opening.emulators()
    if as_json:
        report = {"devices": [_json(each) for each in found], "emulators": emulators}
        click.echo(json.dumps(report, indent=2))
        return
    if not found:
        click.echo(f"no render node {NODES}/{NODE_PATTERN} (see: lapilli doctor)")
    for each in found:
        click.echo(clean(_line(each)))
    tested = [chip.description for chip in CHIPS if chip.evidence.name == "RECORDED"]
    click.echo(f"\nEmulated: {', '.join(emulators)}")
    click.echo(clean(f"Checked against recordings: {'; '.join(tested)}"))


def _line(each: Candidate) -> str:
    if each.identity is None:
        # The reason starts with the path.
        return each.reason if each.reason.startswith(each.path) else f"{each.path}: {each.reason}"
    chip = each.identity.chip
    return f"{each.path}: {chip.name}, {chip.description} ({each.driver}; {each.identity.core})"


def _json(each: Candidate) -> dict[str, Any]:
    return {
        "path": each.path,
        "usable": each.identity is not None,
        "reason": each.reason,
        "driver": None if each.driver is None else each.driver.name,
        "driver_version": (
            None
            if each.driver is None
            else f"{each.driver.major}.{each.driver.minor}.{each.driver.patch}"
        ),
        "chip": None if each.identity is None else each.identity.chip.name,
        "cores": [vars(core) for core in each.cores],
    }
