"""Operators whose every result depends on one element of each operand, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode.moves import fits
from lapilli.compiler.operators.registry import record_of
from lapilli.compiler.operators.rules import (
    BYTES_BELOW,
)
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Activation, Graph, Operator, Quantization, Tensor

Floats = NDArray[np.float64]
BYTES = 256
LARGEST_BYTE = BYTES - 1
BINARY: Final[Mapping[str, Callable[[Floats, Floats], Floats]]] = MappingProxyType(
    {
        "ADD": np.add,
        "SUB": np.subtract,
        "MUL": np.multiply,
        "MAXIMUM": np.maximum,
        "MINIMUM": np.minimum,
    }
)
BYTEWISE: Final = ("MAXIMUM", "MINIMUM")
"""TFLite compares what is stored, whatever it stands for."""
LIMITS: Final[Mapping[Activation, tuple[float, float]]] = MappingProxyType(
    {
        Activation.NONE: (-np.inf, np.inf),
        Activation.RELU: (0.0, np.inf),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }
)


def is_elementwise(graph: Graph, operator: Operator) -> bool:
    """Whether an element of the result depends on that element of the computed operands alone, all
    of them bytes of one shape; constants are single numbers."""
    if len(operator.outputs) != 1 or min(operator.inputs, default=-1) < 0:
        return False
    result = graph.tensors[operator.outputs[0]]
    operands = [graph.tensors[i] for i in operator.inputs]
    computed = [tensor for tensor in operands if tensor.data is None]
    if not computed or not all(map(_is_bytes, (*operands, result))) or not _has_size(result):
        return False
    if any(tensor.shape != result.shape for tensor in computed):
        return False
    if any(tensor.data is not None and not _is_number(tensor) for tensor in operands):
        return False
    if operator.kind in BYTEWISE and len({_pair(tensor) for tensor in (*operands, result)}) > 1:
        return False
    if operator.kind in BINARY:
        return len(operands) == 2 and _activation(operator) in LIMITS
    record = record_of(operator.kind)
    if record is None or record.function is None:
        return False
    alone = computed == operands[:1]
    return alone and record.function(graph, operator) is not None


def _is_bytes(tensor: Tensor) -> bool:
    """Of one scale and zero point."""
    quantization = tensor.quantization
    return (
        tensor.dtype == "uint8"
        and quantization is not None
        and bool(quantization.scales)
        and not quantization.per_channel
        and bool(0 < np.float32(quantization.scale) < np.inf)
        and 0 <= quantization.zero_point <= LARGEST_BYTE
    )


def _pair(tensor: Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return tensor.quantization.scale, tensor.quantization.zero_point


def _is_number(constant: Tensor) -> bool:
    assert constant.data is not None
    return constant.size > 0 and bool(np.all(constant.data == constant.data.reshape(-1)[0]))


def _has_size(tensor: Tensor) -> bool:
    """As the rules of look-ups want it."""
    shape = tensor.shape
    if len(shape) > 4 or 0 in shape or (len(shape) == 4 and shape[0] != 1):
        return False
    return all(map(fits, image_extents(shape))) and tensor.size < BYTES_BELOW


def _activation(operator: Operator) -> Activation:
    found = getattr(operator.options, "activation", Activation.NONE)
    return found if isinstance(found, Activation) else Activation.OTHER


def real_bytes(graph: Graph, operators: Sequence[Operator], source: int, result: int) -> Floats:
    """[256]: what each byte of ``source`` becomes in ``result``, in its steps, if nothing is
    rounded on the way; ``operators`` are elementwise, in order."""
    bytes_in = np.arange(BYTES, dtype=np.float64)
    values = {source: _real(_known(graph, source), bytes_in)}
    with np.errstate(all="ignore"):
        for operator in operators:
            found = _computed(graph, operator, values)
            ends = _real(_known(graph, operator.outputs[0]), np.array([0.0, LARGEST_BYTE]))
            last = operator.outputs[0] == result
            values[operator.outputs[0]] = found if last else np.clip(found, ends[0], ends[1])
    known = _known(graph, result)
    steps: Floats = values[result] / float(np.float32(known.scale)) + known.zero_point
    return steps


def real_steps(graph: Graph, operator: Operator, stored: Mapping[int, NDArray[np.uint8]]) -> Floats:
    """[256]: the operator's result in its steps before it is rounded, where its operands are the
    ``stored`` bytes."""
    values = {
        tensor: _real(_known(graph, tensor), stored[tensor].astype(np.float64))
        for tensor in operator.inputs
        if tensor in stored
    }
    known = _known(graph, operator.outputs[0])
    with np.errstate(all="ignore"):
        found = _computed(graph, operator, values) / float(np.float32(known.scale))
    steps: Floats = found + known.zero_point
    return steps


def _computed(graph: Graph, operator: Operator, values: Mapping[int, Floats]) -> Floats:
    if operator.kind not in BINARY:
        record = record_of(operator.kind)
        assert record is not None and record.function is not None
        function = record.function(graph, operator)
        assert function is not None
        return function(values[operator.inputs[0]])
    operands = [_operand(graph, tensor, values) for tensor in operator.inputs]
    found = BINARY[operator.kind](operands[0], operands[1])
    return np.clip(found, *LIMITS[_activation(operator)])


def _operand(graph: Graph, tensor: int, values: Mapping[int, Floats]) -> Floats:
    if tensor in values:
        return values[tensor]
    data = graph.tensors[tensor].data
    assert data is not None
    return _real(_known(graph, tensor), data.reshape(-1)[:1].astype(np.float64))


def _real(quantization: Quantization, stored: Floats) -> Floats:
    return (stored - quantization.zero_point) * float(np.float32(quantization.scale))


def _known(graph: Graph, tensor: int) -> Quantization:
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    return quantization
