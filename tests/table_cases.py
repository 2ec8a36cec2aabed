"""Byte functions with scales and zero points, for tables: a broad grid, always the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode.table_functions import Function

FUNCTIONS: dict[str, Function] = {
    "identity": functions.identity,
    "relu": functions.relu,
    "relu6": functions.relu6,
    "relu_n1_to_1": functions.relu_n1_to_1,
    "relu_0_to_1": functions.relu_0_to_1,
    "leaky_relu 0.01": functions.leaky_relu(0.01),
    "leaky_relu 0.1": functions.leaky_relu(0.1),
    "leaky_relu 0.3": functions.leaky_relu(0.3),
    "prelu -0.5": functions.leaky_relu(-0.5),
    "elu": functions.elu,
    "gelu": functions.gelu,
    "gelu_by_tanh": functions.gelu_by_tanh,
    "logistic": functions.logistic,
    "swish": functions.swish,
    "hard_swish": functions.hard_swish,
    "tanh": functions.tanh,
    "exp": functions.exp,
    "square": functions.square,
    "sqrt": functions.sqrt,
    "rsqrt": functions.rsqrt,
    "absolute": functions.absolute,
    "negative": functions.negative,
}
SMALLEST_SCALE, LARGEST_SCALE = 1 / 1024, 1.0
WIDEST_RATIO = 8
"""Output scales are up to so many times, or as small a part of, the one that just fits."""


@dataclass(frozen=True)
class Case:
    """A function of bytes, with zero points from 0 to 255."""

    function: Function
    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int

    @property
    def target(self) -> np.ndarray:
        """For ``tables.fit``."""
        return functions.target_of(
            self.function,
            self.input_scale,
            self.input_zero_point,
            self.output_scale,
            self.output_zero_point,
        )


def natural_output(function: Function, scale: float, zero_point: int) -> tuple[float, int]:
    """Scale and zero point that just hold what the function gives."""
    with np.errstate(all="ignore"):
        values = function((np.arange(256) - zero_point) * float(np.float32(scale)))
    values = np.append(values[np.isfinite(values)], 0.0)
    span = (values.max() - values.min()) / 255 or 1.0
    return float(span), int(np.clip(round(-values.min() / span), 0, 255))


def cases(function: Function, count: int, seed: int = 0) -> Iterator[Case]:
    """Scales at random, evenly in their logarithm; zero points at the ends, in the middle and
    anywhere; outputs that fit, that are up to eight times too wide or too narrow, and usual ones.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        scale = float(np.exp(rng.uniform(np.log(SMALLEST_SCALE), np.log(LARGEST_SCALE))))
        zero_point = int(rng.choice([0, 255, 128, rng.integers(256)]))
        fitting, middle = natural_output(function, scale, zero_point)
        other = fitting * float(np.exp(rng.uniform(-1, 1) * np.log(WIDEST_RATIO)))
        outputs = [
            (fitting, middle),
            (other, middle),
            (other, int(rng.integers(256))),
            (1 / 256, 0),
            (scale, zero_point),
        ]
        yield Case(function, scale, zero_point, *outputs[number % len(outputs)])
