"""Operators without weights, and FULLY_CONNECTED, appended to a ``ModelBuilder``.

Each function appends tensors and one operator and returns the output's index (or indices). Versions
are those that TFLite's converter gives for the builder's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from models import ModelBuilder, Pair, Scale, convolved_extent
from numpy.typing import NDArray


def shape_of(builder: ModelBuilder, tensor: int) -> tuple[int, ...]:
    shape = builder.tensors[tensor].shape
    assert shape is not None
    return tuple(shape)


def quantization_of(builder: ModelBuilder, tensor: int) -> tuple[float, int]:
    spec = builder.tensors[tensor]
    assert spec.scales is not None and spec.zero_points is not None
    return spec.scales[0], spec.zero_points[0]


def like(builder: ModelBuilder, tensor: int, shape: Sequence[int]) -> int:
    """A tensor of another shape with the same quantisation and type."""
    dtype = builder.tensors[tensor].dtype
    assert isinstance(dtype, str)
    return builder.tensor(shape, *quantization_of(builder, tensor), dtype=dtype)


def activation_code(name: str) -> int:
    return int(getattr(tflite.ActivationFunctionType, name))


def _integers(builder: ModelBuilder, values: Any) -> int:
    return builder.constant(np.array(values, np.int32))


# ------------------------------------------------------------------------------------------ shapes


def reshape(builder: ModelBuilder, x: int, shape: Sequence[int]) -> int:
    result = like(builder, x, shape)
    builder.operator("RESHAPE", [x, _integers(builder, shape)], [result], ("ReshapeOptions", {}))
    return result


def squeeze(builder: ModelBuilder, x: int, axes: Sequence[int] = ()) -> int:
    """Without ``axes``: all of extent 1, the first one too."""
    old = shape_of(builder, x)
    dropped = {axis % len(old) for axis in axes} or {i for i, n in enumerate(old) if n == 1}
    result = like(builder, x, [n for i, n in enumerate(old) if i not in dropped])
    builder.operator("SQUEEZE", [x], [result], ("SqueezeOptions", {}))
    return result


def expand_dims(builder: ModelBuilder, x: int, axis: int) -> int:
    shape = list(shape_of(builder, x))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    result = like(builder, x, shape)
    options = ("ExpandDimsOptions", dict[str, int]())
    builder.operator("EXPAND_DIMS", [x, _integers(builder, axis)], [result], options)
    return result


def concatenate(
    builder: ModelBuilder, parts: Sequence[int], axis: int, quantization: Any = None
) -> int:
    """With the first part's quantisation if not said otherwise."""
    shape = list(shape_of(builder, parts[0]))
    shape[axis] = sum(shape_of(builder, part)[axis] for part in parts)
    result = builder.tensor(shape, *(quantization or quantization_of(builder, parts[0])))
    version = 2 if builder.dtype == "int8" else 1
    options = ("ConcatenationOptions", {"Axis": axis})
    builder.operator("CONCATENATION", parts, [result], options, version)
    return result


def pack(builder: ModelBuilder, parts: Sequence[int], axis: int) -> int:
    shape = list(shape_of(builder, parts[0]))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, len(parts))
    result = like(builder, parts[0], shape)
    options = ("PackOptions", {"ValuesCount": len(parts), "Axis": axis})
    builder.operator("PACK", parts, [result], options, 2)
    return result


def unpack(builder: ModelBuilder, x: int, axis: int) -> list[int]:
    shape = list(shape_of(builder, x))
    count = shape.pop(axis)
    results = [like(builder, x, shape) for _ in range(count)]
    options = ("UnpackOptions", {"Num": count, "Axis": axis})
    builder.operator("UNPACK", [x], results, options, 2)
    return results


def split(builder: ModelBuilder, x: int, axis: int, count: int) -> list[int]:
    shape = list(shape_of(builder, x))
    shape[axis] //= count
    results = [like(builder, x, shape) for _ in range(count)]
    options = ("SplitOptions", {"NumSplits": count})
    builder.operator("SPLIT", [_integers(builder, axis), x], results, options, 2)
    return results


def split_v(builder: ModelBuilder, x: int, axis: int, sizes: Sequence[int]) -> list[int]:
    """A size of -1 is what is left."""
    whole = shape_of(builder, x)[axis]
    results = []
    for size in sizes:
        shape = list(shape_of(builder, x))
        shape[axis] = size if size >= 0 else whole - sum(sizes) - 1
        results.append(like(builder, x, shape))
    inputs = [x, _integers(builder, list(sizes)), _integers(builder, axis)]
    options = ("SplitVOptions", {"NumSplits": len(sizes)})
    builder.operator("SPLIT_V", inputs, results, options, 2)
    return results


def slice_out(builder: ModelBuilder, x: int, begin: Sequence[int], size: Sequence[int]) -> int:
    """A size of -1 is what is left."""
    old = shape_of(builder, x)
    shape = [n - b if s < 0 else s for n, b, s in zip(old, begin, size, strict=True)]
    result = like(builder, x, shape)
    inputs = [x, _integers(builder, list(begin)), _integers(builder, list(size))]
    builder.operator("SLICE", inputs, [result], ("SliceOptions", {}), 2)
    return result


def strided_slice(
    builder: ModelBuilder,
    x: int,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    begin_mask: int = 0,
    end_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> int:
    old = shape_of(builder, x)
    picked = np.zeros(old, np.int8)[
        tuple(
            slice(
                None if begin_mask >> i & 1 else begin[i],
                None if end_mask >> i & 1 else end[i],
                strides[i],
            )
            if not shrink_axis_mask >> i & 1
            else begin[i]
            for i in range(len(old))
        )
    ]
    result = like(builder, x, picked.shape)
    inputs = [x, *(_integers(builder, list(part)) for part in (begin, end, strides))]
    masks = {"BeginMask": begin_mask, "EndMask": end_mask, "ShrinkAxisMask": shrink_axis_mask}
    builder.operator("STRIDED_SLICE", inputs, [result], ("StridedSliceOptions", masks), 2)
    return result


def pad(builder: ModelBuilder, x: int, amounts: Any, value: int | None = None) -> int:
    """PAD, or PADV2 with the byte ``value``."""
    pairs = np.array(amounts, np.int32)
    shape = [n + int(sum(pair)) for n, pair in zip(shape_of(builder, x), pairs, strict=True)]
    result = like(builder, x, shape)
    inputs = [x, builder.constant(pairs)]
    if value is None:
        builder.operator("PAD", inputs, [result], ("PadOptions", {}), 2)
        return result
    scalar = np.array(value, builder.tensors[x].dtype)
    inputs.append(builder.constant(scalar, *quantization_of(builder, x)))
    builder.operator("PADV2", inputs, [result], ("PadV2Options", {}), 2)
    return result


def mirror_pad(builder: ModelBuilder, x: int, amounts: Any, symmetric: bool) -> int:
    pairs = np.array(amounts, np.int32)
    shape = [n + int(sum(pair)) for n, pair in zip(shape_of(builder, x), pairs, strict=True)]
    result = like(builder, x, shape)
    options = ("MirrorPadOptions", {"Mode": int(symmetric)})
    version = 2 if builder.dtype == "int8" else 1
    builder.operator("MIRROR_PAD", [x, builder.constant(pairs)], [result], options, version)
    return result


# ------------------------------------------------------------------------------------------ values


def fully_connected(
    builder: ModelBuilder,
    x: int,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    weight_quantization: tuple[Scale, int],
    quantization: tuple[float, int],
    *,
    activation: str = "NONE",
    keep_dims: bool = False,
) -> int:
    """``weights``: [outputs, inputs]; a list of scales is per output."""
    inputs = [x, builder.constant(weights, *weight_quantization)]
    if bias is not None:
        scales = np.ravel(weight_quantization[0]) * quantization_of(builder, x)[0]
        inputs.append(builder.constant(bias.astype(np.int32), scales.tolist()))
    old = shape_of(builder, x)
    rows = int(np.prod(old)) // weights.shape[1]
    shape = (*old[:-1], weights.shape[0]) if keep_dims else (rows, weights.shape[0])
    result = builder.tensor(shape, *quantization)
    fields = {
        "FusedActivationFunction": activation_code(activation),
        "KeepNumDims": int(keep_dims),
    }
    version = 5 if keep_dims else 4 if builder.dtype == "int8" else 1
    builder.operator(
        "FULLY_CONNECTED", inputs, [result], ("FullyConnectedOptions", fields), version
    )
    return result


def pool(
    builder: ModelBuilder,
    kind: str,
    x: int,
    window: Pair,
    stride: Pair = 1,
    padding: str = "VALID",
    activation: str = "NONE",
) -> int:
    """``kind``: AVERAGE_POOL_2D or MAX_POOL_2D."""
    windows = (window, window) if isinstance(window, int) else window
    strides = (stride, stride) if isinstance(stride, int) else stride
    old = shape_of(builder, x)
    sides = (convolved_extent(old[1 + i], windows[i], strides[i], 1, padding) for i in range(2))
    result = like(builder, x, (old[0], *sides, old[3]))
    fields = {
        "Padding": int(getattr(tflite.Padding, padding)),
        "StrideH": strides[0],
        "StrideW": strides[1],
        "FilterHeight": windows[0],
        "FilterWidth": windows[1],
        "FusedActivationFunction": activation_code(activation),
    }
    version = 2 if builder.dtype == "int8" else 1
    builder.operator(kind, [x], [result], ("Pool2DOptions", fields), version)
    return result


def mean(
    builder: ModelBuilder,
    x: int,
    axes: Sequence[int],
    keep_dims: bool = False,
    quantization: Any = None,
) -> int:
    old = shape_of(builder, x)
    gone = {axis % len(old) for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(old) if keep_dims or i not in gone]
    result = builder.tensor(shape, *(quantization or quantization_of(builder, x)))
    options = ("ReducerOptions", {"KeepDims": int(keep_dims)})
    version = 2 if builder.dtype == "int8" else 1
    builder.operator("MEAN", [x, _integers(builder, list(axes))], [result], options, version)
    return result


def extremum(builder: ModelBuilder, kind: str, a: int, b: int) -> int:
    """MAXIMUM or MINIMUM, with the first one's quantisation."""
    shape = np.broadcast_shapes(shape_of(builder, a), shape_of(builder, b))
    result = like(builder, a, shape)
    version = 2 if builder.dtype == "int8" else 1
    builder.operator(kind, [a, b], [result], ("MaximumMinimumOptions", {}), version)
    return result


def multiply(
    builder: ModelBuilder,
    a: int,
    b: int,
    quantization: tuple[float, int],
    activation: str = "NONE",
) -> int:
    shape = np.broadcast_shapes(shape_of(builder, a), shape_of(builder, b))
    result = builder.tensor(shape, *quantization)
    options = ("MulOptions", {"FusedActivationFunction": activation_code(activation)})
    version = 2 if builder.dtype == "int8" else 1
    builder.operator("MUL", [a, b], [result], options, version)
    return result


def quantize(
    builder: ModelBuilder, x: int, quantization: tuple[float, int], dtype: str | None = None
) -> int:
    result = builder.tensor(shape_of(builder, x), *quantization, dtype=dtype or builder.dtype)
    builder.operator("QUANTIZE", [x], [result], ("QuantizeOptions", {}), 2)
    return result
