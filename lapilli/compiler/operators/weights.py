"""What operators with constant weights and a bias have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import requantise
from lapilli.compiler.generations import generation_of
from lapilli.compiler.operators.record import Case
from lapilli.compiler.unsigned import MIDDLE
from lapilli.model.graph import Graph, Operator

IMAGE, WEIGHTS, BIAS = 0, 1, 2
"""Positions among the inputs."""
BIAS_TYPES = ("int32", "int16")


def odd_weights(case: Case, dimensions: int) -> str | None:
    """What is not as it should be: weights are constant bytes, the bias, if any, constant too."""
    weights = case.input(WEIGHTS)
    if weights.data is None or weights.dtype != "uint8" or len(weights.shape) != dimensions:
        state = "constant" if weights.data is not None else "computed"
        return f"{weights.name} is {state} {weights.dtype} of shape {list(weights.shape)}"
    if case.has_input(BIAS):
        bias = case.input(BIAS)
        if bias.data is None or bias.dtype not in BIAS_TYPES:
            state = "constant" if bias.data is not None else "computed"
            return f"{bias.name} is {state} {bias.dtype}"
    return None


def weights_centred(case: Case) -> str | None:
    """int8 weights must have the zero point 0 (LiteRT's kernels for int8 look at no other).

    Remedy: Quantise the weights symmetrically, as converters do.
    """
    weights = case.input(WEIGHTS)
    assert weights.quantization is not None
    point = weights.quantization.zero_point - MIDDLE
    return f"zero point {point}" if weights.signed and point else None


def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to
    2^16)."""
    image, weights, output = (
        tensor.quantization for tensor in (case.input(IMAGE), case.input(WEIGHTS), case.output())
    )
    assert image is not None and weights is not None and output is not None
    scale = requantise.convolution_scale(image.scale, weights.scale, output.scale)
    return None if generation_of(case.chip).fits(scale) else f"{float(scale):.4g}"


def bias_values(graph: Graph, operator: Operator, count: int) -> NDArray[np.int64]:
    """The bias of each of ``count`` channels; zeros if the operator has none."""
    if len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0:
        data = graph.tensors[operator.inputs[BIAS]].data
        assert data is not None
        return data.reshape(-1).astype(np.int64)
    return np.zeros(count, np.int64)
