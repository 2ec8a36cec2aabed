"""``lapilli doctor``: what is wrong on this machine, and how to mend it."""

from __future__ import annotations

import json

import click

from lapilli.cli import targets
from lapilli.cli.text import clean
from lapilli.device import open as opening
from lapilli.errors import ExitCode
from lapilli.selftest import environment
from lapilli.selftest.doctor import Machine, State, examine


@click.command()
@targets.device(opening.AUTO)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(device: str, as_json: bool) -> int:  # fmt: skip
    """Check everything an inference on the NPU needs. Exit code 5 if it can't be used."""
    checks = examine(Machine(opening.this_machine()), device)
    usable = all(check.state is not State.PROBLEM for check in checks)
    if as_json:
        report = {
            "usable": usable,
            "versions": environment.versions(),
            "checks": [
                {**vars(check), "state": check.state.value}  # in the order of the dataclass
                for check in checks
            ],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for check in checks:
            click.echo(clean(f"{check.state.value:<9}{check.name:<13}{check.found}"))
            if check.mend and check.state is not State.OK:
                click.echo(clean(f"{'':<9}{'':<13}-> {check.mend}"))
        click.echo("\nready" if usable else "\nnot ready: mend the problems above, from the top")
    return ExitCode.OK if usable else ExitCode.NO_DEVICE
