"""What operators make of each of the 256 bytes, as TFLite's reference kernels compute it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lapilli.model.graph import Graph, Operator, Tensor
from lapilli.program.program import Bytes
from lapilli.reference.executor import execute

BYTES = 256
_SHAPE = (1, 16, 16, 1)


def every_byte(graph: Graph, operators: Sequence[Operator], source: int, result: int) -> Bytes:
    """[256]: what each byte of tensor ``source`` has become in tensor ``result`` behind
    ``operators``, which are elementwise, in order. Their constants stand for one number each.
    Raises Unsupported for what no kernel does."""
    mentioned = {t for operator in operators for t in (*operator.inputs, *operator.outputs)}
    tensors = tuple(
        _square(tensor) if tensor.index in mentioned else tensor for tensor in graph.tensors
    )
    small = replace(graph, tensors=tensors, operators=tuple(operators))
    given = np.arange(BYTES, dtype=np.uint8).reshape(1, *_SHAPE)
    found = execute(small, {source: given}, keep=[result], operators=range(len(operators)))
    return found[result].reshape(-1)


def _square(tensor: Tensor) -> Tensor:
    """The tensor with an element for each byte; a constant with a single one."""
    if tensor.data is None:
        return replace(tensor, shape=_SHAPE)
    return replace(tensor, shape=(1,), data=tensor.data.reshape(-1)[:1])
