"""21-bit floats against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lapilli.compiler.encode import float21

ALL = np.arange(31 << 15)
"""The bits of every positive float."""


def exact(bits: int) -> Fraction:
    exponent, mantissa = bits >> 15, bits & 0x7FFF
    return (Fraction(mantissa, 1 << 15) + (exponent > 0)) * Fraction(2) ** (max(exponent, 1) - 15)


def test_every_float_stands_for_itself() -> None:
    assert np.array_equal(float21.nearest(float21.number(ALL)), ALL)
    assert np.array_equal(float21.nearest(-float21.number(ALL)), ALL | 1 << 20)
    for bits in (0, 1, 0x7FFF, 0x8000, 0xF0F0, 15 << 15, (31 << 15) - 1):
        assert Fraction(float(float21.number(np.array(bits)))) == exact(bits)
        assert int(float21.steps(np.array(bits))) == exact(bits) * 2**29


@given(st.floats(0, 65535, allow_nan=False))
def test_the_nearest_one_is_taken(value: float) -> None:
    bits = int(float21.nearest(np.array(value)))
    error = abs(exact(bits) - Fraction(value))
    for other in (bits - 1, bits + 1):
        if 0 <= other < len(ALL):
            assert error <= abs(exact(other) - Fraction(value))


def test_what_is_too_large_or_no_number() -> None:
    values = np.array([1e9, math.inf, -math.inf, math.nan])
    largest = (31 << 15) - 1
    assert float21.nearest(values).tolist() == [largest, largest, largest | 1 << 20, 0]


def test_the_recorded_rounding_loses_a_carry_in_odd_exponents() -> None:
    below = np.float32(1) - np.float32(2**-20)  # exponent 14
    assert float21.recorded(np.array([below, below / 2, 0.75, 0], np.float32)).tolist() == [
        15 << 15,
        13 << 15,
        (14 << 15) + 0x4000,
        0,
    ]
