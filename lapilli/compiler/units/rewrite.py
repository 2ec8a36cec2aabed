"""The graph with other weights: one scale a layer, the same operators in the same places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers
from lapilli.compiler.units.layers import Layer, operands, restore
from lapilli.model.graph import Constant, Graph, Operator, Quantization, Tensor


@dataclass(frozen=True, eq=False)
class NewWeights:
    """A layer's whole ``weights`` [outputs, taps, inputs] and ``bias`` in their sums' unit;
    ``scales``: output steps an input step that a weight of 1 is, for each output channel."""

    layer: Layer
    weights: Integers
    bias: Integers
    scales: Floats


def rewrite(graph: Graph, layers: Sequence[NewWeights]) -> Graph:
    """The graph with these weights and biases. Tensors that other operators use, too, are left to
    them; new ones go behind the last."""
    tensors, operators = list(graph.tensors), list(graph.operators)
    uses = np.bincount(
        [t for operator in operators for t in operator.inputs if t >= 0], minlength=len(tensors)
    )
    for new in layers:
        operator = operators[new.layer.position]
        _, weights, bias = operands(operator)
        source, target = tensors[new.layer.source], tensors[new.layer.target]
        assert source.quantization and target.quantization
        scales = _single(new.scales * (target.quantization.scale / source.quantization.scale))
        kept = tensors[weights]
        assert kept.quantization is not None
        axis = kept.quantization.axis
        data = restore(operator.kind, new.weights, kept.shape).astype(np.int8)
        fresh = replace(kept, data=_frozen(data), quantization=_quantization(scales, axis))
        operator = _place(tensors, operator, weights, fresh, bool(uses[weights] > 1))
        operator = _with_bias(tensors, operator, bias, new, scales, bias < 0 or uses[bias] > 1)
        operators[new.layer.position] = operator
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _with_bias(
    tensors: list[Tensor],
    operator: Operator,
    bias: int,
    new: NewWeights,
    scales: Floats,
    shared: bool,
) -> Operator:
    quantization = tensors[new.layer.source].quantization
    assert quantization is not None
    input_scale = np.float32(quantization.scale)
    bias_scales = _single(input_scale * scales)
    values = _frozen(new.bias.astype(np.int32))
    name = f"{tensors[new.layer.target].name}/bias" if bias < 0 else tensors[bias].name
    fresh = Tensor(bias, name, values.shape, "int32", _quantization(bias_scales, 0), values)
    if bias < 0 and len(operator.inputs) in (2, 3) and operator.kind != "TRANSPOSE_CONV":
        operator = replace(operator, inputs=(*operator.inputs[:2], bias))
    elif bias < 0:
        operator = replace(operator, inputs=(*operator.inputs[:3], bias))
    return _place(tensors, operator, bias, fresh, shared, last=True)


def _place(
    tensors: list[Tensor],
    operator: Operator,
    index: int,
    fresh: Tensor,
    shared: bool,
    last: bool = False,
) -> Operator:
    """Put a constant where the operator reads it from: in its old place or a new one."""
    if not shared:
        tensors[index] = fresh
        return operator
    number = len(tensors)
    tensors.append(replace(fresh, index=number))
    inputs = list(operator.inputs)
    place = len(inputs) - 1 - inputs[::-1].index(index) if last else inputs.index(index)
    inputs[place] = number
    return replace(operator, inputs=tuple(inputs))


def _single(scales: Floats) -> Floats:
    """In single precision, as files hold them; one if all are equal."""
    rounded = np.asarray(scales).astype(np.float32).astype(np.float64)
    return rounded[:1] if bool((rounded == rounded[0]).all()) else rounded


def _quantization(scales: Floats, axis: int) -> Quantization:
    found = tuple(float(scale) for scale in scales)
    return Quantization(found, (0,) * len(found), axis if len(found) > 1 else 0)


def _frozen(data: Constant) -> Constant:
    data = np.ascontiguousarray(data)
    data.setflags(write=False)
    return data
