"""One number for all that a part of a graph says: operators, options, tensors, constants.

A .tflite and what LiteRT tells a delegate of it give the same one. Options that are as their class
has them by default are left out, so that a new option changes nothing for models without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from lapilli.model.graph import Graph, Operator, Tensor


def part_digest(
    graph: Graph, operators: Sequence[int], inputs: Iterable[int], outputs: Iterable[int]
) -> str:
    """sha256, in hexadecimal digits, of the part made of ``operators`` (positions in
    ``graph.operators``), whose border ``inputs`` and ``outputs`` cross, in any order."""
    chosen = [graph.operators[i] for i in sorted(operators)]
    used = {t for o in chosen for t in (*o.inputs, *o.outputs) if t >= 0}
    tensors = [graph.tensors[i] for i in sorted(used | set(inputs) | set(outputs))]
    described = {
        "operators": [_operator(operator) for operator in chosen],
        "tensors": [_tensor(tensor) for tensor in tensors],
        "inputs": sorted(set(inputs)),
        "outputs": sorted(set(outputs)),
    }
    total = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for tensor in tensors:
        if tensor.data is not None:
            data = np.ascontiguousarray(tensor.data)
            total.update(data.reshape(-1).view(np.uint8).data if data.size else b"")
    return total.hexdigest()


def _operator(operator: Operator) -> list[Any]:
    options = None if operator.options is None else changed_fields(operator.options)
    return [operator.index, operator.kind, operator.inputs, operator.outputs, options]


def _tensor(tensor: Tensor) -> list[Any]:
    found = tensor.quantization
    return [
        tensor.index,
        tensor.name,
        tensor.shape,
        tensor.dtype,
        None if found is None else [found.scales, found.zero_points, found.axis],
        tensor.data is not None,
    ]


def changed_fields(value: Any) -> list[Any]:
    """A dataclass as JSON can have it: its name, and the fields that are not as by default."""
    found = {}
    for each in fields(value):
        own = getattr(value, each.name)
        if each.default is MISSING or own != each.default:
            found[each.name] = plain(own)
    return [type(value).__name__, found]


def plain(value: Any) -> Any:
    """A value as JSON can have it. Raises TypeError for one of an unexpected kind."""
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return changed_fields(value)
    if isinstance(value, frozenset | set):
        return sorted((plain(each) for each in value), key=repr)
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    raise TypeError(f"a {type(value).__name__} in {value!r}")
