"""One kernel for all channels that spans whole rows, columns or images: means, as a rule.

As a depthwise convolution V7 would have to be given the kernel once for every pair of channels, and
no unit has kernels for large images. So what is summed up become the planes of an image with a
pixel for each sum: for means over rows and columns these are the image's NHWC bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapilli.compiler.encode.copies import Piece, shared_out
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Storage, TpJob, View
from lapilli.compiler.ways.direct import direct
from lapilli.compiler.ways.way import Done, Terms
from lapilli.model.geometry import addition_image


def spans_image(intent: ConvolutionIntent) -> bool:
    """The same kernel for every channel, which is as high, or as wide, as the image, or both; in
    the other direction it has one element."""
    size, kernels = intent.input_size, intent.kernels
    spans = (kernels.rows, kernels.columns) in spanning(size) and not intent.pointwise
    if not (spans and intent.one_to_one and not intent.strided):
        return False
    if max(*intent.padding_before, *intent.padding_after) > 0 or intent.dilation != (1, 1):
        return False
    return bool(np.all(kernels.values == kernels.values[:1]) and np.ptp(kernels.bias) == 0)


def spanning(size: ImageSize) -> tuple[tuple[int, int], ...]:
    """(rows, columns) of the kernels that sum up whole images, columns or rows."""
    return (size.rows, size.columns), (size.rows, 1), (1, size.columns)


def sum_of_planes(intent: ConvolutionIntent, terms: Terms) -> Done:
    """A TP job that makes planes of what is summed up, an NN job with one 1x1 kernel over them."""
    size, kernels = intent.input_size, intent.kernels
    summed = kernels.rows * kernels.columns
    image = addition_image(1, size.plane * size.channels // summed, 1)
    assert image is not None, "the rules check the size"
    view = View(terms.next_storage, 0, intent.source.size)
    if kernels.columns == 1 < size.columns:
        steps = 1, size.channels * size.columns, size.columns
    elif kernels.rows == 1 < size.rows:
        steps = size.channels * size.rows, 1, size.rows
    else:
        steps = size.channels, size.columns * size.channels, 1
    piece = Piece(size.columns, size.rows, size.channels, size.columns, size.plane, *steps)
    instructions = shared_out(piece, terms.chip.tp_cores)
    gather = TpJob(intent.operator, "copy", intent.source, view, instructions)
    single = replace(
        kernels,
        values=kernels.values[:1].reshape(1, summed, 1, 1),
        first_channel=np.zeros(1, np.int64),
        input_channels=summed,
        bias=kernels.bias[:1],
    )
    over = replace(
        intent,
        depthwise=False,
        source=view,
        input_size=ImageSize(*image, summed),
        output_size=ImageSize(*image, 1),
        kernels=single,
    )
    return Done((gather, *direct(over, terms).jobs), (Storage("tensor", view.size),))
