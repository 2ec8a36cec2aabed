"""``lapilli cache``: the compiled programs that are kept, and an end to them."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from lapilli.cache.folder import VARIABLE, cache_folder
from lapilli.cache.store import Entry, Store
from lapilli.cli import text

WIDEST_MODEL = 40
OFF = f"No program is kept: {VARIABLE} is set to nothing."


@click.group()
def cache() -> None:
    """Show or clear the programs that are kept.

    What was compiled once is taken from there as long as model, chip, options and this version of
    lapilli are the same. The folder is the user's cache folder, or what LAPILLI_CACHE names; with
    LAPILLI_CACHE set to nothing, no program is kept. It may be deleted at any time.
    """


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(as_json: bool) -> None:
    """List the programs that are kept, the last used first."""
    store = _store()
    entries = [] if store is None else store.entries()
    total = sum(entry.size for entry in entries)
    if as_json:
        report = {
            "folder": None if store is None else str(store.folder),
            "limit_bytes": None if store is None else store.limit,
            "bytes": total,
            "entries": [_json(entry) for entry in entries],
        }
        click.echo(json.dumps(report, indent=2))
        return
    if store is None:
        click.echo(OFF)
        return
    for entry in entries:
        click.echo(_line(entry))
    click.echo(
        f"{text.count(len(entries), 'program')}, {text.size(total)} of "
        f"{text.size(store.limit)}, in {text.clean(str(store.folder))}"
    )


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def clear(as_json: bool) -> None:
    """Remove all programs that are kept."""
    store = _store()
    count, size = (0, 0) if store is None else store.clear()
    if as_json:
        folder = None if store is None else str(store.folder)
        click.echo(json.dumps({"folder": folder, "removed": count, "bytes": size}, indent=2))
    elif store is None:
        click.echo(OFF)
    else:
        click.echo(
            f"{text.count(count, 'program')}, {text.size(size)}, removed from "
            f"{text.clean(str(store.folder))}"
        )


def _store() -> Store | None:
    folder = cache_folder()
    return None if folder is None else Store(folder)


def _told(entry: Entry, name: str) -> str:
    return str(entry.note.get(name, "?"))


def _line(entry: Entry) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
    model = text.clean(_told(entry, "model"), WIDEST_MODEL)
    return text.clean(
        f"{used}  {text.size(entry.size):>9}  {model:{WIDEST_MODEL}}  {_told(entry, 'chip')}, "
        f"{_told(entry, 'schedule')}, {_told(entry, 'operators')} operators"
    )


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "file": entry.path.name,
        "bytes": entry.size,
        "used": entry.used,
        **{name: entry.note.get(name) for name in ("model", "chip", "schedule", "lapilli")},
        "operators": entry.note.get("operators"),
    }
