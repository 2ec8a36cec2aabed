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
    computed = {source, *(t for operator in operators for t in operator.outputs)}
    constants = {t for operator in operators for t in operator.inputs if t >= 0} - computed
    tensors = list(graph.tensors)
    for index in computed:
        tensors[index] = replace(tensors[index], shape=_SHAPE, data=None)
    for index in constants:
        tensors[index] = _single(tensors[index])
    small = replace(graph, tensors=tuple(tensors), operators=tuple(operators))
    given = np.arange(BYTES, dtype=np.uint8).reshape(1, *_SHAPE)
    found = execute(small, {source: given}, keep=[result], operators=range(len(operators)))
    return found[result].reshape(-1)


def _single(constant: Tensor) -> Tensor:
    """A constant with the first of its elements, which are all alike."""
    assert constant.data is not None
    return replace(constant, shape=(1,), data=constant.data.reshape(-1)[:1])
