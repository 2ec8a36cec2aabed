"""An exception that comes out of the Python call below the runtime, past its C code.

A runtime turns whatever goes wrong in a delegate into a RuntimeError with a text, if it is told at
all. That is right for errors of ours. An exception of somebody else's, as what a signal's handler
raises while a callback runs, has to reach the program as itself: who expects a SystemExit, or a
TimeoutError, has an ``except`` for that, or none.

So the runtime is told that all is well, and the exception is set for this thread as one that is
raised "asynchronously": as soon as the thread is back in Python's bytecode. That must not be ours,
hence the detour over an operator that calls C only: see ``Raising``.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType
from typing import Any, Final

_SET = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)
# The status that the runtime gets: 0, all is well, whatever the number of threads that were set.
_SET.restype = (0).__and__


_ON_ITS_WAY: Final = "_raised_by_lapilli"
"""Marks an exception that the next callback meets, if the runtime goes on."""


class RaisedLater(RuntimeError):
    """An error of a callback that the runtime was not told of."""


def raising(error: BaseException) -> Any:
    """Something that a callback returns with a plus sign in front, which makes it 0 and ``error``
    what the Python code below the runtime gets.

    Between ``+`` and the end of the callback no bytecode may run that looks for such exceptions, as
    calls and loops do. Python makes the exception from a class, hence one that gives ``error``.
    """
    kind = type(error)
    if isinstance(error, SystemExit) and error.code and sys.version_info < (3, 12):
        # These make the exception when somebody looks at it. Nobody does so in front of a program's
        # end: as a SystemExit without a value it would end with 0, as what it is not with 1.
        kind = BaseException
    with contextlib.suppress(AttributeError, TypeError):
        error.__dict__[_ON_ITS_WAY] = True
    given = type(type(error).__name__, (kind,), {"__new__": lambda *_: error})
    call = staticmethod(partial(_SET, threading.get_ident(), given))
    return type("Raising", (), {"__pos__": call})()


def python_is_below() -> bool:
    """Whether the callback that asks, by one call of another function, was reached from Python code
    of this thread."""
    return sys._getframe(2).f_back is not None


def is_from_outside(error: BaseException) -> bool:
    """Whether it is none of ours, nor a mistake of ours: it ends programs, or a handler of signals
    raised it."""
    if not isinstance(error, Exception) or _ON_ITS_WAY in getattr(error, "__dict__", ()):
        return True
    handlers = _handlers()
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handlers() -> set[CodeType]:
    """The code of all handlers of signals that are written in Python."""
    found = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler):
            method = getattr(handler, "__func__", handler)
            if not isinstance(method, FunctionType):
                method = vars(type(handler)).get("__call__")
            if isinstance(method, FunctionType):
                found.add(method.__code__)
    return found


def from_its_entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, which begins with a ``try``, with the block covering its entry, too.

    Python looks for signals when it enters a function, before the first line. What a handler raises
    there would be nobody's: ctypes prints it, and the runtime gets any status. So the first row of
    the table of blocks is made to begin with the function. Pythons before 3.11 have no table, and
    don't look for signals in front of a ``try``.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__
    table: bytes = getattr(code, "co_exceptiontable", b"")
    if not table:
        return function
    start, at = _number(table, 0)
    length, at = _number(table, at)
    row = bytes([_FIRST | _digits(0)[0]]) + _digits(start + length) + table[at:]
    covered: Any = code.replace(co_exceptiontable=row)
    return FunctionType(covered, function.__globals__, function.__name__, function.__defaults__)


_FIRST, _MORE, _BITS = 0x80, 0x40, 6
"""Numbers in the table have six bits a byte, the highest in front; a bit tells that more follow,
another marks the first byte of a row."""


def _number(table: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    while True:
        byte = table[at]
        value, at = value << _BITS | byte & _MORE - 1, at + 1
        if not byte & _MORE:
            return value, at


def _digits(value: int) -> bytes:
    """A number as the table has it."""
    found = [value & _MORE - 1]
    while value := value >> _BITS:
        found.insert(0, value & _MORE - 1 | _MORE)
    return bytes(found)
