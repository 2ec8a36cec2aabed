"""int8 tensors as the NPU holds them: every byte with 128 more, and so their zero points.

The units know unsigned bytes only. With ``u = s + 128`` and ``z' = z + 128`` every difference
``u - z'`` is the model's ``s - z``, so sums, biases, scales and clamps stay what they are: an int8
model is a uint8 model whose bytes have another name. Host copies do the same on the way in and out
(``device/runner.py``). Source: recorded int8 streams of V8, and uint8 twins of int8 models on V7,
give the CPU's int8 values.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapilli.model.graph import Graph, Quantization, Tensor

MIDDLE = 128
"""What is added to a signed byte."""


def as_unsigned(graph: Graph) -> Graph:
    """The graph with every int8 tensor that its operators mention as uint8; ``Tensor.signed`` says
    which. Constants are copied, everything else is shared. A graph without any comes back as is."""
    mentioned = {t for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    signed = {t for t in mentioned if t >= 0 and graph.tensors[t].dtype == "int8"}
    if not signed:
        return graph
    tensors = list(graph.tensors)
    for index in signed:
        tensors[index] = _unsigned(tensors[index])
    return replace(graph, tensors=tuple(tensors))


def _unsigned(tensor: Tensor) -> Tensor:
    data = tensor.data
    if data is not None:
        data = data.view(np.uint8) ^ np.uint8(MIDDLE)
    return replace(
        tensor, dtype="uint8", signed=True, data=data, quantization=_raised(tensor.quantization)
    )


def _raised(quantization: Quantization | None) -> Quantization | None:
    if quantization is None:
        return None
    points = tuple(point + MIDDLE for point in quantization.zero_points)
    return replace(quantization, zero_points=points)
