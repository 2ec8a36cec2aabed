"""Jobs that do the same to every byte: a 1x1 convolution over an image of one channel, whatever the
bytes' layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.record import Case
from lapilli.compiler.operators.rules import BYTES_BELOW
from lapilli.hw.chips import Chip
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Quantization

ONE = np.float32(1)
LARGEST_WEIGHT = 128
"""Of those that a factor is divided by; a power of two."""


@dataclass(frozen=True)
class Step:
    """``stored = (byte - input_zero_point) * weight * scale + output_zero_point``, with ``bias``
    added before the scale. ``relu``: results below the zero point become it."""

    input_zero_point: int
    output_zero_point: int
    weight: int = 1
    scale: np.float32 = ONE
    bias: int = 0
    relu: bool = False


def flat_size(case: Case) -> str | None:
    """The elements must fit into an image of at most 8191 x 8191."""
    for tensor in case.outputs:
        if no_image(tensor.size):
            return f"{tensor.size} elements"
    return None


def no_image(elements: int) -> bool:
    """So many elements can't be seen as an image."""
    return elements >= BYTES_BELOW or addition_image(1, elements, 1) is None


def rescaling(first: Quantization, second: Quantization, chip: Chip) -> Step | None:
    """What gives the values of one quantisation the bytes of another; None if the chip has no
    fields for it."""
    found = split_factor(first.scale / second.scale, chip)
    if found is None:
        return None
    weight, scale = found
    return Step(first.zero_point, second.zero_point, weight, scale)


def split_factor(factor: float, chip: Chip, least: int = 1) -> tuple[int, np.float32] | None:
    """``factor`` as a weight, a power of two from ``least`` on, and a scale that the chip has
    fields for. None if there is no such pair."""
    fits, weight = generation_of(chip).fits, least
    while weight <= LARGEST_WEIGHT:
        with np.errstate(over="ignore", under="ignore"):
            scale = np.float32(factor / weight)
        if scale > 0 and fits(scale):
            return weight, scale
        weight *= 2
    return None


def append(builder: Builder, operator: int, source: View, step: Step) -> View:
    """The job, and where its result lies."""
    pixels = addition_image(1, source.size, 1)
    assert pixels is not None, "the rules check the size"
    size = ImageSize(*pixels, 1)
    target = builder.store(source.size)
    zero_point = max(0, -step.weight)
    builder.steps.append(
        ConvolutionIntent(
            operator=operator,
            depthwise=False,
            source=source,
            target=target,
            input_size=size,
            output_size=size,
            kernels=Kernels(
                np.full((1, 1, 1, 1), zero_point + step.weight, np.uint8),
                np.zeros(1, np.int64),
                1,
                zero_point,
                np.full(1, step.bias, np.int64),
            ),
            stride=(1, 1),
            padding_before=(0, 0),
            padding_after=(0, 0),
            padding_same=False,
            scale=step.scale,
            input_zero_point=step.input_zero_point,
            output_zero_point=step.output_zero_point,
            relu=step.relu,
        )
    )
    return target


def at_hand(builder: Builder, tensor: int) -> View:
    """A tensor's bytes in a layout that is there."""
    place = builder.place(tensor)
    view = place.planar or place.nhwc or (place.reshaped[0] if place.reshaped else None)
    assert view is not None
    return view


def lay_like(builder: Builder, tensor: int, result: int, view: View) -> None:
    """Let ``view`` be ``result``, in the layout that ``at_hand`` gave for ``tensor``."""
    source, place = builder.place(tensor), builder.place(result)
    if source.planar is not None:
        place.planar = view
    elif source.nhwc is not None:
        place.nhwc = view
    else:
        assert source.reshaped is not None
        place.reshaped = view, source.reshaped[1]
