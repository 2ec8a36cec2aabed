"""NN jobs made for their kernels alone: what the encoders of coefficient streams take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.jobs import ImageSize, Kernels, NnJob, View

PLANE = 35


def job(kernels: Kernels, input_zero_point: int = 0, filler: int = 0, **changes: Any) -> NnJob:
    size = ImageSize(7, 5, kernels.input_channels)
    made = NnJob(
        operator=0,
        kind="convolution",
        source=View(0, 0, 1),
        target=View(1, 0, 1),
        input_size=size,
        output_size=ImageSize(7, 5, kernels.output_channels),
        kernels=kernels,
        row_offset=0,
        column_offset=0,
        tile_limits=(7, 5),
        strided=False,
        first_pixel=False,
        scale=np.float32(0.01),
        input_zero_point=input_zero_point,
        output_zero_point=0,
        relu=False,
        filler=filler,
        native_depthwise=False,
    )
    return replace(made, **changes)


def dense_weights(kernels: Kernels) -> NDArray[np.uint8]:
    """[output channels, input channels, rows, columns] with the zero points that are not stored."""
    count, planes = kernels.values.shape[:2]
    full = np.full(
        (count, kernels.input_channels, kernels.rows, kernels.columns),
        kernels.zero_point,
        np.uint8,
    )
    for k in range(count):
        first = kernels.first_channel[k]
        full[k, first : first + planes] = kernels.values[k]
    return full
