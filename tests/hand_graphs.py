"""Graphs made by hand: one operator that the NPU takes, to be broken in one place by a test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lapilli.model.graph import (
    Addition,
    Convolution,
    Graph,
    Operator,
    Options,
    Padding,
    Quantization,
    Tensor,
)

IMAGE, WEIGHTS, BIAS, RESULT = 0, 1, 2, 3
"""Tensors of a convolution."""
FIRST, SECOND, SUM = 0, 1, 2
"""Tensors of an addition."""
PLAIN, AMOUNTS, PADDED = 0, 1, 2
"""Tensors of a padding."""


def quantised(scale: float = 0.5, zero_point: int = 3) -> Quantization:
    return Quantization((scale,), (zero_point,))


def tensor(index: int, name: str, shape: tuple[int, ...], **more: Any) -> Tensor:
    """A uint8 tensor, quantised, not constant."""
    fields: dict[str, Any] = {"dtype": "uint8", "quantization": quantised(), **more}
    return Tensor(index, name, shape, **fields)


def constant(index: int, name: str, data: Any, **more: Any) -> Tensor:
    return tensor(index, name, data.shape, dtype=data.dtype.name, data=data, **more)


def one_operator(
    kind: str, tensors: tuple[Tensor, ...], inputs: tuple[int, ...], options: Options
) -> Graph:
    """``inputs`` and, as its output, the last tensor."""
    computed = tuple(i for i in inputs if tensors[i].data is None)
    output = len(tensors) - 1
    operator = Operator(0, kind, inputs, (output,), options)
    return Graph("by hand", tensors, (operator,), computed, (output,))


def convolution(
    image: tuple[int, ...] = (1, 8, 8, 4),
    kernel: tuple[int, int] = (3, 3),
    outputs: int = 6,
    result: tuple[int, ...] | None = None,
    depthwise: bool = False,
    **options: Any,
) -> Graph:
    """SAME, stride 1 if not said otherwise; ``result`` follows from those."""
    settings = Convolution(
        **{"padding": Padding.SAME, "stride_rows": 1, "stride_columns": 1, **options}
    )
    strides = settings.stride_rows, settings.stride_columns
    sides = [
        -(-(side - (taps - 1 if settings.padding is Padding.VALID else 0)) // stride)
        for side, taps, stride in zip(image[1:3], kernel, strides, strict=True)
    ]
    shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, image[-1])
    return one_operator(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        (
            tensor(IMAGE, "image", image),
            constant(WEIGHTS, "weights", np.zeros(shape, np.uint8), quantization=quantised(0.01)),
            constant(BIAS, "bias", np.zeros(outputs, np.int32), quantization=None),
            tensor(RESULT, "result", result or (1, *sides, outputs)),
        ),
        (IMAGE, WEIGHTS, BIAS),
        settings,
    )


def addition(shape: tuple[int, ...] = (1, 4, 6, 5), **options: Any) -> Graph:
    names = enumerate(("first", "second", "sum"))
    tensors = tuple(tensor(index, name, shape) for index, name in names)
    return one_operator("ADD", tensors, (FIRST, SECOND), Addition(**options))


def subtraction(shape: tuple[int, ...] = (1, 4, 6, 5), **options: Any) -> Graph:
    return with_operator(addition(shape, **options), kind="SUB")


def padding(amounts: Any = ((0, 0), (1, 2), (3, 4), (0, 0))) -> Graph:
    return one_operator(
        "PAD",
        (
            tensor(PLAIN, "plain", (1, 5, 6, 7)),
            constant(AMOUNTS, "amounts", np.array(amounts, np.int32), quantization=None),
            tensor(PADDED, "padded", (1, 8, 13, 7)),
        ),
        (PLAIN, AMOUNTS),
        None,
    )


def with_tensor(graph: Graph, index: int, **changes: Any) -> Graph:
    """The same graph with one tensor changed."""
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def with_operator(graph: Graph, **changes: Any) -> Graph:
    """The same graph with its operator changed."""
    return replace(graph, operators=(replace(graph.operators[0], **changes),))
