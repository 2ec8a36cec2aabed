"""``lapilli version``: of everything that a report of a fault should name."""

from __future__ import annotations

import json

import click

from lapilli.selftest import environment


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def version(as_json: bool) -> None:
    """Print the versions of lapilli, Python, NumPy, LiteRT and the kernel."""
    found = environment.versions()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        click.echo(f"{name:<9}{value if value is not None else 'not installed'}")
