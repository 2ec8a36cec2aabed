"""Further operators appended to a ``ModelBuilder``: on images, and functions of a value.

As in ``further_operators``; each function returns the output's index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from further_operators import activation_code, like, quantization_of, shape_of
from models import ModelBuilder, Pair, Scale
from numpy.typing import NDArray

Quantized = tuple[float, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _integers(builder: ModelBuilder, values: Any, dtype: str = "int32") -> int:
    return builder.constant(np.array(values, dtype))


def _version(builder: ModelBuilder, int8: int = 2) -> int:
    return int8 if builder.dtype == "int8" else 1


# ------------------------------------------------------------------------------------------ images


def transposed_shape(
    image: Sequence[int], kernel: Sequence[int], stride: tuple[int, int], padding: str
) -> tuple[int, ...]:
    """Of a TRANSPOSE_CONV's output; ``kernel``: [outputs, rows, columns, inputs]."""
    sides = [
        image[1 + i] * stride[i]
        if padding == "SAME"
        else (image[1 + i] - 1) * stride[i] + kernel[1 + i]
        for i in range(2)
    ]
    return (image[0], *sides, kernel[0])


def transpose_conv(
    builder: ModelBuilder,
    x: int,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    weight_scale: Scale,
    weight_zero_point: int,
    quantization: Quantized,
    stride: Pair = 2,
    padding: str = "SAME",
    activation: str = "NONE",
) -> int:
    """``weights``: [outputs, rows, columns, inputs]; a list of scales is per output channel."""
    strides = _pair(stride)
    shape = transposed_shape(shape_of(builder, x), weights.shape, strides, padding)
    kernel = builder.constant(weights, weight_scale, weight_zero_point, axis=0)
    inputs = [_integers(builder, shape), kernel, x]
    if bias is not None:
        scales = np.ravel(weight_scale) * quantization_of(builder, x)[0]
        inputs.append(builder.constant(bias.astype(np.int32), scales.tolist()))
    result = builder.tensor(shape, *quantization)
    options = {
        "Padding": int(getattr(tflite.Padding, padding)),
        "StrideH": strides[0],
        "StrideW": strides[1],
        "FusedActivationFunction": activation_code(activation),
    }
    version = 4 if activation != "NONE" else 3 if bias is not None else _version(builder)
    builder.operator("TRANSPOSE_CONV", inputs, [result], ("TransposeConvOptions", options), version)
    return result


def resize(
    builder: ModelBuilder,
    kind: str,
    x: int,
    size: tuple[int, int],
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> int:
    """``kind``: RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR; ``size``: rows, columns."""
    old = shape_of(builder, x)
    result = like(builder, x, (old[0], *size, old[3]))
    table = {
        "RESIZE_BILINEAR": "ResizeBilinearOptions",
        "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    }[kind]
    options = {"AlignCorners": int(align_corners), "HalfPixelCenters": int(half_pixel_centers)}
    version = 3 if half_pixel_centers else _version(builder)
    builder.operator(kind, [x, _integers(builder, size)], [result], (table, options), version)
    return result


def depth_to_space(builder: ModelBuilder, x: int, block: int) -> int:
    batch, rows, columns, channels = shape_of(builder, x)
    result = like(builder, x, (batch, rows * block, columns * block, channels // block**2))
    options = ("DepthToSpaceOptions", {"BlockSize": block})
    builder.operator("DEPTH_TO_SPACE", [x], [result], options, _version(builder))
    return result


def space_to_depth(builder: ModelBuilder, x: int, block: int) -> int:
    batch, rows, columns, channels = shape_of(builder, x)
    result = like(builder, x, (batch, rows // block, columns // block, channels * block**2))
    options = ("SpaceToDepthOptions", {"BlockSize": block})
    builder.operator("SPACE_TO_DEPTH", [x], [result], options, _version(builder))
    return result


def transpose(builder: ModelBuilder, x: int, permutation: Sequence[int]) -> int:
    old = shape_of(builder, x)
    result = like(builder, x, [old[axis] for axis in permutation])
    inputs = [x, _integers(builder, list(permutation))]
    builder.operator("TRANSPOSE", inputs, [result], ("TransposeOptions", {}), _version(builder))
    return result


# ---------------------------------------------------------------------------------------- functions


def unary(
    builder: ModelBuilder,
    kind: str,
    x: int,
    quantization: Quantized | None = None,
    options: tuple[str, dict[str, Any]] | None = None,
    version: int | None = None,
) -> int:
    """Any operator of one input that keeps the shape; with the input's quantisation if not said
    otherwise. ``version``: 2 for int8 if not said otherwise."""
    result = builder.tensor(shape_of(builder, x), *(quantization or quantization_of(builder, x)))
    builder.operator(kind, [x], [result], options, version or _version(builder))
    return result


def leaky_relu(builder: ModelBuilder, x: int, slope: float, quantization: Quantized) -> int:
    options = ("LeakyReluOptions", {"Alpha": slope})
    return unary(builder, "LEAKY_RELU", x, quantization, options)


def gelu(builder: ModelBuilder, x: int, approximate: bool, quantization: Quantized) -> int:
    options = ("GeluOptions", {"Approximate": int(approximate)})
    return unary(builder, "GELU", x, quantization, options)


def softmax(builder: ModelBuilder, x: int, beta: float = 1.0) -> int:
    zero_point = -128 if builder.dtype == "int8" else 0
    options = ("SoftmaxOptions", {"Beta": beta})
    return unary(builder, "SOFTMAX", x, (1 / 256, zero_point), options)


def prelu(
    builder: ModelBuilder,
    x: int,
    slopes: NDArray[Any],
    slope_quantization: Quantized,
    quantization: Quantized,
) -> int:
    """``slopes``: of the builder's type, one for each channel or [1, 1, 1]."""
    result = builder.tensor(shape_of(builder, x), *quantization)
    inputs = [x, builder.constant(slopes, *slope_quantization)]
    builder.operator("PRELU", inputs, [result])
    return result


def divide(
    builder: ModelBuilder, a: int, b: int, quantization: Quantized, activation: str = "NONE"
) -> int:
    """LiteRT has it for uint8 and floats."""
    shape = np.broadcast_shapes(shape_of(builder, a), shape_of(builder, b))
    result = builder.tensor(shape, *quantization)
    options = ("DivOptions", {"FusedActivationFunction": activation_code(activation)})
    builder.operator("DIV", [a, b], [result], options)
    return result


# --------------------------------------------------------------------------------------------- axes


def reduce(
    builder: ModelBuilder,
    kind: str,
    x: int,
    axes: Sequence[int],
    keep_dims: bool = False,
    quantization: Quantized | None = None,
) -> int:
    """``kind``: MEAN, SUM, REDUCE_MAX, ...; an activation's quantisation is kept if not said
    otherwise."""
    old = shape_of(builder, x)
    gone = {axis % len(old) for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(old) if keep_dims or i not in gone]
    spec = builder.tensors[x]
    if quantization is None and spec.scales is not None:
        quantization = quantization_of(builder, x)
    result = builder.tensor(shape, *(quantization or ()), dtype=str(spec.dtype))
    options = ("ReducerOptions", {"KeepDims": int(keep_dims)})
    version = _version(builder) if spec.scales is not None else 1
    inputs = [x, _integers(builder, list(axes))]
    builder.operator(kind, inputs, [result], options, version)
    return result


def extremum_index(builder: ModelBuilder, kind: str, x: int, axis: int, dtype: str) -> int:
    """ARG_MAX or ARG_MIN; ``dtype``: int32 or int64."""
    shape = list(shape_of(builder, x))
    shape.pop(axis)
    result = builder.tensor(shape, dtype=dtype)
    table = {"ARG_MAX": "ArgMaxOptions", "ARG_MIN": "ArgMinOptions"}[kind]
    options = (table, {"OutputType": int(getattr(tflite.TensorType, dtype.upper()))})
    builder.operator(kind, [x, _integers(builder, axis)], [result], options, _version(builder))
    return result


def gather(
    builder: ModelBuilder, x: int, indices: NDArray[Any], axis: int, batch_dims: int = 0
) -> int:
    old = shape_of(builder, x)
    shape = [*old[: axis % len(old)], *indices.shape[batch_dims:], *old[axis % len(old) + 1 :]]
    result = like(builder, x, shape)
    options = ("GatherOptions", {"Axis": axis, "BatchDims": batch_dims})
    version = 5 if batch_dims else 2
    inputs = [x, builder.constant(indices.astype(np.int32))]
    builder.operator("GATHER", inputs, [result], options, version)
    return result
