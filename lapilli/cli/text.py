"""Text that is safe to print, and its place on the screen.

Names come from files that anybody may have made: nothing in them may move the cursor, change
colours, set the terminal's title or look like markup.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from typing import TextIO

REPLACEMENT = "�"
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"  # everything shorter
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one character
)


def clean(text: str, limit: int = 0) -> str:
    """``text`` in one line, without escape sequences; other characters that don't print become
    ``REPLACEMENT``. With ``limit`` the middle is left out beyond that many characters."""
    text = _ESCAPE.sub("", text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c in "\n\t" else REPLACEMENT for c in text)
    if limit and len(text) > limit:
        tail = (limit - 1) * 2 // 3
        text = text[: limit - 1 - tail] + "…" + text[len(text) - tail :]
    return text


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


def shape(extents: tuple[int, ...]) -> str:
    """As in ``1x224x224x3``; a scalar is ``[]``."""
    return "x".join(map(str, extents)) or "[]"


def count(number: int, noun: str) -> str:
    """As in ``1 job`` and ``2 jobs``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


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
