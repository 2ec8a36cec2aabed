"""Families of generated models whose operators look at neighbours, or move pixels apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import further_operators as build
import numpy as np
from cases import BYTE_DEVIATION, BYTE_MEAN, OUTPUT_DEVIATION, Array
from models import ModelBuilder
from varying import ACTIVATIONS, given, least, scale, side, zero_point

KERNELS = (1, 2, 3, 3, 5, 8, 12, 16, 20, 40)
STRIDES = (1, 1, 1, 2, 2, 3, 4, 8)
DILATIONS = (1, 1, 1, 2, 3, 4, 6, 12)
FEW_CHANNELS = (1, 1, 2, 3, 5, 8, 13)


def convolution(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """CONV_2D or DEPTHWISE_CONV_2D with any stride, dilation and kernel."""
    x = given(builder, rng, (1, side(rng, 40), side(rng, 40), int(rng.choice(FEW_CHANNELS))))
    image = build.shape_of(builder, x)
    padding = str(rng.choice(["SAME", "VALID"]))
    dilation = (int(rng.choice(DILATIONS)),) * 2
    stride = int(rng.choice(STRIDES)), int(rng.choice(STRIDES))
    if rng.random() < 0.5:
        stride = (stride[0],) * 2
    if dilation != (1, 1):
        stride = (1, 1)
    kernel = [int(rng.choice(KERNELS)) for _ in range(2)]
    if padding == "VALID":
        sides = zip(kernel, image[1:3], dilation, strict=True)
        kernel = [min(k, (n - 1) // d + 1) for k, n, d in sides]
    depthwise = bool(rng.random() < 0.4)
    outputs = image[3] * int(rng.choice([1, 1, 1, 2])) if depthwise else int(rng.integers(1, 20))
    planes = 1 if depthwise else image[3]
    weights, numbers = weighted(builder, rng, x, (outputs, *kernel, planes))
    if depthwise:
        weights = np.ascontiguousarray(weights.transpose(3, 1, 2, 0))
    append = builder.depthwise if depthwise else builder.conv
    activation = str(rng.choice(["NONE", "NONE", *ACTIVATIONS]))
    return [
        append(
            x, weights, *numbers, stride=stride, padding=padding, dilation=dilation,
            activation=activation,
        )
    ]  # fmt: skip


def weighted(
    builder: ModelBuilder, rng: np.random.Generator, x: int, extents: tuple[int, ...]
) -> tuple[Array, tuple[Array, float, int, float, int]]:
    """Weights [outputs, ...], and bias, scale and zero point of theirs and of the output, which
    uses its range."""
    weight_zero = least(builder) + 128
    if builder.dtype == "uint8":
        weight_zero = zero_point(builder, rng)
    info = np.iinfo(builder.dtype)
    weights = rng.integers(info.min, info.max + 1, extents).astype(builder.dtype)
    centred = weights.reshape(extents[0], -1).astype(np.float64) - weight_zero
    input_scale, input_zero = build.quantization_of(builder, x)
    means = centred.sum(axis=1) * (BYTE_MEAN + least(builder) - input_zero)
    deviation = BYTE_DEVIATION * float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
    zero, output_scale = zero_point(builder, rng), scale(rng)
    factor = OUTPUT_DEVIATION / deviation * rng.uniform(0.5, 1.3)
    bias = np.round((BYTE_MEAN + least(builder) - zero) / factor - means)
    bias = np.clip(bias, -(2**31) + 1, 2**31 - 1)
    weight_scale = float(np.float32(factor * output_scale / input_scale))
    return weights, (bias, weight_scale, weight_zero, output_scale, zero)


SPATIAL: Mapping[str, Callable[[ModelBuilder, np.random.Generator], Sequence[int]]] = (
    MappingProxyType({"window": convolution})
)
"""Families by name."""
