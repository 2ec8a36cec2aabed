"""Whether the graph that a delegate is about to be applied to has dynamic tensors: such whose shape
is known at run time only.

A delegate says beforehand, in a flag, whether it allows them. Without the flag the runtime refuses
such a graph; with it, it works out no shapes before it asks, and leaves kernels where they are when
inputs are resized, so that nothing could go to the CPU and come back. So it is found out first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from lapilli.errors import LapilliError
from lapilli.litert import tflite_c
from lapilli.model import tflite
from lapilli.model.options import DETECTION_POSTPROCESS
from lapilli.model.settle import settled_anew
from lapilli.model.shapes import RULES


class _Question:
    """``reached``: the runtime found no dynamic tensors."""

    reached = False


def is_dynamic_for(delegate: object) -> bool:
    """For the interpreter that is asking ``delegate`` for its structure.

    LiteRT's Python class does so in its constructor. True where somebody else asks, as a program in
    C: whatever comes is to run.
    """
    asking = _constructor_that_asks()
    if asking is None:
        return True
    interpreter = asking["self"]
    if next(iter(getattr(interpreter, "_delegates", ())), None) is not delegate:
        # What is refused takes all others back with it: don't ask behind another delegate.
        return False
    if _is_known_to_be_fixed(asking):
        return False
    return _refuses_to_ask(interpreter._interpreter.ModifyGraphWithDelegate)


def _constructor_that_asks() -> Mapping[str, Any] | None:
    """The local names of the constructor of LiteRT's Interpreter that called us, or None."""
    frame = sys._getframe()
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        asking = frame.f_locals.get("self")
        if hasattr(getattr(asking, "_interpreter", None), "ModifyGraphWithDelegate"):
            return frame.f_locals
    return None


_DEPTH: Final = 6
"""Callers looked at: the constructor may be behind a class that wraps a Delegate."""


def _is_known_to_be_fixed(asking: Mapping[str, Any]) -> bool:
    """Whether the shapes of all tensors of the model that the interpreter was given follow from its
    file. Then the runtime need not be asked: its refusal leaves words in all errors to come."""
    content, path = asking.get("model_content"), asking.get("model_path")
    try:
        if content is None and path is not None:
            content = tflite.read_file(os.fsdecode(path))
        graph = tflite.parse(bytes(content or b""), "the model")
    except (LapilliError, TypeError):
        return False
    # A custom operator may be one that only another delegate knows: the runtime is asked.
    known = all(
        o.kind == DETECTION_POSTPROCESS or (o.kind in RULES and not o.kind.startswith("CUSTOM:"))
        for o in graph.operators
    )
    return known and not graph.remarks and not settled_anew(graph, {})[1]


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
