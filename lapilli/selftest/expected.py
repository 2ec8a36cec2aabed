"""Quantised operators in NumPy, straight from their definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Sums = NDArray[np.int64]


def convolution_sums(
    image: Image,
    weights: Image,
    bias: Sums,
    zero_points: tuple[int, int],
    stride: int,
    same: bool,
    depthwise: bool,
) -> Sums:
    """Accumulators [rows, columns, outputs] of an image [1, rows, columns, channels].

    ``weights`` are [outputs, rows, columns, channels], or [1, rows, columns, channels] if
    ``depthwise``. ``zero_points`` of image and weights. SAME padding if ``same``, else VALID.
    """
    source = image[0].astype(np.int64) - zero_points[0]
    kernel = weights.astype(np.int64) - zero_points[1]
    taps = kernel.shape[1:3]
    if same:
        source = np.pad(source, [*(_padding(source.shape[a], taps[a], stride) for a in (0, 1)),
                                 (0, 0)])  # fmt: skip
    rows, columns = ((source.shape[a] - taps[a]) // stride + 1 for a in (0, 1))
    sums = np.zeros((rows, columns, len(bias)), np.int64) + bias
    for y in range(taps[0]):
        for x in range(taps[1]):
            seen = source[y : y + stride * rows : stride, x : x + stride * columns : stride]
            seen = seen[:rows, :columns]
            if depthwise:
                sums += seen * kernel[0, y, x]
            else:
                # Exact in float64, and much faster than integers.
                product = seen.astype(np.float64) @ kernel[:, y, x].T.astype(np.float64)
                sums += product.astype(np.int64)
    return sums


def _padding(extent: int, taps: int, stride: int) -> tuple[int, int]:
    """Before and behind, for SAME."""
    total = max((-(-extent // stride) - 1) * stride + taps - extent, 0)
    return total // 2, total - total // 2


def requantised(values: NDArray[np.float64], zero_point: int, lowest: int = 0) -> Image:
    """Output steps to bytes: rounded to nearest, ties away from zero, clamped."""
    rounded = np.sign(values) * np.floor(np.abs(values) + 0.5)
    bytes_: Image = np.clip(rounded + zero_point, lowest, 255).astype(np.uint8)
    return bytes_
