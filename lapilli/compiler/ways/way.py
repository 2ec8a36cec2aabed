"""What every way gets and gives, and what convolutions have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from lapilli.compiler.encode.requantise import AdditionNumbers
from lapilli.compiler.intents import AdditionIntent, ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, JobList, Kernels, NnJob, Storage
from lapilli.compiler.options import LoweringOptions
from lapilli.hw.chips import Chip


@dataclass(frozen=True)
class Terms:
    """On what terms a way is gone: chip, options and what the generation can do.

    ``nearest_scale``: the closest scale that the generation's multiplier holds. ``next_storage``:
    the number of the first storage that the way may add.
    """

    chip: Chip
    options: LoweringOptions
    native_depthwise: bool
    nearest_scale: Callable[[np.float32], np.float32]
    next_storage: int


@dataclass(frozen=True)
class Done:
    """The jobs of an intent, and the storages they need besides the intent's own."""

    jobs: JobList
    storages: tuple[Storage, ...] = ()


ConvolutionWay: TypeAlias = Callable[[ConvolutionIntent, Terms], Done]
AdditionWay: TypeAlias = Callable[[AdditionIntent, AdditionNumbers, Terms], Done]


def native(intent: ConvolutionIntent, terms: Terms) -> bool:
    """The unit's own depthwise kernels take one output for each input channel."""
    return intent.one_to_one and terms.native_depthwise


def unspread_kernels(intent: ConvolutionIntent, terms: Terms) -> Kernels:
    """The kernels for a convolution over the image as it is."""
    kernels = intent.kernels
    if native(intent, terms):
        first = np.zeros_like(kernels.first_channel)
        kernels = replace(kernels, first_channel=first, input_channels=1)
    if intent.pointwise and intent.input_size.channels == 1:
        # One tap of one channel is written as a 2x2 kernel whose other taps do nothing.
        around = ((0, 0), (0, 0), (0, 1), (0, 1))
        values = np.pad(kernels.values, around, constant_values=kernels.zero_point)
        kernels = replace(kernels, values=values)
    return kernels


def convolution_job(intent: ConvolutionIntent, terms: Terms, kernels: Kernels, **how: Any) -> NnJob:
    """The NN job of a convolution with ``kernels``; ``how``: fields in which it differs from one
    over the whole image as it is, pixel by pixel."""
    size, output, tile_limits = extents(
        how.pop("input_size", intent.input_size),
        intent.output_size,
        intent.pointwise and not intent.strided,
    )
    recorded = terms.options.as_recorded
    fields: dict[str, Any] = {
        "source": intent.source,
        "native_depthwise": native(intent, terms),
        "row_offset": -intent.padding_before[0],
        "column_offset": -intent.padding_before[1],
        "first_pixel": False,
        **how,
    }
    return NnJob(
        operator=intent.operator,
        kind="depthwise" if intent.depthwise else "convolution",
        target=intent.target,
        input_size=size,
        output_size=output,
        kernels=kernels,
        tile_limits=tile_limits,
        strided=intent.strided,
        scale=intent.scale if recorded else terms.nearest_scale(intent.scale),
        input_zero_point=intent.input_zero_point,
        output_zero_point=intent.output_zero_point,
        relu=intent.relu,
        filler=0 if recorded else kernels.zero_point,
        zero_runs=terms.options.zero_runs,
        **fields,
    )


def extents(
    size: ImageSize, output: ImageSize, single_tap: bool
) -> tuple[ImageSize, ImageSize, tuple[int, int]]:
    """Input, output and tile limits as the unit gets them. ``single_tap``: 1x1 kernel, stride 1, of
    which a part of the image may be wanted only."""
    if size.rows <= size.columns:
        return size, output, (output.rows, output.columns)
    if not single_tap or size.plane != output.plane:
        return size, output, (output.columns, output.rows)
    # A single tap doesn't see rows: the longer side is x, as in the recordings.
    return (
        ImageSize(size.rows, size.columns, size.channels),
        ImageSize(output.rows, output.columns, output.channels),
        (output.rows, output.columns),
    )
