"""What differs between hardware generations, stage by stage; chosen here and nowhere else.

A further generation is a module like ``v7`` and ``v8`` and a line in ``GENERATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lapilli.compiler import v7, v8
from lapilli.compiler.encode.requantise import AdditionNumbers, AdditionScales, Multiplier
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import Coefficients, CoefficientSize, NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, legal
from lapilli.compiler.schedule.legal import Limits
from lapilli.compiler.ways.way import AdditionWay, ConvolutionWay
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip


@dataclass(frozen=True)
class Generation:
    """The functions of one generation.

    ``layout``: the NN instruction. ``native_depthwise``: the unit has depthwise kernels.
    ``convolution_way`` and ``addition_way``: how those are done. ``addition_numbers``: an
    addition's weights. ``multiplier`` and ``fits``: fixed-point form of a scale, and whether it has
    one; ``nearest_scale``: the closest that loses nothing in it. ``limits``: what any schedule must
    keep within. ``tiling``, ``memory`` and ``encode``: reference schedule and coefficient stream of
    an NN job; ``measure``: the size of that stream, before it is written.
    ``bytes_to_code`` and ``bytes_to_measure``: what either takes, told by the kernels' extents.
    """

    layout: Layout
    native_depthwise: bool
    convolution_way: Callable[[ConvolutionIntent, Chip], ConvolutionWay]
    addition_way: AdditionWay
    addition_numbers: Callable[[AdditionScales, bool], AdditionNumbers]
    multiplier: Callable[[np.float32], Multiplier]
    fits: Callable[[np.float32], bool]
    nearest_scale: Callable[[np.float32], np.float32]
    limits: Limits
    tiling: Callable[[NnJob, Chip], Tiling]
    memory: Callable[[NnJob, Chip, Tiling, int], OnChipMemory]
    encode: Callable[[NnJob, Chip, Tiling], Coefficients]
    measure: Callable[[NnJob, Chip, Tiling], CoefficientSize]
    bytes_to_code: Callable[[NnJob, Chip], int]
    bytes_to_measure: Callable[[NnJob, Chip], int]


GENERATIONS = {
    7: Generation(
        layout=v7.LAYOUT,
        native_depthwise=False,
        convolution_way=v7.convolution_way,
        addition_way=v7.addition_way,
        addition_numbers=v7.addition_numbers,
        multiplier=v7.multiplier,
        fits=v7.fits,
        nearest_scale=v7.nearest_scale,
        limits=legal.V7,
        tiling=v7.tiling,
        memory=v7.memory,
        encode=v7.encode,
        measure=v7.measure,
        bytes_to_code=v7.bytes_to_code,
        bytes_to_measure=v7.bytes_to_measure,
    ),
    8: Generation(
        layout=v8.LAYOUT,
        native_depthwise=True,
        convolution_way=v8.convolution_way,
        addition_way=v8.addition_way,
        addition_numbers=v8.addition_numbers,
        multiplier=v8.multiplier,
        fits=v8.fits,
        nearest_scale=v8.nearest_scale,
        limits=legal.V8,
        tiling=v8.tiling,
        memory=v8.memory,
        encode=v8.encode,
        measure=v8.measure,
        bytes_to_code=v8.bytes_to_code,
        bytes_to_measure=v8.bytes_to_measure,
    ),
}


def generation_of(chip: Chip) -> Generation:
    """The generation of a chip that programs are compiled for."""
    return GENERATIONS[chip.generation]
