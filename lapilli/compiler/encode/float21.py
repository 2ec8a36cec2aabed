"""The 21-bit floats of look-up tables (``hw/tables.py``), to and from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapilli.hw.tables import (
    EXPONENT_BIAS,
    EXPONENT_BITS,
    FLOAT_BITS,
    LARGEST_EXPONENT,
    MANTISSA_BITS,
    STEP_BITS,
)

Floats = NDArray[np.float64]
Bits = NDArray[np.int64]
ONE = 1 << MANTISSA_BITS
LARGEST = (2 - 1 / ONE) * 2.0 ** (LARGEST_EXPONENT - EXPONENT_BIAS)
"""What can be expressed; larger numbers become it."""
F32_MANTISSA_BITS = 23
F32_BIAS = 127


def nearest(values: Floats) -> Bits:
    """The nearest float of each number, ties to the even one; not a number becomes 0."""
    magnitude = np.minimum(np.abs(np.nan_to_num(values, nan=0.0, posinf=np.inf)), LARGEST)
    _, exponent = np.frexp(magnitude)
    # Down from exponent 1 the steps stay equal: these floats have no hidden one.
    exponent = np.maximum(exponent - 1 + EXPONENT_BIAS, 1)
    steps = np.rint(np.ldexp(magnitude, MANTISSA_BITS + EXPONENT_BIAS - exponent)).astype(np.int64)
    # Rounding up may reach the next exponent, which adding the mantissa to it expresses by itself.
    bits = np.where(steps < ONE, steps, (exponent.astype(np.int64) << MANTISSA_BITS) + steps - ONE)
    sign = np.signbit(np.nan_to_num(values)).astype(np.int64)
    signed: Bits = bits | sign << (FLOAT_BITS - 1)
    return signed


def number(bits: Bits) -> Floats:
    """What floats stand for."""
    return np.ldexp(steps(bits).astype(np.float64), -STEP_BITS)


def steps(bits: Bits) -> Bits:
    """Likewise, in the smallest steps there are."""
    exponent = bits >> MANTISSA_BITS & ((1 << EXPONENT_BITS) - 1)
    mantissa = bits & (ONE - 1)
    shifted = (mantissa | ONE) << np.maximum(exponent - 1, 0)
    magnitude = np.where(exponent > 0, shifted, mantissa)
    return np.where(bits >> (FLOAT_BITS - 1) & 1, -magnitude, magnitude)


def recorded(values: NDArray[np.float32]) -> Bits:
    """As the recorded driver rounds numbers from 0 to 1: where the mantissa rounds up to the next
    power of two, the carry is lost in every second exponent."""
    bits = values.view(np.uint32).astype(np.int64)
    exponent = (bits >> F32_MANTISSA_BITS) - F32_BIAS
    dropped = F32_MANTISSA_BITS - MANTISSA_BITS
    mantissa = np.rint(np.ldexp((bits & ((1 << F32_MANTISSA_BITS) - 1)).astype(float), -dropped))
    normal = (exponent + EXPONENT_BIAS) << MANTISSA_BITS | mantissa.astype(np.int64)
    small = np.rint(np.ldexp(values.astype(np.float64), 24)).astype(np.int64)
    found = np.where(exponent < 1 - EXPONENT_BIAS, small, normal)
    return np.where(exponent == -F32_BIAS, 0, found)
