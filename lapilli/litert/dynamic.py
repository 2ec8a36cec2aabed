"""Whether the graph that a delegate is about to be applied to has dynamic tensors: such whose shape
is known at run time only.

A delegate says beforehand, in a flag, whether it allows them. Without the flag the runtime refuses
such a graph; with it, it works out no shapes before it asks, and leaves kernels where they are when
inputs are resized, so that nothing could go to the CPU and come back. So it is asked first.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any, Final

from lapilli.litert import tflite_c


class _Question:
    """``reached``: the runtime found no dynamic tensors."""

    reached = False


def is_dynamic_for(delegate: object) -> bool:
    """For the interpreter that is asking ``delegate`` for its structure.

    LiteRT's Python class does so in its constructor. True where somebody else asks, as a program in
    C: whatever comes is to run.
    """
    asking = _interpreter_that_asks()
    if asking is None:
        return True
    if next(iter(getattr(asking, "_delegates", ())), None) is not delegate:
        # What is refused takes all others back with it: don't ask behind another delegate.
        return False
    return _refuses_to_ask(asking._interpreter.ModifyGraphWithDelegate)


def _interpreter_that_asks() -> Any:
    """LiteRT's Interpreter whose constructor called us, or None."""
    frame = sys._getframe()
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        asking = frame.f_locals.get("self")
        if hasattr(getattr(asking, "_interpreter", None), "ModifyGraphWithDelegate"):
            return asking
    return None


_DEPTH: Final = 6
"""Callers looked at: the constructor may be behind a class that wraps a Delegate."""


def _refuses_to_ask(apply: Any) -> bool:
    """Whether the runtime refuses a delegate without the flag before it has asked it: for dynamic
    tensors, or for an operator that only another delegate knows. What is really wrong with a model
    it tells later, when it prepares it."""
    question = _Question()
    structure = tflite_c.TfLiteDelegate(data_=id(question), Prepare=_PREPARE)
    with contextlib.suppress(RuntimeError, ValueError):
        apply(ctypes.addressof(structure))
    return not question.reached


def _prepare(_context: Any, structure: Any) -> int:
    """Only notes that it was called; an error, so that the runtime forgets us."""
    address = structure.contents.data_
    question: Any = ctypes.py_object.from_buffer(ctypes.c_void_p(address)).value
    question.reached = True
    return tflite_c.Status.ERROR


_PREPARE = tflite_c.DelegatePrepareFunction(_prepare)
