"""The compiler's choices for generation V7 (A311D and relatives)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler import program_size
from lapilli.compiler.encode import requantise, weights_v7
from lapilli.compiler.encode.requantise import AdditionNumbers, AdditionScales, Multiplier, Scales
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import Coefficients, CoefficientSize, NnJob
from lapilli.compiler.schedule import Tiling
from lapilli.compiler.schedule.reference import on_chip_memory as memory
from lapilli.compiler.schedule.reference import tiling_v7 as tiling
from lapilli.compiler.ways.direct import direct
from lapilli.compiler.ways.first_pixel import first_pixel
from lapilli.compiler.ways.space_to_depth import space_to_depth
from lapilli.compiler.ways.sum_of_planes import spans_image, sum_of_planes
from lapilli.compiler.ways.taps_as_planes import taps_as_planes, without_fields
from lapilli.compiler.ways.two_planes import two_planes as addition_way
from lapilli.compiler.ways.way import ConvolutionWay
from lapilli.hw.chips import Chip
from lapilli.hw.nn import NN_V7 as LAYOUT

__all__ = ["LAYOUT", "addition_way", "memory", "tiling"]

RESHUFFLED_DEPTHWISE_ROWS = (3, 4, 5)
"""Depthwise stride 2 on images of so many rows goes through space to depth, as in the recordings;
on all others the unit computes stride 1 and stores every second pixel."""
SHIFT_BASE = 142
"""Shift = 142 - exponent, because the 15 fraction bits of the multiplier count in it."""
CUT_BITS = 8
"""Of the 23 mantissa bits the upper 15 are stored."""


def convolution_way(intent: ConvolutionIntent, chip: Chip) -> ConvolutionWay:
    """Every second pixel for depthwise and pointwise kernels, space to depth for the others; sums
    of whole images, which would have to be given once for each pair of channels, in one kernel.
    What has no field over more planes."""
    if spans_image(intent) and (intent.input_size.channels > 1 or without_fields(intent, chip)):
        return sum_of_planes
    if without_fields(intent, chip):
        return taps_as_planes
    if not intent.strided:
        return direct
    rows = intent.input_size.rows
    small = intent.depthwise and not intent.pointwise and rows in RESHUFFLED_DEPTHWISE_ROWS
    pool = chip.first_pixel_pooling and (intent.pointwise or intent.depthwise) and not small
    return first_pixel if pool else space_to_depth


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


def _codable(scales: Scales) -> Scales:
    """``nearest_scale`` of each that ``fits``, NaN for the others."""
    cut = (1 << CUT_BITS) - 1
    bits = scales.view(np.uint32).astype(np.int64)
    rounded = ((bits + (cut + 1) // 2) & ~cut & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    nearest = np.where(_fit(rounded), rounded, scales)
    return np.where(_fit(scales), nearest, np.float32(np.nan))


def _fit(scales: Scales) -> NDArray[np.bool_]:
    shifts = SHIFT_BASE - requantise.exponents(scales)
    return np.isfinite(scales) & (shifts >= 0) & (shifts <= requantise.SHIFT_MAXIMUM)


def addition_numbers(scales: AdditionScales, as_recorded: bool) -> AdditionNumbers:
    """The closest weights, or the recorded driver's coarse ones where those do; it has none for
    subtractions."""
    numbers = requantise.closest_addition(scales, _codable)
    if as_recorded and not scales.subtract:
        with np.errstate(over="ignore", divide="ignore"):
            ratio = np.float32(scales.second.scale) / np.float32(scales.first.scale)
        step = np.float32(float(np.float32(max(float(ratio), 1.0))) / 255.0)
        recorded = requantise.recorded_addition(scales, step)
        error = requantise.addition_error(recorded, scales, _cut(recorded.scale))
        # Its larger weight is 255, so its scale may have no fields where a smaller weight's has.
        numbers = recorded if error < 1 and fits(recorded.scale) else numbers
    return numbers


def encode(job: NnJob, chip: Chip, tiles: Tiling) -> Coefficients:
    """Zero-run coded streams."""
    return weights_v7.encode(job, chip.nn_cores, tiles.superblocks, chip.zero_run_bits)


def measure(job: NnJob, chip: Chip, tiles: Tiling) -> CoefficientSize:
    """The size of the same streams."""
    return weights_v7.measure(job, chip.nn_cores, tiles.superblocks, chip.zero_run_bits)


def bytes_to_code(job: NnJob, chip: Chip) -> int:
    """Bytes of the streams, or a few more: a byte for each weight, or for each run of zeros."""
    if weights_v7.reads_blocks(job.kernels, chip.nn_cores) or not job.zero_runs:
        return program_size.whole(job)
    return program_size.stored(job) + (program_size.whole(job) >> chip.zero_run_bits)


def bytes_to_measure(job: NnJob, chip: Chip) -> int:
    """Zeros that are not kept are counted, not looked at."""
    return program_size.stored(job)
