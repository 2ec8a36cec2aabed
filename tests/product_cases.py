"""Generated MULs of two tensors, alike, gates for each channel, and other repetitions; operators on
tensors of any dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import further_operators as build
import image_operators as images
import numpy as np
from cases import log_uniform
from models import ModelBuilder
from varying import ACTIVATIONS, channels, given, shape, zero_point


def product(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """A step of the output is 30 to 700 products of two steps; x * x among them."""
    extents = shape(rng, (4, 4, 3, 2))
    x = given(builder, rng, extents)
    kind = int(rng.integers(4))
    other: Sequence[int] = extents
    if kind == 0 and len(extents) == 4:
        other = (1, 1, 1, extents[-1])
    elif kind == 1:
        other = tuple(1 if n > 1 and rng.random() < 0.5 else n for n in extents)
    y = x if kind == 2 else given(builder, rng, other)
    scales = [build.quantization_of(builder, tensor)[0] for tensor in (x, y)]
    output = scales[0] * scales[1] * log_uniform(rng, 30, 700)
    activation = str(rng.choice(["NONE", "NONE", *ACTIVATIONS]))
    quantised = output, zero_point(builder, rng)
    return [build.multiply(builder, x, y, quantised, activation)]


def dimensions(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """Element by element on tensors with a batch above 1, or of five dimensions."""
    extents = [int(n) for n in rng.integers(1, 7, 4)] + [channels(rng)]
    extents = [int(rng.integers(2, 4)), *extents[2:]] if rng.random() < 0.6 else extents
    x = given(builder, rng, extents)
    first, zero = build.quantization_of(builder, x)
    kind = str(rng.choice(["ADD", "MUL", "SUB", "MAXIMUM", "QUANTIZE", "HARD_SWISH"]))
    output = float(np.float32(first * rng.uniform(0.8, 2))), zero_point(builder, rng)
    if kind == "QUANTIZE":
        return [build.quantize(builder, x, output)]
    if kind == "HARD_SWISH":
        return [images.unary(builder, "ABS" if builder.dtype == "int8" else kind, x, output)]
    y = builder.input(extents, first, zero)
    if kind == "MAXIMUM":
        return [build.extremum(builder, kind, x, y)]
    if kind == "MUL":
        scale_of = float(np.float32(first * first * 250))
        return [build.multiply(builder, x, y, (scale_of, zero_point(builder, rng)))]
    append = builder.add if kind == "ADD" else builder.subtract
    return [append(x, y, *output)]
