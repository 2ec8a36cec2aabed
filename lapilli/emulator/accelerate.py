"""Compiling the one loop that numpy can't do at once, if numba is there (``lapilli[fast]``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@cache
def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result] | None:
    """The function in machine code, for numpy arrays; None without numba.

    numba is imported here and not before: it takes longer than most programs need it.
    """
    try:
        from numba import njit
    except ImportError:
        return None
    try:
        fast: Callable[Parameters, Result] = njit(cache=True)(function)
    except RuntimeError:  # no folder to keep the machine code in
        fast = njit(function)
    return fast
