"""What varies in generated models: shapes, types, quantisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cases import log_uniform
from models import ModelBuilder

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 20, 24, 33, 40)
LARGEST_SIDE = 24
ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")
RATIO = 64.0
"""Scales of input and output differ by up to this factor."""


def least(builder: ModelBuilder) -> int:
    """Of the type."""
    return -128 if builder.dtype == "int8" else 0


def zero_point(builder: ModelBuilder, rng: np.random.Generator) -> int:
    """An end, the middle, or any."""
    byte = int(rng.choice([0, 255, 128, rng.integers(0, 256), rng.integers(0, 256)]))
    return byte + least(builder)


def scale(rng: np.random.Generator) -> float:
    return log_uniform(rng, 0.002, 0.5)


def side(rng: np.random.Generator, largest: int = LARGEST_SIDE) -> int:
    """1 to ``largest``, small ones as likely as large ones."""
    return min(int(np.exp(rng.uniform(0, np.log(largest + 1)))), largest)


def channels(rng: np.random.Generator) -> int:
    return int(rng.choice(CHANNELS))


def shape(rng: np.random.Generator, ranks: Sequence[int] = (4, 4, 4, 3, 2, 1)) -> tuple[int, ...]:
    """Any extents, of one of ``ranks`` dimensions; the batch is 1."""
    full = (1, side(rng), side(rng), channels(rng))
    return full[4 - int(rng.choice(list(ranks))) :]


def quantization(builder: ModelBuilder, rng: np.random.Generator) -> tuple[float, int]:
    return scale(rng), zero_point(builder, rng)


def given(builder: ModelBuilder, rng: np.random.Generator, extents: Sequence[int]) -> int:
    """A graph input."""
    return builder.input(extents, *quantization(builder, rng))


def factors(rng: np.random.Generator, total: int, count: int) -> list[int]:
    """``count`` numbers whose product is ``total``."""
    found = []
    for _ in range(count - 1):
        divisors = [n for n in range(1, total + 1) if total % n == 0]
        found.append(int(rng.choice(divisors)))
        total //= found[-1]
    return [*found, total]
