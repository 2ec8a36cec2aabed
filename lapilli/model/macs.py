"""Multiplications with an addition that an operator's definition asks for, whoever computes it."""

from __future__ import annotations

from lapilli.model.graph import Graph, Operator


def macs(graph: Graph, operator: Operator) -> int:
    """Of one operator; 0 for kinds that are not defined by sums of products."""
    if len(operator.inputs) < 2 or not operator.outputs or min(operator.inputs[:2]) < 0:
        return 0
    source, weights = (graph.tensors[i] for i in operator.inputs[:2])
    target = graph.tensors[operator.outputs[0]]
    if not all((source.shape, weights.shape, target.shape)):
        return 0
    kernel = weights.size // max(weights.shape[0], 1)
    if operator.kind in ("CONV_2D", "FULLY_CONNECTED"):
        return target.size * kernel
    if operator.kind == "DEPTHWISE_CONV_2D":
        return target.size * (weights.size // max(weights.shape[-1], 1))
    if operator.kind == "TRANSPOSE_CONV" and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        return graph.tensors[operator.inputs[2]].size * kernel
    if operator.kind == "BATCH_MATMUL":
        return target.size * source.shape[-1]
    return 0
