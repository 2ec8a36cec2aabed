"""Sums, powers and logarithms whose bits depend on nothing but their arguments.

NumPy's ``sum``, ``dot``, ``exp`` and ``log`` may differ in the last bit between versions,
processors and numbers of threads; a search that starts from such a bit may end elsewhere. Here
are only IEEE 754's exactly rounded operations, element by element, in a fixed order, and matrix
products of whole numbers that are exact in any order.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

_EXACT: Final = float(1 << 53)
# exp(x ln 2) as a Taylor series: (ln 2)^n / n!, of |x| <= 1/2.
_POWER_TERMS: Final = (
    7.054911620801123e-09,
    1.0178086009239699e-07,
    1.3215486790144305e-06,
    1.5252733804059838e-05,
    0.0001540353039338161,
    0.0013333558146428443,
    0.009618129107628477,
    0.055504108664821576,
    0.2402265069591007,
    0.6931471805599453,
    1.0,
)
_TWO_OVER_LN2: Final = 2.8853900817779268
_LOGARITHM_TERMS: Final = 12


def ordered_sum(values: Floats, axis: int = 0) -> Floats:
    """The sum along an axis, one after another."""
    if values.shape[axis] == 0:
        return np.zeros(np.delete(values.shape, axis))
    # ``accumulate`` has no other order to choose.
    running: Floats = np.add.accumulate(values, axis=axis)
    last: Floats = np.take(running, -1, axis=axis)
    return last


def ordered_total(values: Floats) -> float:
    """The sum of all elements, one after another."""
    return float(ordered_sum(values.reshape(-1))) if values.size else 0.0


def power_of_two(exponents: Floats) -> Floats:
    """2 ** exponents, within 1e-11 of the true value relatively."""
    whole = np.rint(exponents)
    rest = exponents - whole
    result = np.full_like(rest, _POWER_TERMS[0])
    for term in _POWER_TERMS[1:]:
        result *= rest
        result += term
    scaled: Floats = np.ldexp(result, whole.astype(np.int32))
    return scaled


def logarithm_of_two(values: Floats) -> Floats:
    """log2 of positive values, within 1e-11."""
    mantissa, exponent = np.frexp(values)
    # Between sqrt(1/2) and sqrt(2), where the series of atanh runs fast.
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power: Floats = np.subtract(exponent, small, dtype=np.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    series = np.zeros_like(ratio)
    for term in range(_LOGARITHM_TERMS - 1, -1, -1):
        series = series * square + 1.0 / (2 * term + 1)
    result: Floats = power + _TWO_OVER_LN2 * ratio * series
    return result


def by_group(groups: Integers, values: Floats, count: int) -> Floats:
    """The sum of the values of each group, in their order; ``groups``: 0 to ``count`` - 1."""
    sums = np.bincount(groups.reshape(-1), values.reshape(-1), minlength=count)
    return sums.astype(np.float64)


def whole_product(left: Floats, right: Floats) -> Floats:
    """The matrix product of whole numbers, exact whatever order BLAS adds in.

    ``left`` is [..., n], ``right`` [n, m]; no sum of magnitudes may exceed 2**53.
    """
    bound = float(np.abs(left).max(initial=0.0)) * float(np.abs(right).max(initial=0.0))
    assert bound * left.shape[-1] <= _EXACT, "a product of whole numbers that is not exact"
    product: Floats = left @ right
    return product


def on_grid(values: Floats, step: float) -> Floats:
    """Rounded to multiples of ``step``, a power of two."""
    rounded: Floats = np.rint(values / step) * step
    return rounded
