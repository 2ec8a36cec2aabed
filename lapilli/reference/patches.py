"""What a layer with weights sees at chosen output pixels: its input patches, as whole numbers."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from lapilli.reference.arithmetic import Integers, zero_point_of
from lapilli.reference.convolution import images_of, window_of
from lapilli.reference.node import Node

_GOLDEN: Final = 0.6180339887498949
"""Steps of this share of the pixels meet rows and columns evenly."""


def chosen_places(total: int, count: int) -> Integers:
    """Up to ``count`` different numbers below ``total``, spread evenly, always the same ones."""
    if count >= total:
        return np.arange(total, dtype=np.int64)
    step = max(1, int(total * _GOLDEN))
    while math.gcd(step, total) > 1:
        step += 1
    places: Integers = np.arange(count, dtype=np.int64) * step % total
    return np.sort(places)


def patches_of(node: Node, count: int) -> Integers:
    """[patches, taps, inputs] less the zero point at up to ``count`` output pixels of all samples.

    Of CONV_2D and DEPTHWISE_CONV_2D (whose inputs are all channels of the image), and of
    FULLY_CONNECTED; a TRANSPOSE_CONV's are its input pixels, with one tap.
    """
    kind = node.operator.kind
    if kind in ("FULLY_CONNECTED", "TRANSPOSE_CONV"):
        place = 2 if kind == "TRANSPOSE_CONV" else 0
        depth = node.tensor(1).shape[-1]
        pixels = node.value(place).reshape(-1, 1, depth)
        chosen = pixels[chosen_places(len(pixels), count)]
        return chosen.astype(np.int64) - zero_point_of(node.tensor(place))
    window = window_of(node)
    images = images_of(node.value(0))
    zero_point = zero_point_of(node.tensor(0))
    views = window.patches(window.pad(images, zero_point))
    rows, columns = window.output
    places = chosen_places(len(images) * rows * columns, count)
    image, rest = np.divmod(places, rows * columns)
    row, column = np.divmod(rest, columns)
    patches = views[image, row, column]
    taps = window.kernel[0] * window.kernel[1]
    return patches.reshape(len(places), taps, -1).astype(np.int64) - zero_point
