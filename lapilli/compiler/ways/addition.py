"""What the ways of an addition or subtraction have in common: an NN job over a view of both
operands."""

from __future__ import annotations

import numpy as np

from lapilli.compiler.encode.requantise import AdditionNumbers
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, NnJob
from lapilli.model.geometry import addition_image


def flat_image(size: ImageSize) -> tuple[int, int]:
    """Width and height that as many elements are seen as."""
    image = addition_image(size.rows, size.columns, size.channels)
    assert image is not None, "the rules check the size"
    return image


def matrix(numbers: AdditionNumbers, planes: int, taps: int) -> Kernels:
    """``planes`` kernels of taps x taps over twice as many planes: kernel k takes plane k of each
    operand with its first tap."""
    zero_point = numbers.zero_point
    values = np.full((planes, 2 * planes, taps, taps), zero_point, np.uint8)
    each = np.arange(planes)
    values[each, each, 0, 0] = zero_point + numbers.first
    values[each, planes + each, 0, 0] = zero_point + numbers.second
    bias = np.full(planes, numbers.bias, np.int64)
    return Kernels(values, np.zeros(planes, np.int64), 2 * planes, zero_point, bias)


def addition_job(
    intent: AdditionIntent,
    numbers: AdditionNumbers,
    kernels: Kernels,
    plane: tuple[int, int],
    tile_limits: tuple[int, int],
) -> NnJob:
    """The NN job over planes of ``plane`` (columns, rows)."""
    columns, rows = plane
    return NnJob(
        operator=intent.operator,
        kind="subtraction" if intent.scales.subtract else "addition",
        source=intent.source,
        target=intent.target,
        input_size=ImageSize(columns, rows, kernels.input_channels),
        output_size=ImageSize(columns, rows, kernels.output_channels),
        kernels=kernels,
        native_depthwise=False,
        row_offset=0,
        column_offset=0,
        tile_limits=tile_limits,
        strided=False,
        first_pixel=False,
        scale=numbers.scale,
        input_zero_point=intent.scales.first.zero_point,
        output_zero_point=intent.scales.output.zero_point,
        relu=intent.relu,
        filler=kernels.zero_point,
        zero_runs=False,
    )
