"""The reference schedule of V7: what the recorded driver chooses, to the bit.

Source: the hardware notes on tiling and on-chip memory, checked against 796 recorded jobs.
"""

from __future__ import annotations

from lapilli.hw import coefficients as layout
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching
from lapilli.jobs import NnJob
from lapilli.schedule import OnChipMemory, Tiling

_LINE = layout.ACCUMULATOR_LINE_PIXELS + layout.INPUT_LINE_EXTRA_PIXELS
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


def _interleave(tile_columns: int, kernel_columns: int) -> int:
    """Narrow image lines that share one line of the input buffer."""
    span = kernel_columns - 1 + tile_columns
    if span > _LINE // 2:
        return 1
    base = next((n for n, above in ((1, 32), (2, 16), (4, 8)) if tile_columns > above), 8)
    return min(base, 4 if span > _LINE // 4 else 2)


def tiling(job: NnJob, chip: Chip) -> Tiling:
    """Tile size and superblocks."""
    columns, rows = (n * (2 if job.first_pixel else 1) for n in job.tile_limits)
    kernels = job.kernels
    tile_columns = min(columns, layout.ACCUMULATOR_LINE_PIXELS)
    interleave = _interleave(tile_columns, kernels.columns)
    lines = chip.input_buffer_depth * interleave - kernels.rows + 1
    limits = [interleave * chip.accumulation_buffer_depth, rows]
    if lines >= 0:  # the driver counts unsigned: a negative number is no limit
        limits.append(lines)
    tile_rows = min(limits)
    if job.strided and tile_rows % 2:
        tile_rows -= 1
    tile_rows = max(tile_rows, 1)
    per_core = -(-kernels.output_channels // chip.nn_cores)
    at_once = chip.accumulation_buffer_depth * interleave // tile_rows
    if kernels.rows == 1:
        at_once = min(at_once, chip.accumulation_buffer_depth // 3)
    at_once = max(min(at_once, per_core, layout.MAXIMUM_KERNELS_PER_CORE), 1)
    groups = -(-kernels.output_channels // (chip.nn_cores * at_once))
    kernels_per_group = -(-kernels.output_channels // (groups * chip.nn_cores))
    return Tiling(tile_columns, tile_rows, -(-per_core // kernels_per_group))


def on_chip_memory(job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int) -> OnChipMemory:
    """Ranges for the kernels (``kernel_bytes`` of them) and the input image."""
    sram, start = chip.vip_sram_bytes, layout.SRAM_KERNEL_START
    image = 0
    if tiles.superblocks > 1:
        kernel = job.kernels
        # The driver takes the kernel's rows in both factors; the larger side is right for all.
        reach = max(kernel.rows, kernel.columns) - 1
        pixels = (tiles.columns + reach) * (tiles.rows + reach)
        image = _align(_align(pixels, 16) * job.input_size.channels, layout.SRAM_ALIGNMENT)
    if start + kernel_bytes + image < sram:
        mode, pattern = Caching.FULL, (0, 0, 0)
        end = max(
            min(_align(start + kernel_bytes, layout.SRAM_ALIGNMENT), sram),
            layout.SRAM_KERNEL_END_MINIMUM,
        )
    else:
        mode = Caching.PARTIAL
        channels = job.output_size.channels
        pattern = next(p for least, p in _PARTIAL_PATTERNS if channels >= least)
        if start + kernel_bytes >= sram:
            end, image = sram, 0
        elif image > sram:
            end, image = 0, 0
        else:
            end = sram - image
    image_start, image_end, image_mode = 0, layout.SRAM_KERNEL_START, Caching.NONE
    if image:
        image_mode = Caching.FULL
        if image >= layout.SRAM_KERNEL_START:
            image_start, image_end = end, min(end + image, sram)
    return OnChipMemory(mode, image_mode, *pattern, start, end, image_start, image_end)
