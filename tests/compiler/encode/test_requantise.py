"""Scales in the instruction's fields, and the numbers of additions, against all that could be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lapilli.compiler import v7, v8
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import AdditionNumbers, AdditionScales
from lapilli.model.graph import Quantization

GENERATIONS = {"V7": v7, "V8": v8}


def scales(first: float, second: float, output: float, *zeros: int) -> AdditionScales:
    points = zeros or (0, 0, 0)
    made = [
        Quantization((np.float32(s).item(),), (z,), 0)
        for s, z in zip((first, second, output), points, strict=True)
    ]
    return AdditionScales(*made)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.5, 1), (-0.5, -1), (1.5, 2), (-1.5, -2), (2.5, 3), (-2.5, -3), (2.49, 2), (0.0, 0)],
)
def test_halves_are_rounded_away_from_zero(value: float, rounded: int) -> None:
    assert requantise.round_half_away(value) == rounded


def value_of(module: object, scale: np.float32) -> float:
    """What the instruction makes of a scale."""
    multiplier = module.multiplier(scale)  # type: ignore[attr-defined]
    if module is v7:
        return float((2**15 + multiplier.fraction) / 2.0**multiplier.shift)
    return float((1 + multiplier.fraction / 2**23) / 2.0**multiplier.shift)


def test_v7_stores_the_mantissa_s_upper_bits_and_cuts_the_rest() -> None:
    for mantissa in (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x123456, 0x7FFFFF):
        scale = np.uint32(120 << 23 | mantissa).view(np.float32)
        multiplier = v7.multiplier(scale)
        assert (multiplier.fraction, multiplier.shift) == (mantissa >> 8, 142 - 120)
        assert value_of(v7, scale) == float(np.uint32(120 << 23 | mantissa & ~0xFF).view("<f4"))


def test_the_nearest_scale_is_the_nearest_of_all_that_the_fields_hold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        bits = int(rng.integers(40, 140)) << 23 | int(rng.integers(0, 1 << 23))
        wanted = np.uint32(bits).view(np.float32)
        found = v7.nearest_scale(wanted)
        assert value_of(v7, found) == float(found), "cutting loses nothing any more"
        both = [float(np.uint32((bits & ~0xFF) + step).view("<f4")) for step in (0, 0x100)]
        assert abs(float(found) - float(wanted)) == min(abs(x - float(wanted)) for x in both)
        assert v7._codable(np.array([wanted]))[0] == found
        assert v8.nearest_scale(wanted) == wanted == value_of(v8, wanted)


def largest_error(numbers: AdditionNumbers, wanted: AdditionScales, used: float) -> float:
    """Over all pairs of bytes."""
    q, a = np.arange(256, dtype=np.float64), np.arange(256, dtype=np.float64)[:, None]
    first, second, output = wanted.first, wanted.second, wanted.output
    real = (first.scale * (a - first.zero_point) + second.scale * (q - second.zero_point)) / (
        output.scale
    )
    made = numbers.first * (a - first.zero_point) + numbers.second * (q - first.zero_point)
    return float(np.abs((made + numbers.bias) * used - real).max())


def test_an_addition_s_error_is_the_largest_over_all_bytes() -> None:
    """Whichever corner it lies in: factors that are too large or too small, and their bias."""
    rng = np.random.default_rng(1)
    corners = set()
    for _ in range(300):
        zeros = tuple(int(z) for z in rng.integers(0, 256, 3))
        wanted = scales(*np.exp(rng.uniform(-4, 0, 3)).tolist(), *zeros)
        numbers = AdditionNumbers(
            int(rng.integers(1, 256)), int(rng.integers(1, 256)), int(rng.integers(-9999, 9999)),
            np.float32(rng.uniform(1e-3, 1e-1)),
        )  # fmt: skip
        error = requantise.addition_error(numbers, wanted, numbers.scale)
        assert error == pytest.approx(largest_error(numbers, wanted, float(numbers.scale)))
        used = float(numbers.scale)
        too_large = [
            numbers.first * used > wanted.first.scale / wanted.output.scale,
            numbers.second * used > wanted.second.scale / wanted.output.scale,
        ]
        corners.add(tuple(too_large))
    assert len(corners) == 4
    assert requantise.addition_error(numbers, wanted, np.float32(np.nan)) == math.inf


@pytest.mark.parametrize("name", GENERATIONS)
def test_weights_go_up_to_255(name: str) -> None:
    """Factors that are 255 to 1, 255 to 254 and the other way round have exact weights."""
    for first, second in ((255, 1), (1, 255), (255, 254), (254, 255), (255, 2), (255, 128)):
        wanted = scales(first / 256, second / 256, 1.0)
        numbers = GENERATIONS[name].addition_numbers(wanted, as_recorded=False)
        assert (numbers.first, numbers.second) == (first, second)
        assert requantise.addition_error(numbers, wanted, numbers.scale) == 0


@pytest.mark.parametrize("name", GENERATIONS)
def test_the_recorded_weights_have_255_for_the_larger_factor(name: str) -> None:
    for first, second, weights in ((1.0, 0.6, (255, 153)), (0.6, 1.0, (153, 255))):
        numbers = GENERATIONS[name].addition_numbers(scales(first, second, 2.0), True)
        assert (numbers.first, numbers.second) == weights
