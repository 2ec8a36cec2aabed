"""The compiler's choices for generation V8 (i.MX 8M Plus and relatives)."""

from __future__ import annotations

import numpy as np

from lapilli.compiler import program_size
from lapilli.compiler.encode import requantise, weights_v8
from lapilli.compiler.encode.requantise import AdditionNumbers, AdditionScales, Multiplier, Scales
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import Coefficients, CoefficientSize, NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, reference
from lapilli.compiler.schedule.reference import tiling_v8 as tiling
from lapilli.compiler.ways.direct import direct
from lapilli.compiler.ways.first_pixel import first_pixel
from lapilli.compiler.ways.space_to_depth import space_to_depth
from lapilli.compiler.ways.sum_of_planes import spans_image, sum_of_planes
from lapilli.compiler.ways.taps_as_planes import taps_as_planes, without_fields
from lapilli.compiler.ways.way import ConvolutionWay
from lapilli.compiler.ways.weight_matrix import weight_matrix as addition_way
from lapilli.hw.chips import Chip
from lapilli.hw.nn import NN_V8 as LAYOUT

__all__ = ["LAYOUT", "addition_way", "tiling"]

SHIFT_BASE = 127
POOLED_POINTWISE_ROWS = 3
"""Pointwise stride 2 without padding is pooled from so many rows on, as in the recordings."""


def convolution_way(intent: ConvolutionIntent, chip: Chip) -> ConvolutionWay:
    """Every second pixel for depthwise and nearly all pointwise kernels, else space to depth; what
    has no field over more planes, or in one kernel where it sums up whole images."""
    if without_fields(intent, chip):
        return sum_of_planes if spans_image(intent) else taps_as_planes
    if not intent.strided:
        return direct
    size = intent.input_size
    large = size.rows >= POOLED_POINTWISE_ROWS and size.channels > 1
    pool = intent.depthwise or (intent.pointwise and (large or intent.padding_same))
    return first_pixel if pool else space_to_depth


def fits(scale: np.float32) -> bool:
    """Whether multiplier and shift can express the scale."""
    exponent, _ = requantise.float_parts(scale)
    shift = SHIFT_BASE - exponent
    return bool(np.isfinite(scale)) and 0 <= shift <= requantise.SHIFT_MAXIMUM and exponent > 0


def multiplier(scale: np.float32) -> Multiplier:
    """``accumulator * (1 + fraction / 2**23) / 2**shift``."""
    exponent, mantissa = requantise.float_parts(scale)
    return Multiplier(mantissa, SHIFT_BASE - exponent)


def nearest_scale(scale: np.float32) -> np.float32:
    """The scale itself: the whole mantissa is stored."""
    return scale


def _codable(scales: Scales) -> Scales:
    """Each that ``fits``, NaN for the others."""
    found = requantise.exponents(scales)
    shifts = SHIFT_BASE - found
    usable = np.isfinite(scales) & (shifts >= 0) & (shifts <= requantise.SHIFT_MAXIMUM)
    return np.where(usable & (found > 0), scales, np.float32(np.nan))


def addition_numbers(scales: AdditionScales, as_recorded: bool) -> AdditionNumbers:
    """The closest weights, or the recorded driver's coarse ones where those do; it has none for
    subtractions."""
    numbers = requantise.closest_addition(scales, _codable)
    if as_recorded and not scales.subtract:
        with np.errstate(over="ignore", divide="ignore"):
            ratio = np.float32(scales.second.scale) / np.float32(scales.first.scale)
        step = np.float32(np.float32(max(float(ratio), 1.0)) / np.float32(255))
        recorded = requantise.recorded_addition(scales, step)
        error = requantise.addition_error(recorded, scales, recorded.scale)
        # Its larger weight is 255, so its scale may have no fields where a smaller weight's has.
        numbers = recorded if error < 1 and fits(recorded.scale) else numbers
    return numbers


def memory(job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int) -> OnChipMemory:
    """V7's ranges, switched off."""
    return reference.no_caching(reference.on_chip_memory(job, chip, tiles, kernel_bytes))


def encode(job: NnJob, chip: Chip, tiles: Tiling) -> Coefficients:
    """Huffman coded streams."""
    return weights_v8.encode(job, chip.nn_cores, tiles.superblocks)


def measure(job: NnJob, chip: Chip, tiles: Tiling) -> CoefficientSize:
    """The size of the same streams."""
    return weights_v8.measure(job, chip.nn_cores, tiles.superblocks)


def bytes_to_code(job: NnJob, chip: Chip) -> int:
    """Weights that are coded one by one."""
    return program_size.whole(job)


bytes_to_measure = bytes_to_code
