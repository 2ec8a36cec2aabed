"""Families of generated models whose operators look at neighbours, or move pixels apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import further_operators as build
import image_operators as images
import numpy as np
from cases import BYTE_DEVIATION, BYTE_MEAN, OUTPUT_DEVIATION, Array
from models import ModelBuilder
from varying import ACTIVATIONS, channels, given, least, scale, side, zero_point

KERNELS = (1, 2, 3, 3, 5, 8, 12, 16, 20, 40)
STRIDES = (1, 1, 1, 2, 2, 3, 4, 8)
DILATIONS = (1, 1, 1, 2, 3, 4, 6, 12)
FEW_CHANNELS = (1, 1, 2, 3, 5, 8, 13)


def convolution(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """CONV_2D or DEPTHWISE_CONV_2D with any stride, dilation and kernel, sometimes of a batch."""
    batch = int(rng.integers(2, 4)) if rng.random() < 0.1 else 1
    x = given(builder, rng, (batch, side(rng, 40), side(rng, 40), int(rng.choice(FEW_CHANNELS))))
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


def transposed(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """TRANSPOSE_CONV of any strides and kernels, with and without a bias."""
    x = given(builder, rng, (1, side(rng, 16), side(rng, 16), int(rng.choice(FEW_CHANNELS))))
    kernel = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    strides = int(rng.choice([1, 2, 2, 3, 4])), int(rng.choice([1, 2, 2, 3, 4]))
    if rng.random() < 0.6:
        kernel, strides = (kernel[0],) * 2, (strides[0],) * 2
    outputs, inputs = int(rng.integers(1, 20)), build.shape_of(builder, x)[3]
    weights, (bias, weight_scale, weight_zero, output_scale, zero) = weighted(
        builder, rng, x, (outputs, *kernel, inputs)
    )
    return [
        images.transpose_conv(
            builder,
            x,
            weights,
            bias if rng.random() < 0.6 else None,
            weight_scale,
            weight_zero,
            (output_scale, zero),
            strides,
            str(rng.choice(["SAME", "VALID"])),
        )
    ]


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


# ------------------------------------------------------------------------------------- pixels moved


def nearest(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """RESIZE_NEAREST_NEIGHBOR by whole factors, to the sizes of aligned corners, or to any."""
    x = given(builder, rng, (1, side(rng, 12), side(rng, 12), channels(rng)))
    return [images.resize(builder, "RESIZE_NEAREST_NEIGHBOR", x, *_resizing(builder, rng, x))]


def _resizing(
    builder: ModelBuilder, rng: np.random.Generator, x: int
) -> tuple[tuple[int, int], bool, bool]:
    """Size, align corners, half-pixel centres."""
    rows, columns = build.shape_of(builder, x)[1:3]
    align, half = [(False, False), (False, True), (True, False)][int(rng.integers(3))]
    kind = int(rng.integers(4))
    factors = int(rng.choice([1, 2, 3, 4, 8])), int(rng.choice([1, 2, 2, 3, 5]))
    if kind == 0:
        return (side(rng, 40), side(rng, 40)), align, half
    if align:
        return ((rows - 1) * factors[0] + 1, (columns - 1) * factors[1] + 1), align, half
    if kind == 1:
        return (-(-rows // factors[0]), -(-columns // factors[1])), align, half
    return (rows * factors[0], columns * factors[1]), align, half


def bilinear(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """RESIZE_BILINEAR, as ``nearest``."""
    x = given(builder, rng, (1, side(rng, 12), side(rng, 12), channels(rng)))
    return [images.resize(builder, "RESIZE_BILINEAR", x, *_resizing(builder, rng, x))]


def blocks(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """DEPTH_TO_SPACE or SPACE_TO_DEPTH."""
    size = int(rng.integers(1, 5))
    rows, columns = side(rng, 12), side(rng, 12)
    if rng.random() < 0.5:
        x = given(builder, rng, (1, rows, columns, channels(rng) * size**2))
        return [images.depth_to_space(builder, x, size)]
    x = given(builder, rng, (1, rows * size, columns * size, channels(rng)))
    return [images.space_to_depth(builder, x, size)]


def transposing(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """TRANSPOSE of two to five dimensions; often as channels are shuffled."""
    if rng.random() < 0.2:
        groups, each = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        x = given(builder, rng, (1, side(rng, 12), side(rng, 12), groups, each))
        return [images.transpose(builder, x, [0, 1, 2, 4, 3])]
    extents = [side(rng, 12) for _ in range(int(rng.integers(2, 6)))]
    order = rng.permutation(len(extents)).tolist()
    if rng.random() < 0.5 and len(extents) > 3:
        extents[0] = 1
        order = [0, *(axis for axis in order if axis)]
    x = given(builder, rng, extents)
    return [images.transpose(builder, x, order)]


SPATIAL: Mapping[str, Callable[[ModelBuilder, np.random.Generator], Sequence[int]]] = (
    MappingProxyType(
        {
            "window": convolution,
            "transposed": transposed,
            "bilinear": bilinear,
            "nearest": nearest,
            "blocks": blocks,
            "transpose": transposing,
        }
    )
)
"""Families by name."""
