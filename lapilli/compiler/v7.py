"""The compiler's choices for generation V7 (A311D and relatives)."""

from __future__ import annotations

import numpy as np

from lapilli.compiler.encode import requantise, weights_v7
from lapilli.compiler.encode.requantise import AdditionScales, Multiplier
from lapilli.compiler.jobs import AdditionPlan, Coefficients, ImageSize, Kernels, NnJob, Strategy
from lapilli.compiler.schedule import Tiling
from lapilli.compiler.schedule.reference import on_chip_memory as memory
from lapilli.compiler.schedule.reference import tiling_v7 as tiling
from lapilli.hw.chips import Chip
from lapilli.hw.nn import NN_V7 as LAYOUT
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Convolution

__all__ = ["LAYOUT", "addition", "encode", "fits", "memory", "multiplier", "strategy", "tiling"]

RESHUFFLED_DEPTHWISE_ROWS = (3, 4, 5)
"""Depthwise stride 2 on images of so many rows goes through space to depth, as in the recordings;
on all others the unit computes stride 1 and stores every second pixel."""
SHIFT_BASE = 142
"""Shift = 142 - exponent, because the 15 fraction bits of the multiplier count in it."""
CUT_BITS = 8
"""Of the 23 mantissa bits the upper 15 are stored."""


def strategy(
    options: Convolution,
    depthwise: bool,
    weights_shape: tuple[int, ...],
    size: ImageSize,
    chip: Chip,
) -> Strategy:
    """Every second pixel for depthwise and pointwise kernels, space to depth for the others."""
    if options.stride_rows == 1:
        return Strategy(pool=False, reshuffle=False)
    pointwise = weights_shape[1] == weights_shape[2] == 1
    small = depthwise and not pointwise and size.rows in RESHUFFLED_DEPTHWISE_ROWS
    pool = chip.first_pixel_pooling and (pointwise or depthwise) and not small
    return Strategy(pool, not pool)


def fits(scale: np.float32) -> bool:
    """Whether multiplier and shift can express the scale."""
    exponent, _ = requantise.float_parts(scale)
    shift = SHIFT_BASE - exponent
    return bool(np.isfinite(scale)) and 0 <= shift <= requantise.SHIFT_MAXIMUM


def multiplier(scale: np.float32) -> Multiplier:
    """``accumulator * (2**15 + fraction) / 2**shift``; the mantissa is cut to 15 bits."""
    exponent, mantissa = requantise.float_parts(scale)
    return Multiplier(mantissa >> CUT_BITS, SHIFT_BASE - exponent)


def nearest_scale(scale: np.float32) -> np.float32:
    """The closest scale whose mantissa loses nothing when it is cut."""
    bits = int(np.float32(scale).view(np.uint32))
    cut = (1 << CUT_BITS) - 1
    rounded = np.uint32((bits + (cut + 1) // 2) & ~cut & 0xFFFFFFFF).view(np.float32)
    return np.float32(rounded) if fits(rounded) else scale


def _cut(scale: np.float32) -> np.float32:
    """The scale that the instruction holds."""
    mask = np.uint32(0xFFFFFFFF << CUT_BITS & 0xFFFFFFFF)
    return np.float32((np.float32(scale).view(np.uint32) & mask).view(np.float32))


def _codable(scale: np.float32) -> np.float32 | None:
    return nearest_scale(scale) if fits(scale) else None


def addition(size: ImageSize, scales: AdditionScales, as_recorded: bool) -> AdditionPlan:
    """One 2x2 kernel over two planes, of whose taps only the first ones are not 0; operands and
    result are seen as flat images."""
    numbers = requantise.closest_addition(scales, _codable)
    if as_recorded:
        ratio = np.float32(scales.second.scale) / np.float32(scales.first.scale)
        step = np.float32(float(np.float32(max(float(ratio), 1.0))) / 255.0)
        recorded = requantise.recorded_addition(scales, step)
        # The recorded driver's coarse weights are kept where they do.
        error = requantise.addition_error(recorded, scales, _cut(recorded.scale))
        numbers = recorded if error < 1 else numbers
    image = addition_image(size.rows, size.columns, size.channels)
    assert image is not None, "support checks the size"
    long_side, short_side = max(image), min(image)
    values = np.zeros((1, 2, 2, 2), np.uint8)
    values[0, :, 0, 0] = numbers.first, numbers.second
    kernels = Kernels(values, np.zeros(1, np.int64), 2, 0, np.array([numbers.bias], np.int64))
    return AdditionPlan(
        ImageSize(long_side, short_side, 2),
        ImageSize(long_side, short_side, 1),
        kernels,
        numbers,
        image,
    )


def encode(job: NnJob, chip: Chip, tiles: Tiling) -> Coefficients:
    """Zero-run coded streams."""
    return weights_v7.encode(job, chip.nn_cores, tiles.superblocks, chip.zero_run_bits)
