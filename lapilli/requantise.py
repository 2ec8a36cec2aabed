"""Scales to the unit's fixed-point fields, and the integer form of an addition.

Every step is rounded to float32 where the hardware notes say so: the recorded instructions depend
on it to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lapilli.graph import Quantization

SHIFT_BASE = 142
"""V7: shift = 142 - exponent, because the 15 fraction bits of the multiplier count in it."""
FRACTION_BITS = 15
SHIFT_MAXIMUM = 127


@dataclass(frozen=True)
class Multiplier:
    """``accumulator * (2**15 + fraction) / 2**shift``."""

    fraction: int
    shift: int


def convolution_scale(input_scale: float, weight_scale: float, output_scale: float) -> np.float32:
    """Accumulator steps to output steps."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.float32(np.float32(input_scale) * np.float32(weight_scale))
        return np.float32(product / np.float32(output_scale))


def _exponent(scale: np.float32) -> tuple[int, int]:
    bits = int(np.float32(scale).view(np.uint32))
    return bits >> 23, bits


def fits(scale: np.float32) -> bool:
    """Whether V7's multiplier and shift can express the scale."""
    exponent, _ = _exponent(scale)
    return bool(np.isfinite(scale)) and 0 <= SHIFT_BASE - exponent <= SHIFT_MAXIMUM


def multiplier(scale: np.float32) -> Multiplier:
    """V7's fields for a scale that ``fits``; the mantissa is cut to 15 bits."""
    exponent, bits = _exponent(scale)
    return Multiplier((bits >> 8) & 0x7FFF, SHIFT_BASE - exponent)


@dataclass(frozen=True)
class AdditionNumbers:
    """An addition as ``first * a + second * b + bias`` on the bytes ``a`` and ``b``."""

    first: int
    second: int
    bias: int
    scale: np.float32


def _round_half_away(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def addition(first: Quantization, second: Quantization, output: Quantization) -> AdditionNumbers:
    """The one-byte weights, the bias in accumulator steps (with the first operand's zero point
    folded in) and the scale of an addition."""
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        scale_first, scale_second = np.float32(first.scale), np.float32(second.scale)
        ratio = np.float32(scale_second / scale_first)
        step = np.float32(float(np.float32(max(float(ratio), 1.0))) / 255.0)
        scale = convolution_scale(float(scale_first), float(step), output.scale)
        if not (np.isfinite(ratio) and np.isfinite(step) and np.float32(step * scale_first) > 0):
            return AdditionNumbers(0, 0, 0, np.float32(np.inf))
        weight_first = _round_half_away(1.0 / float(step)) & 0xFF
        weight_second = _round_half_away(float(ratio) / float(step)) & 0xFF
        difference = float(
            np.float32(np.float32(first.zero_point - second.zero_point) * scale_second)
        )
        offset = _round_half_away(difference / float(np.float32(step * scale_first)))
        bias = offset - _round_half_away(float(ratio) / float(step)) * first.zero_point
    return AdditionNumbers(weight_first, weight_second, bias, scale)
