"""The reference schedule: what the recorded driver chooses, to the bit.

Source: the hardware notes on tiling and on-chip memory, checked against 796 recorded jobs.
"""

from __future__ import annotations

from dataclasses import replace

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, legal
from lapilli.hw import sram
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching

_PARTIAL_PATTERNS = (
    (1024, (0x13, 0x00080000, 0)),
    (512, (0x3D, 0, 0x2AAAAAA0)),
    (256, (0x3E, 0xFFFFAAAA, 0x7FFFFFFF)),
    (160, (0x06, 0x0000007E, 0)),
    (0, (0x3F, 0xFFFFFFFE, 0xFFFFFFFF)),
)
"""(least output channels, (msb, low, high)): fixed numbers of the recorded driver; which kernels
stay in the on-chip memory when not all do."""


def tiling_v7(job: NnJob, chip: Chip) -> Tiling:
    """Tile size and superblocks."""
    return _tiling(job, chip, legal.V7)


def tiling_v8(job: NnJob, chip: Chip) -> Tiling:
    """Tile size and superblocks."""
    return _tiling(job, chip, legal.V8)


def _tiling(job: NnJob, chip: Chip, limits: legal.Limits) -> Tiling:
    """The largest tile, and the fewest superblocks that it allows."""
    shape, factor = legal.shape_of(job), 2 if job.first_pixel else 1
    columns = legal.columns_within(job.tile_limits[0] * factor)
    rows = legal.rows_within(limits, shape, columns, job.tile_limits[1] * factor, chip)
    at_once = legal.kernels_at_once(limits, shape, columns, rows, chip)
    superblocks = legal.superblocks_within(job.kernels.output_channels, at_once, chip)
    return Tiling(columns, rows, superblocks)


def on_chip_memory(job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int) -> OnChipMemory:
    """Ranges for the kernels (``kernel_bytes`` of them) and the input image."""
    size, start = chip.vip_sram_bytes, sram.KERNEL_START
    image = legal.cached_image_bytes(legal.shape_of(job), tiles) if tiles.superblocks > 1 else 0
    if start + kernel_bytes + image < size:
        mode, pattern = Caching.FULL, (0, 0, 0)
        end = max(
            min(legal.align(start + kernel_bytes, sram.ALIGNMENT), size),
            sram.KERNEL_END_MINIMUM,
        )
    else:
        mode, pattern = Caching.PARTIAL, partial_pattern(job.output_size.channels)
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


def partial_pattern(channels: int) -> tuple[int, int, int]:
    """Which kernels stay on chip when not all of ``channels`` output channels' do."""
    return next(pattern for least, pattern in _PARTIAL_PATTERNS if channels >= least)


def no_caching(memory: OnChipMemory) -> OnChipMemory:
    """The same ranges with both modes off, as V8 wants it."""
    return replace(memory, kernel_caching_mode=Caching.NONE, image_caching_mode=Caching.NONE)
