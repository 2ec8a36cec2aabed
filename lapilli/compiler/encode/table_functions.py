"""Functions of one number that operators compute, and what they make of each byte.

    target = target_of(tanh, 0.05, 130, 1 / 128, 128)    # for tables.fit

Functions take and give one-dimensional arrays of float64. Where one has no value (the root of a
negative number) it gives not a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]
BYTES = 256
TANH_GELU = math.sqrt(2 / math.pi), 0.044715


def target_of(
    function: Function,
    input_scale: float,
    input_zero_point: int,
    output_scale: float,
    output_zero_point: int,
) -> Floats:
    """What each of the 256 bytes should become, before rounding and clamping. Scales count as
    float32, as the model file has them."""
    numbers = np.arange(BYTES, dtype=np.float64) - input_zero_point
    argument = numbers * float(np.float32(input_scale))
    with np.errstate(all="ignore"):
        steps = function(argument) / float(np.float32(output_scale))
    return steps + output_zero_point


def identity(x: Floats) -> Floats:
    """Another scale and zero point for the same number."""
    return x


def relu(x: Floats) -> Floats:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu6(x: Floats) -> Floats:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def relu_n1_to_1(x: Floats) -> Floats:
    """min(max(x, -1), 1)."""
    return np.clip(x, -1, 1)


def relu_0_to_1(x: Floats) -> Floats:
    """min(max(x, 0), 1)."""
    return np.clip(x, 0, 1)


def leaky_relu(slope: float) -> Function:
    """x, and ``slope`` times x below 0; PRELU with one slope is the same."""
    largest = float(np.finfo(np.float32).max)
    factor = float(np.float32(min(max(slope, -largest), largest)))
    return lambda x: np.where(x < 0, x * factor, x)


def elu(x: Floats) -> Floats:
    """x, and exp(x) - 1 below 0."""
    return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def gelu(x: Floats) -> Floats:
    """x times the share of a normal distribution that lies below x."""
    below = np.array([math.erf(value / math.sqrt(2)) for value in x])
    found: Floats = x * 0.5 * (1 + below)
    return found


def gelu_by_tanh(x: Floats) -> Floats:
    """Its usual approximation."""
    factor, cubic = TANH_GELU
    found: Floats = x * 0.5 * (1 + np.tanh(factor * (x + cubic * x**3)))
    return found


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def swish(x: Floats) -> Floats:
    """x times its logistic function."""
    return x * logistic(x)


def hard_swish(x: Floats) -> Floats:
    """x * min(max(x + 3, 0), 6) / 6."""
    return x * np.clip(x + 3, 0, 6) / 6


def tanh(x: Floats) -> Floats:
    """The hyperbolic tangent."""
    return np.tanh(x)


def exp(x: Floats) -> Floats:
    """e to the power of x."""
    return np.exp(x)


def square(x: Floats) -> Floats:
    """x times x."""
    return x * x


def sqrt(x: Floats) -> Floats:
    """The square root."""
    return np.sqrt(x)


def rsqrt(x: Floats) -> Floats:
    """One by the square root."""
    return 1 / np.sqrt(x)


def absolute(x: Floats) -> Floats:
    """x without its sign."""
    return np.abs(x)


def negative(x: Floats) -> Floats:
    """x with the other sign."""
    return -x
