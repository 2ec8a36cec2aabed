"""Text that is safe to show.

Names come from files that anybody may have made: nothing in them may move the cursor, change
colours, set the terminal's title or look like markup.
"""

from __future__ import annotations

import re

REPLACEMENT = "�"
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"  # everything shorter
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one character
)


def as_utf8(text: str) -> bytes:
    """For a file. File names that are no UTF-8 have characters that UTF-8 hasn't: they become
    ``REPLACEMENT``."""
    return _SURROGATE.sub(REPLACEMENT, text).encode()


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
