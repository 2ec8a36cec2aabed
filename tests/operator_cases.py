"""Generated models of one operator without weights of its own, or a fully connected layer.

A case is a family and a seed; the family's function draws shapes, quantisation and options. Shapes
are odd and not square, channels no multiples of the cores, zero points often at the ends, types
uint8 and int8, scales up to 64 times apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import further_operators as build
import image_operators as images
import numpy as np
from cases import BYTE_DEVIATION, BYTE_MEAN, OUTPUT_DEVIATION, Array, log_uniform, seeded
from models import ModelBuilder
from product_cases import dimensions, product
from spatial_cases import SPATIAL
from varying import (
    ACTIVATIONS,
    RATIO,
    channels,
    factors,
    given,
    least,
    scale,
    shape,
    side,
    zero_point,
)

Family = Callable[[ModelBuilder, np.random.Generator], Sequence[int]]


@dataclass(frozen=True)
class OperatorCase:
    """Case ``seed`` of a family of ``FAMILIES``."""

    group: str
    seed: int

    @property
    def name(self) -> str:
        """What a failure is called."""
        return f"{self.group}-{self.seed}"

    def built(self) -> tuple[ModelBuilder, list[int]]:
        """The builder with the operator, and its outputs."""
        rng = seeded("operator", self.group, self.seed)
        builder = ModelBuilder(str(rng.choice(["uint8", "int8"])))
        return builder, list(FAMILIES[self.group](builder, rng))

    def model(self) -> bytes:
        """The .tflite."""
        builder, outputs = self.built()
        return builder.build(outputs)

    def feed(self) -> list[Array]:
        """Input values."""
        builder, _ = self.built()
        return [
            bytes_of(builder, tensor, seeded("feed", self.name, str(number)))
            for number, tensor in enumerate(builder.inputs)
        ]


def bytes_of(builder: ModelBuilder, tensor: int, rng: np.random.Generator) -> Array:
    """Any bytes for a tensor; the least and the greatest are among them if there is room."""
    values = rng.integers(0, 256, build.shape_of(builder, tensor), dtype=np.uint8)
    values.reshape(-1)[:2] = (0, 255)[: values.size]
    return values.view(np.int8) if builder.tensors[tensor].dtype == "int8" else values


def operator_cases(group: str, count: int) -> list[OperatorCase]:
    """The first ``count`` cases of a family."""
    return [OperatorCase(group, seed) for seed in range(count)]


# ------------------------------------------------------------------------------------------ shapes


def reshaping(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """RESHAPE, SQUEEZE or EXPAND_DIMS."""
    extents = shape(rng)
    x = given(builder, rng, extents)
    kind = int(rng.integers(4))
    if kind == 0 and len(extents) > 1:
        return [build.squeeze(builder, x)]
    if kind == 1 and len(extents) < 4:
        return [build.expand_dims(builder, x, 0)]
    rank = int(rng.integers(1, 5))
    new = factors(rng, math.prod(extents), min(rank, 3))
    return [build.reshape(builder, x, [1, *new] if rank == 4 else new)]


def joining(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """CONCATENATION, of operands with the same scale or others, or PACK; one operand may come
    twice."""
    if rng.random() < 0.25:
        extents = shape(rng, (3, 2, 1))
        parts = [given(builder, rng, extents)]
        quantised = build.quantization_of(builder, parts[0])
        for _ in range(int(rng.integers(0, 4))):
            parts.append(builder.input(extents, *quantised))
        axis = int(rng.integers(-1, len(extents) + 1))
        return [build.pack(builder, parts, axis if len(extents) < 3 or axis else 1)]
    extents = shape(rng)
    first = 1 if len(extents) == 4 else 0
    axis = int(rng.integers(first, len(extents)))
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        size = channels(rng) if axis == len(extents) - 1 else side(rng)
        part = (*extents[:axis], size, *extents[axis + 1 :])
        if parts and rng.random() < 0.2:
            parts.append(parts[0])
        elif parts and (rng.random() < 0.7 or builder.dtype == "int8"):
            parts.append(builder.input(part, *build.quantization_of(builder, parts[0])))
        else:
            parts.append(given(builder, rng, part))
    if rng.random() < 0.5:
        axis -= len(extents)
    return [build.concatenate(builder, parts, axis)]


def splitting(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """SPLIT, SPLIT_V or UNPACK."""
    kind = int(rng.integers(3))
    extents = shape(rng, (4, 3, 3, 2))
    axis = int(rng.integers(1 if len(extents) == 4 else 0, len(extents)))
    count = int(rng.integers(1, 5))
    if kind == 0:
        extents = (*extents[:axis], extents[axis] * count, *extents[axis + 1 :])
        return build.split(builder, given(builder, rng, extents), axis - len(extents), count)
    if kind == 1:
        sizes = [side(rng, 9) for _ in range(count)]
        extents = (*extents[:axis], sum(sizes), *extents[axis + 1 :])
        sizes[int(rng.integers(count))] = -1
        return build.split_v(builder, given(builder, rng, extents), axis, sizes)
    extents = (*extents[:axis], count, *extents[axis + 1 :])
    return build.unpack(builder, given(builder, rng, extents), axis)


def slicing(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """SLICE or STRIDED_SLICE, with steps up to 3."""
    extents = shape(rng)
    x = given(builder, rng, extents)
    first = [int(rng.integers(n)) if rng.random() < 0.5 else 0 for n in extents]
    if rng.random() < 0.4:
        size = [
            -1 if rng.random() < 0.3 else int(rng.integers(1, n - b + 1))
            for n, b in zip(extents, first, strict=True)
        ]
        return [build.slice_out(builder, x, first, size)]
    end = [int(rng.integers(b + 1, n + 1)) for n, b in zip(extents, first, strict=True)]
    step = [int(rng.choice([1, 1, 2, 3])) for _ in extents]
    shrink = sum(1 << i for i in range(len(extents)) if rng.random() < 0.1)
    step = [1 if shrink >> i & 1 else s for i, s in enumerate(step)]
    masks = [sum(1 << i for i in range(len(extents)) if rng.random() < 0.2) for _ in range(2)]
    masks = [mask & ~shrink for mask in masks]
    negative = [b - n if rng.random() < 0.2 else b for b, n in zip(first, extents, strict=True)]
    return [build.strided_slice(builder, x, negative, end, step, *masks, shrink)]


def padding(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """PAD, PADV2 or MIRROR_PAD of rows, columns and channels."""
    extents = shape(rng)
    x = given(builder, rng, extents)
    kind = int(rng.integers(3))
    most = [min(n - 1, 4) if kind == 2 else 4 for n in extents]
    if len(extents) == 4:
        most[0] = 0
    chance = rng.uniform(0.2, 0.9)
    amounts = [
        [int(rng.integers(m + 1)) if rng.random() < chance else 0 for _ in range(2)] for m in most
    ]
    if kind == 0:
        return [build.pad(builder, x, amounts)]
    if kind == 1:
        return [build.pad(builder, x, amounts, int(rng.integers(256)) + least(builder))]
    return [build.mirror_pad(builder, x, amounts, bool(rng.random() < 0.5))]


def fully_connected(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """Of one row or several, of tensors of two to four dimensions."""
    extents = shape(rng, (4, 3, 2, 2))
    x = given(builder, rng, extents)
    whole = rng.random() < 0.3 and len(extents) > 2
    inputs = math.prod(extents) if whole and math.prod(extents) < 4000 else extents[-1]
    weight_zero = least(builder) + 128
    if builder.dtype == "uint8":
        weight_zero = zero_point(builder, rng)
    info = np.iinfo(builder.dtype)
    count = channels(rng)
    weights = rng.integers(info.min, info.max + 1, (count, inputs)).astype(builder.dtype)
    return [dense(builder, rng, x, weights, weight_zero, inputs == extents[-1])]


def dense(
    builder: ModelBuilder,
    rng: np.random.Generator,
    x: int,
    weights: Array,
    weight_zero: int,
    may_keep: bool = False,
) -> int:
    """A fully connected layer whose outputs use their range."""
    centred = weights.astype(np.float64) - weight_zero
    (input_scale, input_zero) = build.quantization_of(builder, x)
    means = centred.sum(axis=1) * (BYTE_MEAN + least(builder) - input_zero)
    deviation = BYTE_DEVIATION * float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
    activation = str(rng.choice(["NONE", "NONE", *ACTIVATIONS]))
    zero = zero_point(builder, rng)
    output_scale = scale(rng)
    factor = OUTPUT_DEVIATION / deviation * rng.uniform(0.5, 1.3)
    bias = np.round((BYTE_MEAN + least(builder) - zero) / factor - means)
    bias = np.clip(bias, -(2**31) + 1, 2**31 - 1)
    return build.fully_connected(
        builder,
        x,
        weights,
        bias if rng.random() < 0.8 else None,
        (float(np.float32(factor * output_scale / input_scale)), weight_zero),
        (output_scale, zero),
        activation=activation,
        keep_dims=may_keep and bool(rng.random() < 0.5),
    )


# ------------------------------------------------------------------------------ element by element


def rescaling(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """QUANTIZE between 8-bit types and scales."""
    x = given(builder, rng, shape(rng))
    output = build.quantization_of(builder, x)[0] * log_uniform(rng, 1 / RATIO, RATIO)
    builder.dtype = str(rng.choice(["uint8", "int8"]))
    return [build.quantize(builder, x, (output, zero_point(builder, rng)))]


def extremum(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """MAXIMUM or MINIMUM of two tensors, one twice, or with a constant."""
    x = given(builder, rng, shape(rng))
    kind = str(rng.choice(["MAXIMUM", "MINIMUM"]))
    extents, quantised = build.shape_of(builder, x), build.quantization_of(builder, x)
    other = int(rng.integers(5))
    if other == 0:
        y = x
    elif other < 3:
        y = builder.input(extents, *quantised)
    else:
        forms = [(), (1,), (1,) * len(extents), (extents[-1],)]
        y = _constant(builder, rng, forms[int(rng.integers(4))], *quantised)
    pair = (x, y) if rng.random() < 0.5 else (y, x)
    result = build.like(builder, x, extents)
    options = ("MaximumMinimumOptions", dict[str, int]())
    builder.operator(kind, pair, [result], options, 2 if builder.dtype == "int8" else 1)
    return [result]


def _constant(
    builder: ModelBuilder,
    rng: np.random.Generator,
    extents: Sequence[int],
    scale_of: float,
    zero: int,
) -> int:
    low = least(builder)
    values = rng.integers(low, low + 256, tuple(extents)).astype(builder.dtype)
    return builder.constant(values, scale_of, zero)


def with_constant(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """ADD, SUB or MUL of a tensor and a constant number, or one for each channel."""
    extents = shape(rng)
    x = given(builder, rng, extents)
    first, _ = build.quantization_of(builder, x)
    forms: list[tuple[int, ...]] = [
        (),
        (1,),
        (extents[-1],),
        (*[1] * (len(extents) - 1), extents[-1]),
    ]
    second = first * log_uniform(rng, 1 / RATIO, RATIO)
    second_zero = zero_point(builder, rng)
    y = _constant(builder, rng, forms[int(rng.integers(len(forms)))], second, second_zero)
    pair = (x, y) if rng.random() < 0.6 else (y, x)
    kind = str(rng.choice(["ADD", "SUB", "MUL"]))
    if kind == "MUL":
        output = first * second * rng.uniform(40, 250)
    else:
        output = (first + second) * rng.uniform(0.3, 1.1)
    return [_arithmetic(builder, rng, kind, pair, output, extents)]


def _arithmetic(
    builder: ModelBuilder,
    rng: np.random.Generator,
    kind: str,
    pair: tuple[int, int],
    output: float,
    extents: Sequence[int],
) -> int:
    activation = str(rng.choice(["NONE", "NONE", "NONE", *ACTIVATIONS]))
    result = builder.tensor(extents, output, zero_point(builder, rng))
    fields = {"FusedActivationFunction": build.activation_code(activation)}
    options = (f"{kind.title()}Options", fields)
    builder.operator(kind, pair, [result], options, 2 if builder.dtype == "int8" else 1)
    return result


def with_tensor(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """ADD, SUB or MUL with a constant tensor, or one that is repeated; MAXIMUM or MINIMUM."""
    extents = shape(rng, (4, 4, 3, 2))
    x = given(builder, rng, extents)
    first, zero = build.quantization_of(builder, x)
    kind = str(rng.choice(["ADD", "SUB", "MUL", "MAXIMUM"]))
    if kind == "MAXIMUM":
        y = _constant(builder, rng, extents, first, zero)
        return [build.extremum(builder, kind, *((x, y) if rng.random() < 0.6 else (y, x)))]
    other = tuple(1 if n > 1 and rng.random() < 0.2 else n for n in extents)
    second = first * log_uniform(rng, 1 / 8, 8)
    y = _constant(builder, rng, other, second, zero_point(builder, rng))
    pair = (x, y) if rng.random() < 0.6 else (y, x)
    output = first * second * 200 if kind == "MUL" else (first + second) * rng.uniform(0.4, 1.1)
    return [_arithmetic(builder, rng, kind, pair, output, extents)]


def broadcast(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """ADD or SUB of two tensors of which one, or each in another direction, is repeated."""
    extents = shape(rng, (4, 4, 3, 2))
    shapes = [tuple(1 if n > 1 and rng.random() < 0.4 else n for n in extents) for _ in range(2)]
    if rng.random() < 0.5:
        shapes[int(rng.integers(2))] = extents
    pair = given(builder, rng, shapes[0]), given(builder, rng, shapes[1])
    scales = [build.quantization_of(builder, tensor)[0] for tensor in pair]
    output = sum(scales) * rng.uniform(0.4, 1.1)
    kind = str(rng.choice(["ADD", "SUB"]))
    return [_arithmetic(builder, rng, kind, pair, output, np.broadcast_shapes(*shapes))]


def doubled(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """a + a."""
    x = given(builder, rng, shape(rng))
    output = build.quantization_of(builder, x)[0] * 2 * rng.uniform(0.3, 1.1)
    return [_arithmetic(builder, rng, "ADD", (x, x), output, build.shape_of(builder, x))]


# ------------------------------------------------------------------------------------------ pooling


def average_pooling(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """AVERAGE_POOL_2D."""
    return [_pool(builder, rng, "AVERAGE_POOL_2D")]


def _pool(builder: ModelBuilder, rng: np.random.Generator, kind: str) -> int:
    """A third of them global, the others with windows up to 5x5."""
    rows, columns = side(rng), side(rng)
    x = given(builder, rng, (1, rows, columns, channels(rng)))
    padding = str(rng.choice(["SAME", "VALID"]))
    window, stride = (rows, columns), (rows, columns)
    if rng.random() < 0.67:
        window = min(int(rng.integers(1, 6)), rows), min(int(rng.integers(1, 6)), columns)
        stride = (int(rng.integers(1, 3)),) * 2
        if rng.random() < 0.3:
            window = (min(*window),) * 2
        if kind == "AVERAGE_POOL_2D" and padding == "SAME":
            window = min(window[0], 3), min(window[1], 3)
    activation = str(rng.choice(["NONE", "NONE", "NONE", *ACTIVATIONS]))
    return build.pool(builder, kind, x, window, stride, padding, activation)


def max_pooling(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """MAX_POOL_2D."""
    return [_pool(builder, rng, "MAX_POOL_2D")]


def mean(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """MEAN over rows, columns, both, channels or everything, with dimensions kept or not."""
    extents = shape(rng, (4, 4, 3, 2))
    if math.prod(extents) > 16000:
        extents = (1, 7, 7, extents[-1])
    if rng.random() < 0.1:
        x = given(builder, rng, (1, int(rng.integers(128, 150)), 129, int(rng.integers(1, 4))))
        if rng.random() < 0.5:
            return [build.mean(builder, x, [1, 2], False)]
        window = build.shape_of(builder, x)[1:3]
        return [build.pool(builder, "AVERAGE_POOL_2D", x, (window[0], window[1]))]
    x = given(builder, rng, extents)
    rank = len(extents)
    axes = [[1, 2], [2, 1], [1], [2], [3], [1, 2, 3]][int(rng.integers(6))]
    axes = [axis - (4 - rank) for axis in axes if axis >= 4 - rank] or [rank - 1]
    input_scale, _ = build.quantization_of(builder, x)
    output = None
    if rng.random() < 0.5:
        output = input_scale * log_uniform(rng, 1 / RATIO, 1.9), zero_point(builder, rng)
    keep = bool(rng.random() < 0.5) or len(axes) == rank
    return [build.mean(builder, x, axes, keep, output)]


def total(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """SUM of a few hundred elements, over axes as ``mean``."""
    extents = shape(rng, (4, 4, 3, 2))
    if math.prod(extents) > 4000:
        extents = (1, 7, 7, extents[-1])
    x = given(builder, rng, extents)
    rank = len(extents)
    axes = [[1, 2], [1], [2], [3]][int(rng.integers(4))]
    axes = [axis - (4 - rank) for axis in axes if axis >= 4 - rank] or [rank - 1]
    count = math.prod(extents[axis] for axis in axes)
    output = build.quantization_of(builder, x)[0] * count * rng.uniform(0.2, 1.1)
    keep = bool(rng.random() < 0.5) or len(axes) == rank
    quantised = float(np.float32(output)), zero_point(builder, rng)
    return [images.reduce(builder, "SUM", x, axes, keep, quantised)]


def extremum_over(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """REDUCE_MAX or REDUCE_MIN over rows, or rows and columns."""
    x = given(builder, rng, shape(rng, (4, 4, 3)))
    first = len(build.shape_of(builder, x)) - 3
    axes = [first, first + 1] if rng.random() < 0.7 else [first]
    kind = str(rng.choice(["REDUCE_MAX", "REDUCE_MIN"]))
    return [images.reduce(builder, kind, x, axes, bool(rng.random() < 0.5))]


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "reshape": reshaping,
        "join": joining,
        "split": splitting,
        "slice": slicing,
        "pad": padding,
        "dense": fully_connected,
        "rescale": rescaling,
        "extremum": extremum,
        "constant": with_constant,
        "stored": with_tensor,
        "broadcast": broadcast,
        "doubled": doubled,
        "average": average_pooling,
        "largest": max_pooling,
        "mean": mean,
        "total": total,
        "most": extremum_over,
        "product": product,
        "dimensions": dimensions,
        **SPATIAL,
    }
)
"""Families by name: what ``tools/grid.py`` calls them."""
