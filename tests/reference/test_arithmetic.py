"""TFLite's fixed-point arithmetic, against the same in Python's unbounded whole numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation, Quantization, Tensor
from lapilli.reference.arithmetic import (
    Multipliers,
    activation_range,
    quantize_multiplier,
    round_half_away,
)

FACTORS = st.floats(2.0**-20, 2.0**4)
SUMS = st.integers(-(1 << 25), 1 << 25)


def in_two_roundings(value: int, mantissa: int, shift: int) -> int:
    """``MultiplyByQuantizedMultiplier``, as its C says it."""
    value <<= max(shift, 0)
    product = value * mantissa
    nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
    high = abs(product + nudge) >> 31
    high = high if product + nudge >= 0 else -high
    right = max(-shift, 0)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> right) + (1 if (high & mask) > threshold else 0)


@given(SUMS, FACTORS)
def test_a_sum_is_rescaled_in_two_roundings(value: int, factor: float) -> None:
    found = Multipliers.of([factor]).apply(np.array([value], np.int64))
    assert found[0] == in_two_roundings(value, *quantize_multiplier(factor))


@given(SUMS, FACTORS)
def test_a_sum_is_rescaled_in_one_rounding(value: int, factor: float) -> None:
    mantissa, shift = quantize_multiplier(factor)
    found = Multipliers.of([factor]).apply_once(np.array([value], np.int64))
    assert found[0] == (value * mantissa + (1 << (30 - shift))) >> (31 - shift)


@given(FACTORS)
def test_a_multiplier_has_31_bits_of_the_factor(factor: float) -> None:
    mantissa, shift = quantize_multiplier(factor)
    assert 1 << 30 <= mantissa < 1 << 31
    assert math.isclose(mantissa * 2.0 ** (shift - 31), factor, rel_tol=2.0**-31)


def test_a_factor_that_rounds_up_to_a_power_of_two_gets_the_next_shift() -> None:
    assert quantize_multiplier(1.0 - 2.0**-40) == (1 << 30, 1)
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(2.0**-40) == (0, 0)


def test_halves_go_away_from_zero_and_what_is_just_below_does_not() -> None:
    below = math.nextafter(0.5, 0.0)
    found = round_half_away(np.array([0.5, -0.5, 1.5, -2.5, below, -below, 3.0]))
    assert found.tolist() == [1, -1, 2, -3, 0, 0, 3]


@pytest.mark.parametrize(
    ("activation", "range_"),
    [
        (Activation.NONE, (-128, 127)),
        (Activation.RELU, (-100, 127)),
        (Activation.RELU6, (-100, 20)),
        (Activation.RELU_N1_TO_1, (-120, -80)),
    ],
)
def test_activations_clamp_in_the_output_s_steps(
    activation: Activation, range_: tuple[int, int]
) -> None:
    tensor = Tensor(0, "out", (1,), "int8", Quantization((0.05,), (-100,)))
    assert activation_range(activation, tensor) == range_


def test_an_activation_nobody_knows_is_refused() -> None:
    tensor = Tensor(0, "out", (1,), "int8", Quantization((0.05,), (-100,)))
    with pytest.raises(Unsupported, match="fused activation"):
        activation_range(Activation.OTHER, tensor)
