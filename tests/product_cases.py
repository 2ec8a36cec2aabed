"""Generated MULs of two tensors: alike, gates for each channel, and other repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import further_operators as build
import numpy as np
from cases import log_uniform
from models import ModelBuilder
from varying import ACTIVATIONS, given, shape, zero_point


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
