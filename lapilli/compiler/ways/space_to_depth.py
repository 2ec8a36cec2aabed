"""Stride 2 by a reshuffle: rows and columns become planes, kernels are spread over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import moves
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Storage, TpJob, View
from lapilli.compiler.ways.way import Done, Terms, convolution_job


def space_to_depth(intent: ConvolutionIntent, terms: Terms) -> Done:
    """A TP job that makes the planes, with the padding in front, and an NN job over them."""
    result = reshuffled(intent)
    bytes_made = result.plane * result.channels
    view = View(terms.next_storage, 0, bytes_made)
    top, left = intent.padding_before
    geometry = moves.SpaceToDepth(intent.input_size, result, top, left)
    instructions = moves.space_to_depth(geometry, terms.chip.tp_cores, intent.input_zero_point)
    kernels = replace(
        intent.kernels,
        values=spread(intent.kernels.values, intent.kernels.zero_point),
        first_channel=4 * intent.kernels.first_channel,
        input_channels=4 * intent.kernels.input_channels,
    )
    job = convolution_job(
        intent,
        terms,
        kernels,
        source=view,
        input_size=result,
        native_depthwise=False,
        row_offset=0,
        column_offset=0,
    )
    reshuffle = TpJob(
        intent.operator, "reshuffle", intent.source, view, instructions, size=intent.input_size
    )
    return Done((reshuffle, job), (Storage("tensor", bytes_made),))


def reshuffled(intent: ConvolutionIntent) -> ImageSize:
    """The size of the image that the reshuffle makes."""
    size, kernels = intent.input_size, intent.kernels
    columns, rows = -(-size.columns // 2), -(-size.rows // 2)
    if intent.padding_same:
        # A 2x2 kernel would not need the one more; the recordings have it.
        columns += max(-(-kernels.columns // 2) - 1, 1)
        rows += max(-(-kernels.rows // 2) - 1, 1)
    # Every pixel has to be there, however small the kernel and however much lies before the image.
    rows = max(rows, -(-(intent.padding_before[0] + size.rows) // 2))
    columns = max(columns, -(-(intent.padding_before[1] + size.columns) // 2))
    return ImageSize(columns, rows, 4 * size.channels)


def spread(values: NDArray[np.uint8], zero_point: int) -> NDArray[np.uint8]:
    """A kernel of stride 2 as a kernel of stride 1 over space-to-depth planes: plane 4z + 2a + b
    holds rows 2y + a and columns 2x + b of plane z, zero points where there are none."""
    count, planes, rows, columns = values.shape
    half_rows, half_columns = -(-rows // 2), -(-columns // 2)
    padded = np.full((count, planes, 2 * half_rows, 2 * half_columns), zero_point, np.uint8)
    padded[:, :, :rows, :columns] = values
    split = padded.reshape(count, planes, half_rows, 2, half_columns, 2)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(count, 4 * planes, half_rows, half_columns)
