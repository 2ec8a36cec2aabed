"""What became of per-channel weights, from the cache or anew and then kept: it takes seconds.

An entry is a header in JSON, behind its length, and the new constants' bytes one after another.
"""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from lapilli.cache.key import units_key
from lapilli.cache.store import Store
from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.units.report import LayerLoss, Loss
from lapilli.compiler.units.requantise import Requantised
from lapilli.model.graph import Graph, Quantization, Tensor
from lapilli.model.graph_digest import part_digest
from lapilli.version import VERSION

log = logging.getLogger(__name__)
_LENGTH: Final = struct.Struct("<Q")
_TYPES: Final = ("int8", "int32")


def keeper(
    store: Store | None, wish: PerChannel
) -> Callable[[Graph, Sequence[Sequence[int]]], Requantised]:
    """``requantised_of`` with what is always the same."""
    return lambda graph, parts: requantised_of(store, graph, parts, wish)


def requantised_of(
    store: Store | None, graph: Graph, parts: Sequence[Sequence[int]], wish: PerChannel
) -> Requantised:
    """See ``PerChannel.done``, whose errors it raises."""
    if store is None or wish.seen(graph) is graph:
        return wish.done(graph, parts)
    everything = range(len(graph.operators))
    source = part_digest(graph, everything, graph.inputs, graph.outputs)
    key = units_key(source, [list(part) for part in parts], wish)
    data = store.get(key)
    if data is not None:
        try:
            return _read(data, graph)
        except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            log.info("the cache's %s is of no use: %s", key, error)
            store.drop(key)
    made = wish.done(graph, parts)
    if made.loss is not None:
        store.put(key, _written(made, graph), {"model": graph.name, "lapilli": VERSION})
    return made


def _written(made: Requantised, graph: Graph) -> bytes:
    changed = [
        tensor
        for tensor in made.graph.tensors
        if tensor.index >= len(graph.tensors) or tensor is not graph.tensors[tensor.index]
    ]
    contents = [np.ascontiguousarray(tensor.data).tobytes() for tensor in changed]
    assert made.loss is not None
    header = json.dumps(
        {
            "tensors": [_tensor(tensor) for tensor in changed],
            "operators": [
                [position, operator.inputs]
                for position, operator in enumerate(made.graph.operators)
                if operator is not graph.operators[position]
            ],
            "loss": asdict(made.loss),
        }
    ).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *contents))


def _tensor(tensor: Tensor) -> dict[str, Any]:
    found = tensor.quantization
    assert found is not None
    return {
        "index": tensor.index,
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "scales": found.scales,
        "axis": found.axis,
    }


def _read(data: bytes, graph: Graph) -> Requantised:
    """Raises what is caught above for anything that does not fit the graph."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    header = json.loads(data[_LENGTH.size : start])
    tensors, operators = list(graph.tensors), list(graph.operators)
    for told in header["tensors"]:
        tensor, start = _read_tensor(data, start, told)
        if tensor.index < len(graph.tensors):
            old = graph.tensors[tensor.index]
            if (old.shape, old.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"tensor {tensor.index} has another shape or type")
            tensors[tensor.index] = replace(old, quantization=tensor.quantization, data=tensor.data)
        elif tensor.index == len(tensors):
            tensors.append(tensor)
        else:
            raise ValueError(f"tensor {tensor.index} of {len(tensors)}")
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    for position, inputs in header["operators"]:
        if not all(-1 <= index < len(tensors) for index in inputs):
            raise ValueError(f"operator {position} reads what is not there")
        operators[position] = replace(operators[position], inputs=tuple(inputs))
    rewritten = replace(graph, tensors=tuple(tensors), operators=tuple(operators))
    layers = tuple(LayerLoss(**layer) for layer in header["loss"].pop("layers"))
    return Requantised(rewritten, Loss(layers=layers, **header["loss"]))


def _read_tensor(data: bytes, start: int, told: dict[str, Any]) -> tuple[Tensor, int]:
    shape = tuple(int(extent) for extent in told["shape"])
    if told["dtype"] not in _TYPES:
        raise ValueError(f"constants of {told['dtype']}")
    values = np.frombuffer(data, told["dtype"], math.prod(shape), start).reshape(shape)
    scales = tuple(float(scale) for scale in told["scales"])
    quantization = Quantization(scales, (0,) * len(scales), int(told["axis"]))
    tensor = Tensor(
        int(told["index"]), str(told["name"]), shape, told["dtype"], quantization, values
    )
    return tensor, start + values.nbytes
