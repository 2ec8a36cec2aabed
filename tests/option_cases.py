"""Small models whose operators have options that are no default, and what those options are.

Each is one that LiteRT prepares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import further_operators as more
import image_operators as images
import numpy as np
import tflite
from models import ModelBuilder

from lapilli.model.options import (
    Activation,
    Addition,
    Blocks,
    Concatenation,
    Convolution,
    Division,
    Extremum,
    FullyConnected,
    Gathering,
    Gelu,
    LeakyRelu,
    MirrorPadding,
    Multiplication,
    Options,
    Padding,
    Pooling,
    Reduction,
    Reshaping,
    Resizing,
    Softmax,
    Squeezing,
    Stack,
    StridedSlice,
    TransposedConvolution,
)

Outputs = int | Sequence[int]
Q = (0.1, -3)
"""The quantisation of the image, and of most results."""


@dataclass(frozen=True)
class OptionCase:
    """``build`` appends one operator of ``kind`` to a builder and returns its outputs."""

    kind: str
    build: Callable[[ModelBuilder], Outputs]
    options: Options
    dtype: str = "int8"

    def model(self) -> bytes:
        """The file."""
        builder = ModelBuilder(self.dtype)
        outputs = self.build(builder)
        return builder.build([outputs] if isinstance(outputs, int) else list(outputs))


def image(builder: ModelBuilder, *shape: int) -> int:
    """An input; without quantisation if the builder makes floats."""
    quantization = Q if builder.dtype == "int8" else (0.1, 125) if builder.dtype == "uint8" else ()
    return builder.input(shape or (1, 8, 6, 4), *(quantization or (None,)))


def weights(*shape: int) -> Any:
    return np.arange(np.prod(shape)).astype(np.int8).reshape(shape)


def floating(
    builder: ModelBuilder,
    kind: str,
    table: str,
    fields: dict[str, Any],
    inputs: int = 1,
    shape: Sequence[int] = (1, 8, 6, 4),
) -> int:
    """An operator of floats; LiteRT works out the output's shape by itself."""
    x = image(builder)
    result = builder.tensor(shape)
    builder.operator(kind, [x] * inputs, [result], (table, fields))
    return result


def reduced(kind: str, dtype: str = "int8") -> list[OptionCase]:
    def build(builder: ModelBuilder) -> int:
        return images.reduce(builder, kind, image(builder), [1, 2], keep_dims=True)

    return [OptionCase(kind, build, Reduction(keep_dimensions=True), dtype)]


def pooled(kind: str, dtype: str = "int8") -> list[OptionCase]:
    fields = {
        "Padding": tflite.Padding.VALID,
        "StrideW": 1,
        "StrideH": 2,
        "FilterWidth": 3,
        "FilterHeight": 4,
        "FusedActivationFunction": tflite.ActivationFunctionType.RELU6,
    }
    options = Pooling(Padding.VALID, 4, 3, 2, 1, Activation.RELU6)
    if dtype == "float32":
        return [
            OptionCase(
                kind,
                lambda b: floating(b, kind, "Pool2DOptions", fields, shape=(1, 3, 4, 4)),
                options,
                dtype,
            )
        ]
    return [
        OptionCase(
            kind,
            lambda b: more.pool(b, kind, image(b), (4, 3), (2, 1), "VALID", "RELU6"),
            options,
        ),
        OptionCase(
            kind,
            lambda b: more.pool(b, kind, image(b), (1, 2), (1, 3), "SAME", "RELU_N1_TO_1"),
            Pooling(Padding.SAME, 1, 2, 1, 3, Activation.RELU_N1_TO_1),
        ),
    ]


# ------------------------------------------------------------------------------------ convolutions


def convolved(builder: ModelBuilder) -> int:
    return builder.conv(
        image(builder), weights(5, 3, 2, 4), np.arange(5), [0.01, 0.02, 0.03, 0.04, 0.05], 0, *Q,
        stride=(1, 2), padding="VALID", activation="RELU6",
    )  # fmt: skip


def dilated(builder: ModelBuilder) -> int:
    return builder.conv(
        image(builder), weights(5, 3, 2, 4), np.arange(5), 0.01, 0, *Q,
        padding="SAME", dilation=(2, 3), activation="RELU",
    )  # fmt: skip


def depthwise(builder: ModelBuilder) -> int:
    return builder.depthwise(
        image(builder), weights(1, 3, 2, 12), np.arange(12), 0.01, 0, *Q,
        stride=(2, 1), padding="VALID", activation="RELU_N1_TO_1",
    )  # fmt: skip


def depthwise_dilated(builder: ModelBuilder) -> int:
    return builder.depthwise(
        image(builder), weights(1, 3, 2, 4), np.arange(4), 0.01, 0, *Q, dilation=(2, 3)
    )


def transposed(builder: ModelBuilder) -> int:
    return images.transpose_conv(
        builder, image(builder), weights(3, 4, 2, 4), np.arange(3), [0.01, 0.02, 0.03], 0, Q,
        stride=(2, 3), padding="VALID", activation="RELU",
    )  # fmt: skip


def connected(builder: ModelBuilder) -> int:
    return more.fully_connected(
        builder, image(builder), weights(5, 4), None, (0.5, 0), Q, activation="RELU", keep_dims=True
    )


def shuffled(builder: ModelBuilder) -> list[int]:
    """An old CPU kernel's form: uint8 by uint8 in blocks, int16 out, and a workspace."""
    x = builder.input((1, 16), 0.1, 128)
    kernel = builder.constant(np.zeros((4, 16), np.uint8), 0.1, 128)
    bias = builder.constant(np.zeros(4, np.int32), 0.01)
    result = builder.tensor((1, 4), 1.0, 0, dtype="int16")
    workspace = builder.tensor((1, 16), 0.1, 128)
    fields = {"WeightsFormat": tflite.FullyConnectedOptionsWeightsFormat.SHUFFLED4x16INT8}
    options = ("FullyConnectedOptions", fields)
    builder.operator("FULLY_CONNECTED", [x, kernel, bias], [result, workspace], options, 2)
    return [result, workspace]


CONVOLUTIONS = (
    OptionCase("CONV_2D", convolved, Convolution(Padding.VALID, 1, 2, 1, 1, Activation.RELU6)),
    OptionCase("CONV_2D", dilated, Convolution(Padding.SAME, 1, 1, 2, 3, Activation.RELU)),
    OptionCase(
        "DEPTHWISE_CONV_2D",
        depthwise,
        Convolution(Padding.VALID, 2, 1, 1, 1, Activation.RELU_N1_TO_1, 3),
    ),
    OptionCase("DEPTHWISE_CONV_2D", depthwise_dilated, Convolution(Padding.SAME, 1, 1, 2, 3)),
    OptionCase(
        "TRANSPOSE_CONV", transposed, TransposedConvolution(Padding.VALID, 2, 3, Activation.RELU)
    ),
    OptionCase("FULLY_CONNECTED", connected, FullyConnected(Activation.RELU, keep_dimensions=True)),
    OptionCase("FULLY_CONNECTED", shuffled, FullyConnected(shuffled=True), "uint8"),
    *pooled("AVERAGE_POOL_2D"),
    *pooled("MAX_POOL_2D"),
    *pooled("L2_POOL_2D", "float32"),
)


# -------------------------------------------------------------------------------------- arithmetic


def added(builder: ModelBuilder) -> int:
    x = image(builder)
    return builder.add(x, x, *Q, activation="RELU6")


def subtracted(builder: ModelBuilder) -> int:
    x = image(builder)
    return builder.subtract(x, x, *Q, activation="RELU")


def multiplied(builder: ModelBuilder) -> int:
    x = image(builder)
    return more.multiply(builder, x, x, Q, "RELU_N1_TO_1")


def divided(builder: ModelBuilder) -> int:
    fields = {"FusedActivationFunction": tflite.ActivationFunctionType.RELU}
    return floating(builder, "DIV", "DivOptions", fields, inputs=2)


ARITHMETIC = (
    OptionCase("ADD", added, Addition(Activation.RELU6)),
    OptionCase("SUB", subtracted, Addition(Activation.RELU)),
    OptionCase("MUL", multiplied, Multiplication(Activation.RELU_N1_TO_1)),
    OptionCase("DIV", divided, Division(Activation.RELU), "float32"),
    *reduced("MEAN"),
    *reduced("SUM"),
    *reduced("REDUCE_MAX"),
    *reduced("REDUCE_MIN"),
    *reduced("REDUCE_PROD", "float32"),
    *reduced("REDUCE_ANY", "bool"),
    *reduced("REDUCE_ALL", "bool"),
    OptionCase("SOFTMAX", lambda b: images.softmax(b, image(b, 1, 10), 0.75), Softmax(0.75)),
    OptionCase("LEAKY_RELU", lambda b: images.leaky_relu(b, image(b), 0.25, Q), LeakyRelu(0.25)),
    OptionCase(
        "GELU",
        lambda b: floating(b, "GELU", "GeluOptions", {"Approximate": 1}),
        Gelu(approximate=True),
        "float32",
    ),
    OptionCase(
        "ARG_MAX",
        lambda b: images.extremum_index(b, "ARG_MAX", image(b), 3, "int32"),
        Extremum("int32"),
    ),
    OptionCase(
        "ARG_MIN",
        lambda b: images.extremum_index(b, "ARG_MIN", image(b), 3, "int64"),
        Extremum("int64"),
    ),
)


# -------------------------------------------------------------------------------- moving of values


def concatenated(builder: ModelBuilder) -> int:
    x = image(builder)
    return more.concatenate(builder, [x, x], -1)


def clamped(builder: ModelBuilder) -> int:
    x = image(builder)
    result = builder.tensor((1, 16, 6, 4))
    fields = {"Axis": 1, "FusedActivationFunction": tflite.ActivationFunctionType.NONE}
    builder.operator("CONCATENATION", [x, x], [result], ("ConcatenationOptions", fields))
    return result


def reshaped(builder: ModelBuilder) -> int:
    """By the option: without a second input."""
    x = image(builder)
    result = more.like(builder, x, (1, 4, 48))
    builder.operator("RESHAPE", [x], [result], ("ReshapeOptions", {"NewShape": [1, 4, -1]}))
    return result


def squeezed(builder: ModelBuilder) -> int:
    x = image(builder, 1, 8, 1, 4)
    result = more.like(builder, x, (8, 4))
    builder.operator("SQUEEZE", [x], [result], ("SqueezeOptions", {"SqueezeDims": [0, -2]}))
    return result


def sliced(
    masks: dict[str, int], begin: list[int], end: list[int], shape: Sequence[int]
) -> Callable[[ModelBuilder], int]:
    def build(builder: ModelBuilder) -> int:
        x = image(builder)
        result = more.like(builder, x, shape)
        parts = [np.array(part, np.int32) for part in (begin, end, [1] * len(begin))]
        inputs = [x, *map(builder.constant, parts)]
        builder.operator("STRIDED_SLICE", inputs, [result], ("StridedSliceOptions", masks), 8)
        return result

    return build


MOVES = (
    OptionCase("CONCATENATION", concatenated, Concatenation(-1)),
    OptionCase("CONCATENATION", clamped, Concatenation(1), "float32"),
    OptionCase("PACK", lambda b: more.pack(b, [image(b)] * 3, 2), Stack(2)),
    OptionCase("UNPACK", lambda b: more.unpack(b, image(b), -1), Stack(-1)),
    OptionCase("RESHAPE", reshaped, Reshaping((1, 4, -1))),
    OptionCase("SQUEEZE", squeezed, Squeezing((0, -2))),
    OptionCase(
        "STRIDED_SLICE",
        sliced(
            {"BeginMask": 2, "EndMask": 12, "ShrinkAxisMask": 1},
            [0, 1, 0, 2],
            [1, 4, 5, 3],
            (4, 6, 2),
        ),
        StridedSlice(begin_mask=2, end_mask=12, shrink_axis_mask=1),
    ),
    OptionCase(
        "STRIDED_SLICE",
        sliced({"EllipsisMask": 4, "NewAxisMask": 1}, [0, 0, 0, 1], [0, 1, 0, 3], (1, 1, 8, 6, 2)),
        StridedSlice(ellipsis_mask=4, new_axis_mask=1),
    ),
    OptionCase(
        "STRIDED_SLICE",
        sliced({"Offset": 1}, [0, 1, 0, 2], [1, 4, 6, 2], (1, 4, 6, 2)),
        StridedSlice(offset=True),
    ),
    OptionCase(
        "GATHER",
        lambda b: images.gather(b, image(b), np.array([[1, 2, 0]]), 2, 1),
        Gathering(axis=2, batch_dimensions=1),
    ),
    *(
        OptionCase(
            "MIRROR_PAD",
            lambda b, s=symmetric: more.mirror_pad(  # type: ignore[misc]
                b, image(b), [[0, 0], [1, 1], [0, 2], [0, 0]], s
            ),
            MirrorPadding(symmetric),
        )
        for symmetric in (False, True)
    ),
    *(
        OptionCase(
            kind,
            lambda b, k=kind, c=corners, h=centers: images.resize(  # type: ignore[misc]
                b, k, image(b), (16, 12), c, h
            ),
            Resizing(align_corners=corners, half_pixel_centers=centers),
        )
        for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
        for corners, centers in ((True, False), (False, True))
    ),
    OptionCase("DEPTH_TO_SPACE", lambda b: images.depth_to_space(b, image(b), 2), Blocks(2)),
    OptionCase("SPACE_TO_DEPTH", lambda b: images.space_to_depth(b, image(b), 2), Blocks(2)),
)

CASES = (*CONVOLUTIONS, *ARITHMETIC, *MOVES)
