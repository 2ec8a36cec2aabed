"""Text and its place on the screen; ``clean`` for names, which anybody may have made."""

from __future__ import annotations

import os
import shlex
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import click

from lapilli.printable import clean as clean


def width() -> int:
    """Columns to fill: the terminal's or COLUMNS, and 80 where there is neither."""
    return max(shutil.get_terminal_size((80, 24)).columns, 60)


def colours_wanted(file: TextIO) -> bool:
    """A terminal, and neither NO_COLOR nor a dumb one."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def size(count: int) -> str:
    """Bytes for a reader, as in ``512 KiB``."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
    return f"{count} bytes"


def memory(taken: int, apart: int) -> str:
    """What tensors take, as in ``1.2 MiB, one buffer each would be 5.2 MiB``."""
    return f"{size(taken)}, one buffer each would be {size(apart)}"


def shape(extents: tuple[int, ...]) -> str:
    """As in ``1x224x224x3``; a scalar is ``[]``."""
    return "x".join(map(str, extents)) or "[]"


def count(number: int, noun: str) -> str:
    """As in ``1 job`` and ``2 jobs``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def parts_then(parts: int | None, now: int) -> str:
    """As in ``1 part instead of 3``; None: too many reasons to count for each."""
    then = "an unknown number of parts" if parts is None else count(parts, "part")
    return f"{then} instead of {now}"


def ranges(numbers: Sequence[int]) -> str:
    """As in ``operators 1-3, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in spans]
    return ("operator " if len(numbers) == 1 else "operators ") + ", ".join(texts)


def wrapped(head: str, body: str, columns: int) -> list[str]:
    """``head`` and ``body`` in lines of at most ``columns``, the later ones indented as far."""
    if len(head) + len(body) <= columns:
        return [head + body]
    indent = " " * (len(head) if len(head) < columns - 24 else 8)
    return textwrap.wrap(
        body,
        columns,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def to_type(command: str, path: str, chip: str | None = None) -> str:
    """A command of ours about a file, as a shell takes it."""
    return f"lapilli {command} {shlex.quote(clean(path))}" + (f" --chip {chip}" if chip else "")


def say(notes: Iterable[str]) -> None:
    """What was assumed, on standard error, a line each; nothing if ``lapilli -q`` was called."""
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().params.get("quiet"):
        return
    for note in notes:
        click.echo(clean(f"lapilli: note: {note}"), err=True)
