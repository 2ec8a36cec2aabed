"""The reference schedule: what the recorded driver chooses, to the bit.

Source: the hardware notes on tiling and on-chip memory, checked against 796 recorded jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling
from lapilli.hw import limits, sram
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching

_LINE = limits.INPUT_LINE_PIXELS
_PARTIAL_PATTERNS = (
    (1024, (0x13, 0x00080000, 0)),
    (512, (0x3D, 0, 0x2AAAAAA0)),
    (256, (0x3E, 0xFFFFAAAA, 0x7FFFFFFF)),
    (160, (0x06, 0x0000007E, 0)),
    (0, (0x3F, 0xFFFFFFFE, 0xFFFFFFFF)),
)
"""(least output channels, (msb, low, high)): fixed numbers of the recorded driver; which kernels
stay in the on-chip memory when not all do."""


def _align(value: int, to: int) -> int:
    return -(-value // to) * to


def _interleave_v7(tile_columns: int, span: int) -> int:
    """Narrow image lines that share one line of the input buffer."""
    if span > _LINE // 2:
        return 1
    base = next((n for n, above in ((1, 32), (2, 16), (4, 8)) if tile_columns > above), 8)
    return min(base, 4 if span > _LINE // 4 else 2)


def _interleave_v8(tile_columns: int, span: int) -> int:
    if span > _LINE // 2 or tile_columns > 32:
        return 1
    return 2 if span > _LINE // 4 or tile_columns > 16 else 4


def tiling_v7(job: NnJob, chip: Chip) -> Tiling:
    """Tile size and superblocks."""
    columns, interleave = _tile_columns(job, _interleave_v7)
    rows = _tile_rows(job, chip, interleave, ())
    at_once = chip.accumulation_buffer_depth * interleave // rows
    if job.kernels.rows == 1:
        at_once = min(at_once, chip.accumulation_buffer_depth // 3)
    return Tiling(columns, rows, _superblocks(job, chip, at_once))


def tiling_v8(job: NnJob, chip: Chip) -> Tiling:
    """Tile size and superblocks."""
    columns, interleave = _tile_columns(job, _interleave_v8)
    rows = _tile_rows(job, chip, interleave, (limits.TILE_ROWS_V8,))
    depth = chip.accumulation_buffer_depth
    if job.kernels.rows == 1:
        at_once = depth // -(-rows // interleave)
    else:
        stride = 2 if job.strided else 1
        pixels = (rows * columns + stride - 1) // stride
        lines = -(-pixels // limits.ACCUMULATOR_LINE_PIXELS)
        at_once = depth // (lines * stride)
    return Tiling(columns, rows, _superblocks(job, chip, min(at_once, depth * 6 // 9)))


def _tile_columns(job: NnJob, interleaving: Callable[[int, int], int]) -> tuple[int, int]:
    """Columns of a tile, and image lines in a buffer line."""
    factor = 2 if job.first_pixel else 1
    columns = min(job.tile_limits[0] * factor, limits.ACCUMULATOR_LINE_PIXELS)
    # Which side of the kernel counts is not known, all recorded ones are square: the safer one.
    sides = {job.kernels.rows, job.kernels.columns}
    return columns, min(interleaving(columns, side - 1 + columns) for side in sides)


def _tile_rows(job: NnJob, chip: Chip, interleave: int, more: tuple[int, ...]) -> int:
    rows = job.tile_limits[1] * (2 if job.first_pixel else 1)
    limits = [interleave * chip.accumulation_buffer_depth, rows, *more]
    lines = chip.input_buffer_depth * interleave - job.kernels.rows + 1
    if lines >= 0:  # the driver counts unsigned: a negative number is no limit
        limits.append(lines)
    tile_rows = min(limits)
    if job.strided and tile_rows % 2:
        tile_rows -= 1
    return max(tile_rows, 1)


def _superblocks(job: NnJob, chip: Chip, at_once: int) -> int:
    """Groups that the kernels of a core are done in, at most ``at_once`` kernels each."""
    count = job.kernels.output_channels
    per_core = -(-count // chip.nn_cores)
    at_once = max(min(at_once, per_core, limits.MAXIMUM_KERNELS_PER_CORE), 1)
    groups = -(-count // (chip.nn_cores * at_once))
    kernels_per_group = -(-count // (groups * chip.nn_cores))
    return -(-per_core // kernels_per_group)


def on_chip_memory(job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int) -> OnChipMemory:
    """Ranges for the kernels (``kernel_bytes`` of them) and the input image."""
    size, start = chip.vip_sram_bytes, sram.KERNEL_START
    image = 0
    if tiles.superblocks > 1:
        kernel = job.kernels
        # The driver takes the kernel's rows in both factors; the larger side is right for all.
        reach = max(kernel.rows, kernel.columns) - 1
        pixels = (tiles.columns + reach) * (tiles.rows + reach)
        image = _align(_align(pixels, 16) * job.input_size.channels, sram.ALIGNMENT)
    if start + kernel_bytes + image < size:
        mode, pattern = Caching.FULL, (0, 0, 0)
        end = max(
            min(_align(start + kernel_bytes, sram.ALIGNMENT), size),
            sram.KERNEL_END_MINIMUM,
        )
    else:
        mode = Caching.PARTIAL
        channels = job.output_size.channels
        pattern = next(p for least, p in _PARTIAL_PATTERNS if channels >= least)
        if start + kernel_bytes >= size:
            end, image = size, 0
        elif image > size:
            end, image = 0, 0
        else:
            end = size - image
    image_start, image_end, image_mode = 0, sram.KERNEL_START, Caching.NONE
    if image:
        image_mode = Caching.FULL
        if image >= sram.KERNEL_START:
            image_start, image_end = end, min(end + image, size)
    return OnChipMemory(mode, image_mode, *pattern, start, end, image_start, image_end)


def no_caching(memory: OnChipMemory) -> OnChipMemory:
    """The same ranges with both modes off, as V8 wants it."""
    return replace(memory, kernel_caching_mode=Caching.NONE, image_caching_mode=Caching.NONE)
