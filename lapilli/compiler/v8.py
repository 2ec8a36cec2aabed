"""The compiler's choices for generation V8 (i.MX 8M Plus and relatives)."""

from __future__ import annotations

import numpy as np

from lapilli.compiler.encode import requantise, weights_v8
from lapilli.compiler.encode.requantise import AdditionScales, Multiplier
from lapilli.compiler.jobs import AdditionPlan, Coefficients, ImageSize, Kernels, NnJob, Strategy
from lapilli.compiler.schedule import OnChipMemory, Tiling, reference
from lapilli.compiler.schedule.reference import tiling_v8 as tiling
from lapilli.hw.chips import Chip
from lapilli.hw.nn import NN_V8 as LAYOUT
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Convolution, Padding

__all__ = ["LAYOUT", "addition", "encode", "fits", "memory", "multiplier", "strategy", "tiling"]

SHIFT_BASE = 127
ADDITION_PLANES = 8
"""Most planes that an addition's operands are seen as: enough to give every core a kernel."""
RECORDED_ADDITION_CHANNELS = 1024
"""Beyond these the recorded driver's matrix of weights outgrows all reason."""
POOLED_POINTWISE_ROWS = 3
"""Pointwise stride 2 without padding is pooled from so many rows on, as in the recordings."""


def strategy(
    options: Convolution,
    depthwise: bool,
    weights_shape: tuple[int, ...],
    size: ImageSize,
    chip: Chip,
) -> Strategy:
    """Every second pixel for depthwise and nearly all pointwise kernels, else space to depth."""
    if options.stride_rows == 1:
        return Strategy(pool=False, reshuffle=False)
    pointwise = weights_shape[1] == weights_shape[2] == 1
    large = size.rows >= POOLED_POINTWISE_ROWS and size.channels > 1
    pool = depthwise or (pointwise and (large or options.padding is Padding.SAME))
    return Strategy(pool, not pool)


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


def _codable(scale: np.float32) -> np.float32 | None:
    return scale if fits(scale) else None


def addition(size: ImageSize, scales: AdditionScales, as_recorded: bool) -> AdditionPlan:
    """A 1x1 convolution over both operands' channels: kernel k takes channel k of each."""
    numbers = requantise.closest_addition(scales, _codable)
    if as_recorded:
        ratio = np.float32(scales.second.scale) / np.float32(scales.first.scale)
        step = np.float32(np.float32(max(float(ratio), 1.0)) / np.float32(255))
        recorded = requantise.recorded_addition(scales, step)
        # The recorded driver's coarse weights are kept where they do.
        error = requantise.addition_error(recorded, scales, recorded.scale)
        numbers = recorded if error < 1 else numbers
    planes, rows, columns = _addition_view(size, as_recorded)
    values = np.zeros((planes, 2 * planes, 1, 1), np.uint8)
    each = np.arange(planes)
    values[each, each] = numbers.first
    values[each, planes + each] = numbers.second
    bias = np.full(planes, numbers.bias, np.int64)
    kernels = Kernels(values, np.zeros(planes, np.int64), 2 * planes, 0, bias)
    image = addition_image(size.rows, size.columns, size.channels)
    assert image is not None, "support checks the size"
    return AdditionPlan(
        ImageSize(columns, rows, 2 * planes),
        ImageSize(columns, rows, planes),
        kernels,
        numbers,
        image if as_recorded else (columns, rows),
    )


def _addition_view(size: ImageSize, as_recorded: bool) -> tuple[int, int, int]:
    """Planes, rows and columns that the operands are seen as. The recorded driver takes the
    tensor's own; as a kernel spans all planes of both operands, few planes are far less work."""
    if as_recorded and size.channels <= RECORDED_ADDITION_CHANNELS:
        return size.channels, min(size.columns, size.rows), max(size.columns, size.rows)
    total = size.plane * size.channels
    for planes in range(ADDITION_PLANES, 0, -1):
        image = addition_image(1, total // planes, 1) if total % planes == 0 else None
        if image is not None:
            return planes, min(image), max(image)
    raise AssertionError("support checks the size")


def memory(job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int) -> OnChipMemory:
    """V7's ranges, switched off."""
    return reference.no_caching(reference.on_chip_memory(job, chip, tiles, kernel_bytes))


def encode(job: NnJob, chip: Chip, tiles: Tiling) -> Coefficients:
    """Huffman coded streams."""
    return weights_v8.encode(job, chip.nn_cores, tiles.superblocks)
