"""How many bytes a tensor's values take."""

from __future__ import annotations

from typing import Final

from lapilli.model.graph import Graph

_ITEM_BYTES: Final = {
    "uint8": 1, "int8": 1, "bool": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


def byte_size(graph: Graph, tensor: int) -> int:
    """Bytes of a tensor; 0 for types of no fixed size."""
    found = graph.tensors[tensor]
    return found.size * _ITEM_BYTES.get(found.dtype, 0)
