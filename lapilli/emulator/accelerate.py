"""Compiling the one loop that numpy can't do at once, if numba is there (``lapilli[fast]``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

LONGEST_REASON = 200
log = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@cache
def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result] | None:
    """The function in machine code, for numpy arrays; None without numba.

    numba is imported here and not before: it takes longer than most programs need it.
    """
    njit = _njit()
    if njit is None:
        return None
    try:
        fast: Callable[Parameters, Result] = njit(cache=True)(function)
    except RuntimeError:  # no folder to keep the machine code in
        fast = njit(function)
    return fast


@cache
def _njit() -> Any:
    """numba's compiler, or None; a numba that is there and broken is said once."""
    try:
        from numba import njit
    except ModuleNotFoundError as error:
        if error.name == "numba":
            return None
        _say(f"{type(error).__name__}: {error}")
        return None
    except Exception as error:  # whatever a broken or mismatched installation raises
        _say(f"{type(error).__name__}: {error}")
        return None
    return njit


def attempt(
    fast: Callable[Parameters, Result], *arguments: Parameters.args, **more: Parameters.kwargs
) -> Result | None:
    """What a compiled function gives, which can't raise by itself; None if compiling it for these
    arguments failed."""
    try:
        return fast(*arguments, **more)
    except Exception as error:
        _say(f"{type(error).__name__}: {error}")
        return None


@cache
def _say(reason: str) -> None:
    """One line, once for a reason."""
    log.warning(
        "numba is installed but can't be used (%s); going on without it, more slowly",
        " ".join(reason.split())[:LONGEST_REASON],
    )
