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


def nearest_scale(scale: np.float32) -> np.float32:
    """The closest scale whose mantissa loses nothing when it is cut to 15 bits."""
    bits = int(np.float32(scale).view(np.uint32))
    rounded = np.uint32((bits + 0x80) & 0xFFFFFF00).view(np.float32)
    return np.float32(rounded) if fits(rounded) else scale


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


def closest_addition(
    first: Quantization, second: Quantization, output: Quantization
) -> AdditionNumbers:
    """An addition with the one-byte weights and scale that come closest to the real factors.

    The recorded driver sets the larger weight to 255, which rounds the other to a 510th; here both
    are chosen so that their ratio, and the scale after its mantissa is cut, fit best.
    """
    recorded = addition(first, second, output)
    if not fits(recorded.scale):
        return recorded
    factors = np.array([first.scale, second.scale]) / output.scale
    larger = int(np.argmax(factors))
    weights = np.zeros((255, 2))
    weights[:, larger] = np.arange(1, 256)
    weights[:, 1 - larger] = np.round(weights[:, larger] * factors[1 - larger] / factors[larger])
    exact = (factors[larger] / weights[:, larger]).astype(np.float32)
    scales = np.array([nearest_scale(scale) for scale in exact])
    errors = np.abs(weights * scales[:, None].astype(np.float64) - factors).max(axis=1)
    errors[[not fits(scale) for scale in scales]] = np.inf
    best = int(np.argmin(errors))
    weight_first, weight_second = (int(w) for w in weights[best])
    bias = -weight_second * second.zero_point
    return AdditionNumbers(weight_first, weight_second, bias, scales[best])
