"""What the shared library calls: a delegate from options that are all text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lapilli.errors import UsageError
from lapilli.litert.delegate import Delegate
from lapilli.litert.options import COMPILED

TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
LEAST = {"min_partition": 1, "effort": 0}
"""Options that are numbers, and the lowest of each."""


def create(options: Mapping[str, str]) -> Delegate:
    """The delegate for ``options``. Raises UsageError for a value that can't be read; unknown keys
    and values out of range are refused by the delegate itself."""
    return Delegate(**{key: _parsed(key, value) for key, value in options.items()})


def _parsed(key: str, value: str) -> Any:
    if key == "cache":  # or a folder
        return TRUTH.get(value.lower(), value)
    if key in ("strict", "postprocess", "profile"):
        if key == "postprocess" and value == COMPILED:
            return value
        if value.lower() not in TRUTH:
            raise UsageError(f"option {key} is {value!r}; allowed: {', '.join(TRUTH)}")
        return TRUTH[value.lower()]
    if key in LEAST:
        try:
            return int(value)
        except ValueError as error:
            raise UsageError(
                f"option {key} is {value!r}; allowed: a whole number from {LEAST[key]}"
            ) from error
    return value
