"""Small models of one operator each, of every kind that the reference executor knows.

    for case in cases_of("ADD", "int8", 3): case.model (bytes), case.name

Scales, zero points, sizes and options are drawn anew for each seed; they cover both byte types,
odd sizes, strides, dilations, per-channel weights, activations and both ends of the zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tflite
from models import ModelBuilder, convolved_extent

Random: TypeAlias = np.random.Generator
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True)
class Case:
    """``name``: kind, type and seed."""

    name: str
    model: bytes = field(repr=False)


class Maker:
    """A model of one operator in the making; everything that is left open is drawn."""

    def __init__(self, dtype: str, seed: int, kind: str) -> None:
        self.random = np.random.default_rng([seed, *kind.encode(), *dtype.encode()])
        self.builder = ModelBuilder(dtype)
        self.dtype = dtype
        self.low = 0 if dtype == "uint8" else -128

    def scale(self, low: float = 0.01, high: float = 0.2) -> float:
        return float(np.float32(np.exp(self.random.uniform(np.log(low), np.log(high)))))

    def zero_point(self) -> int:
        ends = [self.low, self.low + 255, self.low + 128, int(self.random.integers(256)) + self.low]
        return int(self.random.choice(ends))

    def choice(self, *values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def image(self, *shape: int, scale: float | None = None, zero_point: int | None = None) -> int:
        zero_point = self.zero_point() if zero_point is None else zero_point
        return self.builder.input(shape, scale or self.scale(), zero_point)

    def sides(self, least: int = 1) -> tuple[int, int, int]:
        rows, columns = (int(side) for side in self.random.integers(least, 12, 2))
        return rows, columns, int(self.random.choice([1, 2, 3, 5, 8, 16]))

    def output(self, shape: Any, scale: float | None = None, zero_point: int | None = None) -> int:
        zero_point = self.zero_point() if zero_point is None else zero_point
        return self.builder.tensor(tuple(shape), scale or self.scale(), zero_point)

    def quantization(self, tensor: int) -> tuple[float, int]:
        spec = self.builder.tensors[tensor]
        assert spec.scales and spec.zero_points
        return spec.scales[0], spec.zero_points[0]

    def whole(self, values: Any) -> int:
        return self.builder.constant(np.array(values, np.int32))

    def operator(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        table: str | None = None,
        version: int = 1,
        **fields: float,
    ) -> bytes:
        options = None if table is None else (table, fields)
        self.builder.operator(kind, inputs, outputs, options, version)
        return self.builder.build(outputs)

    def activation(self, *names: str) -> int:
        return int(getattr(tflite.ActivationFunctionType, self.choice(*(names or ACTIVATIONS))))


Make: TypeAlias = Callable[[Maker], bytes]


def _weights(make: Maker, shape: tuple[int, ...], axis: int) -> tuple[Any, Any, int]:
    """(weights, scale or scales, zero point)."""
    if make.dtype == "uint8":
        weights = make.random.integers(0, 256, shape).astype(np.uint8)
        return weights, make.scale(0.002, 0.02), int(make.random.integers(1, 255))
    weights = make.random.integers(-127, 128, shape).astype(np.int8)
    if make.choice(True, False):
        return weights, make.scale(0.002, 0.02), 0
    spread = make.random.uniform(0.1, 3.0, shape[axis])
    return weights, [float(np.float32(make.scale(0.002, 0.02) * s)) for s in spread], 0


def _convolution(make: Maker, depthwise: bool) -> bytes:
    rows, columns, channels = make.sides()
    kernel = make.choice((1, 1), (3, 3), (2, 3), (5, 1), (4, 4))
    padding = make.choice("SAME", "VALID")
    dilation = make.choice((1, 1), (1, 1), (2, 2), (1, 3))
    spans = [(side - 1) * step + 1 for side, step in zip(kernel, dilation, strict=True)]
    if spans[0] > rows or spans[1] > columns:
        padding = "SAME"
    stride = (1, 1) if dilation != (1, 1) else make.choice((1, 1), (2, 2), (1, 2), (3, 2))
    outputs = channels * make.choice(1, 1, 2) if depthwise else make.choice(1, 4, 7, 16)
    image = make.image(1, rows, columns, channels)
    shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
    weights, scale, zero_point = _weights(make, shape, 3 if depthwise else 0)
    bias = make.random.integers(-3000, 3000, outputs)
    build = make.builder.depthwise if depthwise else make.builder.conv
    result = build(
        image, weights, bias, scale, zero_point, make.scale(0.02, 0.4), make.zero_point(),
        stride=stride, padding=padding, dilation=dilation, activation=make.choice(*ACTIVATIONS),
    )  # fmt: skip
    return make.builder.build([result])


def _fully_connected(make: Maker) -> bytes:
    inputs, outputs, rows = (int(n) for n in make.random.integers(1, 40, 3))
    image = make.image(make.choice(1, rows), inputs)
    count = make.builder.tensors[image].shape[0]  # type: ignore[index]
    weights, scale, zero_point = _weights(make, (outputs, inputs), 0)
    scales = scale if isinstance(scale, list) else [scale]
    operands = [image, make.builder.constant(weights, scales, zero_point)]
    if make.choice(True, True, False):
        bias = make.random.integers(-3000, 3000, outputs).astype(np.int32)
        source = make.quantization(image)[0]
        operands.append(make.builder.constant(bias, [source * s for s in scales]))
    else:
        operands.append(-1)
    return make.operator(
        "FULLY_CONNECTED", operands, [make.output((count, outputs), make.scale(0.05, 0.4))],
        "FullyConnectedOptions", 4 if make.dtype == "int8" else 1,
        FusedActivationFunction=make.activation("NONE", "RELU", "RELU6"),
    )  # fmt: skip


def _transposed(make: Maker) -> bytes:
    rows, columns, channels = make.sides()
    kernel, stride = make.choice((2, 2), (3, 3), (4, 4)), make.choice(1, 2, 3)
    outputs = make.choice(1, 4, 7)
    same = make.choice(True, False)
    shape = [
        side * stride if same else (side - 1) * stride + taps
        for side, taps in zip((rows, columns), kernel, strict=True)
    ]
    weights, scale, zero_point = _weights(make, (outputs, *kernel, channels), 0)
    size = make.whole([1, *shape, outputs])
    kernels = make.builder.constant(weights, scale, zero_point)
    image = make.image(1, rows, columns, channels)
    return make.operator(
        "TRANSPOSE_CONV", [size, kernels, image],
        [make.output((1, *shape, outputs), make.scale(0.05, 0.4))],
        "TransposeConvOptions", 2 if make.dtype == "int8" else 1,
        StrideH=stride, StrideW=stride, Padding=0 if same else 1,
    )  # fmt: skip


def _two(kind: str, table: str) -> Make:
    def build(make: Maker) -> bytes:
        shape = (1, *make.sides())
        other = make.choice(shape, (1, 1, 1, shape[3]), (shape[3],), shape)
        operands = [make.image(*shape), make.image(*other)]
        if make.choice(True, False):
            operands.reverse()
        return make.operator(
            kind, operands, [make.output(shape)], table, 2 if make.dtype == "int8" else 1,
            FusedActivationFunction=make.activation("NONE", "RELU", "RELU6"),
        )  # fmt: skip

    return build


def _extremum(kind: str) -> Make:
    def build(make: Maker) -> bytes:
        shape, scale, zero_point = (1, *make.sides()), make.scale(), make.zero_point()
        operands = [make.image(*shape, scale=scale, zero_point=zero_point) for _ in range(2)]
        return make.operator(
            kind, operands, [make.output(shape, scale, zero_point)], "MaximumMinimumOptions"
        )

    return build


def _pool(kind: str) -> Make:
    def build(make: Maker) -> bytes:
        rows, columns, channels = make.sides(3)
        kernel, stride = make.choice((2, 2), (3, 3), (1, 3), (3, 2)), make.choice((1, 1), (2, 2))
        padding = make.choice("SAME", "VALID")
        image = make.image(1, rows, columns, channels)
        scale, zero_point = make.quantization(image)
        shape = [
            convolved_extent(extent, kernel[i], stride[i], 1, padding)
            for i, extent in enumerate((rows, columns))
        ]
        return make.operator(
            kind, [image], [make.output((1, *shape, channels), scale, zero_point)],
            "Pool2DOptions", 2 if make.dtype == "int8" else 1,
            Padding=getattr(tflite.Padding, padding), StrideH=stride[0], StrideW=stride[1],
            FilterHeight=kernel[0], FilterWidth=kernel[1],
            FusedActivationFunction=make.activation("NONE", "RELU", "RELU6"),
        )  # fmt: skip

    return build


def _reduction(kind: str) -> Make:
    def build(make: Maker) -> bytes:
        shape = (1, *make.sides())
        axes = make.choice([1, 2], [1, 2], [3], [1], [-1, 1])
        image = make.image(*shape)
        keep = make.choice(0, 1)
        gone = {axis % 4 for axis in axes}
        target = [
            1 if axis in gone else extent
            for axis, extent in enumerate(shape)
            if keep or axis not in gone
        ]
        same = make.quantization(image)
        quantization = same if kind.startswith("REDUCE") or make.choice(True, False) else ()
        return make.operator(
            kind, [image, make.whole(axes)], [make.output(target, *quantization)],
            "ReducerOptions", 2 if make.dtype == "int8" else 1, KeepDims=keep,
        )  # fmt: skip

    return build


def _one(kind: str, table: str | None = None, version: int = 1, **fields: float) -> Make:
    """A function of one tensor between any two quantisations."""

    def build(make: Maker) -> bytes:
        shape = (1, *make.sides())
        image = make.image(*shape)
        output = make.output(shape)
        if kind in ("LOGISTIC", "TANH", "SOFTMAX"):
            signed = kind == "TANH"
            scale = 1 / 128 if signed else 1 / 256
            output = make.output(shape, scale, make.low + 128 if signed else make.low)
        return make.operator(kind, [image], [output], table, version, **fields)

    return build


def _same(kind: str, table: str | None, shape: Any, extra: Any = None, **fields: float) -> Make:
    """An operator that only moves values: the output has the input's quantisation.

    ``shape``: input's shape -> output's; ``extra``: input's shape -> constant second input.
    """

    def build(make: Maker) -> bytes:
        source = (1, *make.sides(4))
        source = (1, source[1] // 2 * 2, source[2] // 2 * 2, source[3] * 4)
        image = make.image(*source)
        operands = [image] if extra is None else [image, *map(make.whole, extra(source))]
        output = make.output(shape(source), *make.quantization(image))
        return make.operator(kind, operands, [output], table, **fields)

    return build


def _concatenation(make: Maker) -> bytes:
    shape, axis = (1, *make.sides()), make.choice(1, 2, 3, -1)
    first = make.image(*shape)
    other = list(shape)
    other[axis] += 2
    scale, zero_point = make.quantization(first)
    if make.dtype == "uint8" and make.choice(True, False):
        scale, zero_point = make.scale(), make.zero_point()
    operands = [first, make.image(*other, scale=scale, zero_point=zero_point)]
    target = list(shape)
    target[axis] += other[axis]
    output = make.output(target, *make.quantization(first))
    return make.operator("CONCATENATION", operands, [output], "ConcatenationOptions", Axis=axis)


def _split(make: Maker) -> bytes:
    shape = (1, 4, 6, 8)
    axis = make.choice(1, 2, 3)
    image = make.image(*shape)
    part = list(shape)
    part[axis] //= 2
    outputs = [make.output(part, *make.quantization(image)) for _ in range(2)]
    return make.operator("SPLIT", [make.whole(axis), image], outputs, "SplitOptions", NumSplits=2)


def _quantize(make: Maker) -> bytes:
    shape = (1, *make.sides())
    image = make.image(*shape)
    other = make.choice("uint8", "int8", make.dtype)
    low = 0 if other == "uint8" else -128
    output = make.builder.tensor(
        shape, make.scale(), low + int(make.random.integers(256)), dtype=other
    )
    return make.operator("QUANTIZE", [image], [output], "QuantizeOptions")


def _to_bytes(make: Maker) -> bytes:
    image = make.builder.input((1, *make.sides()), None, dtype="float32")
    shape = make.builder.tensors[image].shape
    return make.operator("QUANTIZE", [image], [make.output(shape)], "QuantizeOptions")


def _to_real(make: Maker) -> bytes:
    image = make.image(1, *make.sides())
    output = make.builder.tensor(make.builder.tensors[image].shape or (), dtype="float32")
    return make.operator("DEQUANTIZE", [image], [output], "DequantizeOptions", 2)


def _resize(kind: str, table: str, align: bool) -> Make:
    def build(make: Maker) -> bytes:
        rows, columns, channels = make.sides(2)
        size = (rows * make.choice(1, 2, 3), int(make.random.integers(1, 25)))
        image = make.image(1, rows, columns, channels)
        output = make.output((1, *size, channels), *make.quantization(image))
        corners, centers = make.choice((0, 0), (1, 0), (0, 1)) if align else (0, 0)
        return make.operator(
            kind, [image, make.whole(size)], [output], table, 3,
            AlignCorners=corners, HalfPixelCenters=centers,
        )  # fmt: skip

    return build


def _prelu(make: Maker) -> bytes:
    shape = (1, *make.sides())
    image = make.image(*shape)
    slopes = make.random.integers(make.low, make.low + 256, (1, 1, shape[3]))
    slope = make.builder.constant(slopes.astype(make.dtype), 0.01, make.low + 100)
    return make.operator("PRELU", [image, slope], [make.output(shape)])


def _strided_slice(make: Maker) -> bytes:
    rows, columns, channels = make.sides(5)
    image = make.image(1, rows, columns, channels)
    begin, end, step = [0, 1, -1, 0], [1, -1, 0, channels], [1, 2, -2, 1]
    shape = (1, -(-(rows - 2) // 2), -(-(columns - 1) // 2), channels)
    output = make.output(shape, *make.quantization(image))
    operands = [image, make.whole(begin), make.whole(end), make.whole(step)]
    return make.operator("STRIDED_SLICE", operands, [output], "StridedSliceOptions", EndMask=1)


def _gather(make: Maker) -> bytes:
    rows, columns, channels = make.sides(2)
    image = make.image(1, rows, columns, channels)
    output = make.output((1, 3, columns, channels), *make.quantization(image))
    operands = [image, make.whole([0, rows - 1, 0])]
    return make.operator("GATHER", operands, [output], "GatherOptions", Axis=1)


def _largest(kind: str, table: str) -> Make:
    def build(make: Maker) -> bytes:
        shape = (1, *make.sides())
        output = make.builder.tensor(shape[:3], dtype="int32")
        operands = [make.image(*shape), make.whole([3])]
        return make.operator(kind, operands, [output], table, OutputType=2)

    return build


MAKERS: dict[str, Make] = {
    "CONV_2D": lambda make: _convolution(make, False),
    "DEPTHWISE_CONV_2D": lambda make: _convolution(make, True),
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transposed,
    "ADD": _two("ADD", "AddOptions"),
    "SUB": _two("SUB", "SubOptions"),
    "MUL": _two("MUL", "MulOptions"),
    "MAXIMUM": _extremum("MAXIMUM"),
    "MINIMUM": _extremum("MINIMUM"),
    "AVERAGE_POOL_2D": _pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": _pool("MAX_POOL_2D"),
    "MEAN": _reduction("MEAN"),
    "SUM": _reduction("SUM"),
    "REDUCE_MAX": _reduction("REDUCE_MAX"),
    "REDUCE_MIN": _reduction("REDUCE_MIN"),
    "LOGISTIC": _one("LOGISTIC"),
    "TANH": _one("TANH"),
    "SOFTMAX": _one("SOFTMAX", "SoftmaxOptions", Beta=1.0),
    "HARD_SWISH": _one("HARD_SWISH"),
    "LEAKY_RELU": _one("LEAKY_RELU", "LeakyReluOptions", 2, Alpha=0.1),
    "PRELU": _prelu,
    "RELU": _one("RELU", None, 2),
    "RELU6": _one("RELU6", None, 2),
    "RELU_N1_TO_1": _one("RELU_N1_TO_1"),
    "GELU": _one("GELU", "GeluOptions"),
    "ABS": _one("ABS", "AbsOptions", 2),
    "EXP": _one("EXP", "ExpOptions", 2),
    "RSQRT": _one("RSQRT", None, 2),
    "QUANTIZE": _quantize,
    "QUANTIZE real": _to_bytes,
    "DEQUANTIZE": _to_real,
    "RESIZE_BILINEAR": _resize("RESIZE_BILINEAR", "ResizeBilinearOptions", True),
    "RESIZE_NEAREST_NEIGHBOR": _resize(
        "RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions", True
    ),
    "CONCATENATION": _concatenation,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "ARG_MAX": _largest("ARG_MAX", "ArgMaxOptions"),
    "ARG_MIN": _largest("ARG_MIN", "ArgMinOptions"),
    "RESHAPE": _same(
        "RESHAPE", "ReshapeOptions", lambda s: (1, s[1] * s[2], s[3]),
        lambda s: [[1, s[1] * s[2], s[3]]],
    ),
    "SQUEEZE": _same("SQUEEZE", "SqueezeOptions", lambda s: s[1:] if 1 not in s[1:] else [
        extent for extent in s if extent != 1
    ]),
    "EXPAND_DIMS": _same(
        "EXPAND_DIMS", "ExpandDimsOptions", lambda s: (1, 1, *s[1:]), lambda s: [[1]]
    ),
    "PAD": _same(
        "PAD", "PadOptions", lambda s: (1, s[1] + 3, s[2] + 1, s[3] + 2),
        lambda s: [[[0, 0], [1, 2], [0, 1], [2, 0]]],
    ),
    "MIRROR_PAD": _same(
        "MIRROR_PAD", "MirrorPadOptions", lambda s: (1, s[1] + 3, s[2] + 1, s[3]),
        lambda s: [[[0, 0], [1, 2], [0, 1], [0, 0]]], Mode=1,
    ),
    "TRANSPOSE": _same(
        "TRANSPOSE", "TransposeOptions", lambda s: (1, s[3], s[1], s[2]), lambda s: [[0, 3, 1, 2]]
    ),
    "SLICE": _same(
        "SLICE", "SliceOptions", lambda s: (1, s[1] - 1, 2, s[3]),
        lambda s: [[0, 1, 0, 0], [1, s[1] - 1, 2, s[3]]],
    ),
    "TILE": _same(
        "TILE", "TileOptions", lambda s: (1, s[1] * 2, s[2], s[3] * 3), lambda s: [[1, 2, 1, 3]]
    ),
    "DEPTH_TO_SPACE": _same(
        "DEPTH_TO_SPACE", "DepthToSpaceOptions", lambda s: (1, s[1] * 2, s[2] * 2, s[3] // 4),
        BlockSize=2,
    ),
    "SPACE_TO_DEPTH": _same(
        "SPACE_TO_DEPTH", "SpaceToDepthOptions", lambda s: (1, s[1] // 2, s[2] // 2, s[3] * 4),
        BlockSize=2,
    ),
    "SPACE_TO_BATCH_ND": _same(
        "SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions",
        lambda s: (4, (s[1] + 2) // 2, (s[2] + 2) // 2, s[3]), lambda s: [[2, 2], [[1, 1], [2, 0]]],
    ),
}  # fmt: skip


def cases_of(kind: str, dtype: str, seeds: int) -> Iterator[Case]:
    """Models of one kind and byte type, one for each seed."""
    for seed in range(seeds):
        yield Case(f"{kind} {dtype} {seed}", MAKERS[kind](Maker(dtype, seed, kind)))
