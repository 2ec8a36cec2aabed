"""What stays on the CPU and why, in the same words below every command."""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.cli import text
from lapilli.compiler.blocking import Blocking


def remaining(found: Blocking | None, path: str, chip: str | None, width: int) -> Iterator[str]:
    """Lines of at most ``width``: how much, the reason that costs most, and what to type next;
    none if nothing stays on the CPU."""
    if found is None:
        return
    more = len(found.rules) - 1
    others = f" And {text.count(more, 'more reason')}." if more > 0 else ""
    yield from text.wrapped(
        "", text.clean(f"On the CPU: {found.amount}. {found.reason}{others}"), width
    )
    yield from text.wrapped("Next: ", text.to_type("explain", path, chip), width)
