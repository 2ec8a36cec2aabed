"""LiteRT's interpreters as a comparison needs them: with the CPU kernels asked for, keeping what is
inside a model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lapilli.errors import UsageError
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate
from lapilli.litert.inference import litert_failure
from lapilli.model.graph import Values

REFERENCES = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "ref": "BUILTIN_REF",
}
"""A reference's name -> LiteRT's name of the operator resolver."""

YARDSTICKS = {"xnnpack": "builtin", "builtin": "xnnpack", "ref": "xnnpack"}
"""Reference -> the CPU kernels it is compared with in turn, to see what is a usual difference."""

TensorValues = dict[int, Values]
"""Values by tensor."""


def build(
    content: bytes, name: str, reference: str, keep: bool, delegate: Delegate | None = None
) -> Any:
    """An allocated interpreter; ``keep`` all tensors' values. Raises ModelError, or what the
    delegate raised."""
    interpreter_class = litert.interpreter_class()
    resolvers = sys.modules[interpreter_class.__module__].OpResolverType
    options: dict[str, Any] = {} if delegate is None else {"experimental_delegates": [delegate]}
    try:
        with warnings.catch_warnings():
            # That keeping tensors takes memory.
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")
            interpreter = interpreter_class(
                model_content=content,
                num_threads=1,
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=getattr(resolvers, REFERENCES[reference]),
                **options,
            )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise litert_failure(error, name, delegate) from error
    return interpreter


def invoke(
    interpreter: Any, inputs: Sequence[Values], name: str, delegate: Delegate | None = None
) -> None:
    """One inference."""
    details = interpreter.get_input_details()
    if len(details) != len(inputs):
        raise UsageError(f"{name} has {len(details)} inputs; {len(inputs)} were given")
    try:
        for detail, values in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise litert_failure(error, name, delegate) from error


def results(interpreter: Any, tensors: Iterable[int]) -> TensorValues:
    """Copies of the tensors that hold values."""
    found = {}
    for tensor in tensors:
        try:
            found[tensor] = np.asarray(interpreter.get_tensor(tensor))
        except (RuntimeError, ValueError):
            continue  # one that no kernel wrote
    return found


def delegated(interpreter: Any) -> int:
    """How many nodes XNNPACK has; it takes one operator each if all tensors are kept."""
    details = interpreter._get_ops_details()
    return sum(detail["op_name"] == "DELEGATE" for detail in details)
