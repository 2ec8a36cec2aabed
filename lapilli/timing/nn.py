"""What an NN instruction has to do, from numbers.

A tile is worked on superblock by superblock: the input of the tile is fetched for each of them
unless it is cached on chip, and the coefficients for each tile unless they are. Nothing is
executed, so what images hold does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lapilli.hw import nn
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v7 import COLUMNS_PER_PATCH, ROWS_PER_PATCH
from lapilli.timing.coefficients import CoefficientStatistics
from lapilli.timing.work import Traffic, Work

CHANNELS_A_CYCLE = 3
"""Weights that a core takes at a time with NN_ZDP3, of as many input channels."""


@dataclass(frozen=True)
class Axis:
    """An instruction's extents along columns or rows, pixels.

    ``size``: output before pooling; ``tile``: of it at a time, at least 1; ``offset``: from an
    output pixel to the first input pixel of its ``kernel``; ``image``: input.
    """

    size: int
    tile: int
    offset: int
    kernel: int
    image: int


@dataclass(frozen=True)
class NnTask:
    """What an instruction asks of the NN cores, coefficients apart.

    ``kernels_at_once``: of a core in one superblock. ``native_depthwise``: each kernel reads its
    own channel only, by V8's own mode. ``first_pixel``: every second row and column is stored.
    ``kernel_sram``, ``image_sram``: as in ``Work``, None where nothing is cached.
    """

    columns: Axis
    rows: Axis
    input_channels: int
    output_channels: int
    kernels_at_once: int
    native_depthwise: bool
    first_pixel: bool
    kernel_sram: tuple[int, int] | None
    image_sram: tuple[int, int] | None

    @property
    def kernel_weights(self) -> int:
        """Weights of one kernel."""
        taps = self.columns.kernel * self.rows.kernel
        return taps if self.native_depthwise else self.input_channels * taps


@dataclass(frozen=True)
class Tiles:
    """Along one axis: number of tiles, and input pixels fetched for all of them, halo included."""

    count: int
    fetched: int


def tiles_along(axis: Axis) -> Tiles:
    """The tiles of an axis; nothing is fetched outside the image there is."""
    fetched = 0
    for first in range(0, axis.size, axis.tile):
        behind = min(first + axis.tile, axis.size) - 1 + axis.offset + axis.kernel
        fetched += max(min(behind, axis.image) - max(first + axis.offset, 0), 0)
    return Tiles(-(-axis.size // axis.tile), fetched)


def weight_cycles(rows: int, columns: int, chip: Chip) -> Fraction:
    """Cycles a weight of a kernel of ``rows`` by ``columns`` takes a row at a core's peak rate.

    NN_XYDP6 takes patches of two rows by three columns of larger kernels at a time; NN_ZDP3 three
    input channels of 1x1 kernels; without them it is one weight a cycle. V8 (NN_XYDP0) takes three
    values a cycle of any kernel.
    """
    if rows * columns > 1 and chip.has("NN_XYDP6"):
        patches = -(-rows // ROWS_PER_PATCH) * -(-columns // COLUMNS_PER_PATCH)
        return Fraction(patches, rows * columns)
    return Fraction(1, CHANNELS_A_CYCLE) if chip.has("NN_ZDP3") else Fraction(1)


def peak_weights(chip: Chip) -> int:
    """Weights a core takes in a cycle at best."""
    if chip.has("NN_XYDP6"):
        return ROWS_PER_PATCH * COLUMNS_PER_PATCH
    return CHANNELS_A_CYCLE if chip.has("NN_ZDP3") or chip.has("NN_XYDP0") else 1


def nn_work(task: NnTask, counted: CoefficientStatistics, chip: Chip) -> Work:
    """What the instruction has to do with coefficients that count as ``counted``."""
    across, down = tiles_along(task.columns), tiles_along(task.rows)
    tiles = across.count * down.count
    superblocks = -(-counted.kernels // task.kernels_at_once)
    image = across.fetched * down.fetched * task.input_channels
    # V8's depthwise kernels read their own channel only: every plane for one superblock.
    passes = 1 if task.native_depthwise else superblocks
    step = 2 if task.first_pixel else 1
    stored = -(-task.columns.size // step) * -(-task.rows.size // step)
    dense = task.output_channels * task.kernel_weights
    runs = counted.zero_run_bits > 0
    return Work(
        unit="NN",
        traffic=Traffic(
            instruction=4 * nn.WORDS,
            coefficients=_coefficient_bytes(counted, task.kernel_sram, tiles),
            input=image if task.image_sram else image * passes,
            output=stored * task.output_channels,
        ),
        cached_input=image * passes if task.image_sram else 0,
        rows=task.rows.size * across.count,
        weights=counted.weights,
        weight_cycles=weight_cycles(task.rows.kernel, task.columns.kernel, chip),
        zero_tokens=tuple(
            tokens - weights if runs else 0
            for tokens, weights in zip(counted.tokens, counted.weights, strict=True)
        ),
        zero_run_bits=counted.zero_run_bits,
        stored_bytes=counted.header_bytes + counted.stream_bytes,
        dense_weights=dense,
        macs_dense=dense * task.columns.size * task.rows.size,
        macs_useful=counted.useful * stored,
        tiles=tiles,
        superblocks=superblocks,
        kernel_sram=task.kernel_sram,
        image_sram=task.image_sram,
    )


def _coefficient_bytes(
    counted: CoefficientStatistics, sram: tuple[int, int] | None, tiles: int
) -> int:
    """The first tile fetches everything, the others what did not find room on chip."""
    kept = 0 if sram is None else sram[1] - sram[0]
    again = max(counted.stream_bytes - kept, 0)
    return counted.header_bytes + counted.stream_bytes + (tiles - 1) * again
