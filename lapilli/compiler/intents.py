"""What lowering hands over: what is to be computed on which bytes, not how.

A convolution keeps its stride, its padding and its kernels as the model has them, so that whoever
chooses a way (``ways/``) never has to undo another's choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.jobs import Crossing, ImageSize, Kernels, Storage, TpJob, View


@dataclass(frozen=True, eq=False)
class ConvolutionIntent:
    """A convolution from one planar image to another.

    ``kernels``: as in the model, [output channels, planes, rows, columns]; ``depthwise`` ones have
    one plane, ``kernels.first_channel`` says which. ``stride``, ``dilation``, ``padding_before``
    and ``padding_after`` are (rows, columns); padding is with the input's zero point.
    ``padding_same``: the model says SAME, which may pad nothing: recorded choices look at the word.
    ``scale``: accumulator steps to output steps. ``relu``: what lies below the output's zero point
    becomes it.
    """

    operator: int
    depthwise: bool
    source: View
    target: View
    input_size: ImageSize
    output_size: ImageSize
    kernels: Kernels
    stride: tuple[int, int]
    padding_before: tuple[int, int]
    padding_after: tuple[int, int]
    padding_same: bool
    scale: np.float32
    input_zero_point: int
    output_zero_point: int
    relu: bool
    dilation: tuple[int, int] = (1, 1)

    @property
    def strided(self) -> bool:
        """Not every pixel of the full result is wanted."""
        return max(self.stride) > 1

    @property
    def pointwise(self) -> bool:
        """The kernel has one tap a plane."""
        return self.kernels.rows == self.kernels.columns == 1

    @property
    def one_to_one(self) -> bool:
        """Depthwise with one output channel for each input channel."""
        return self.depthwise and self.input_size.channels == self.output_size.channels


@dataclass(frozen=True, eq=False)
class AdditionIntent:
    """A weighted sum, or difference, of two tensors of ``size`` elements, byte by byte.

    ``source``: the first operand's bytes and behind them the second's, in one layout, which the
    result at ``target`` has too. ``scales``: what the bytes stand for. ``relu``: as above.
    """

    operator: int
    source: View
    target: View
    size: ImageSize
    scales: AdditionScales
    relu: bool


Step: TypeAlias = ConvolutionIntent | AdditionIntent | TpJob


@dataclass(frozen=True)
class Lowered:
    """A part before the ways are chosen: steps in order, on storages that may still be merged.

    ``placed``: storage -> (storage that holds it, byte offset there).
    """

    operators: tuple[int, ...]
    steps: tuple[Step, ...]
    storages: tuple[Storage, ...]
    placed: Mapping[int, tuple[int, int]] = field(repr=False)
    inputs: tuple[Crossing, ...]
    outputs: tuple[Crossing, ...]
