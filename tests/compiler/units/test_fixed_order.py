"""Arithmetic whose bits depend on nothing but its arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapilli.compiler.units.fixed_order import (
    by_group,
    logarithm_of_two,
    ordered_sum,
    ordered_total,
    power_of_two,
    whole_product,
)


@given(st.floats(-300, 300))
def test_a_power_of_two_is_right_to_ten_digits(exponent: float) -> None:
    assert math.isclose(power_of_two(np.array([exponent]))[0], 2.0**exponent, rel_tol=1e-10)


@given(st.floats(1e-300, 1e300))
def test_a_logarithm_is_right_to_ten_digits(value: float) -> None:
    found = logarithm_of_two(np.array([value]))[0]
    assert math.isclose(found, math.log2(value), rel_tol=1e-10, abs_tol=1e-10)


def test_whole_powers_are_exact() -> None:
    exponents = np.arange(-20.0, 20.0)
    np.testing.assert_array_equal(power_of_two(exponents), 2.0**exponents)
    np.testing.assert_array_equal(logarithm_of_two(2.0**exponents), exponents)


def test_sums_go_from_the_first_to_the_last() -> None:
    values = np.array([1e16, 1.0, 1.0, -1e16])
    in_order = 0.0
    for value in values:
        in_order += float(value)
    assert ordered_total(values) == in_order
    np.testing.assert_array_equal(ordered_sum(np.stack([values, values]), axis=1), [in_order] * 2)
    assert ordered_sum(np.zeros((0, 3))).tolist() == [0, 0, 0]


def test_groups_are_summed_apart() -> None:
    assert by_group(np.array([0, 2, 0]), np.array([1.0, 5.0, 2.0]), 4).tolist() == [3, 0, 5, 0]


def test_products_that_could_be_inexact_are_our_bug() -> None:
    large = np.full((1, 4), 2.0**26)
    with pytest.raises(AssertionError):
        whole_product(large, large.T)
    assert whole_product(large / 2, large.T / 2)[0, 0] == 2.0**52
