"""What a schedule may choose: tiles, kernels at once and on-chip ranges that recorded drivers keep
within.

Beyond these nothing is known of the unit, whatever a model of it says. Sources: the hardware notes
on tiling (V7, V8) and on-chip memory, checked against every recorded NN instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling
from lapilli.hw import limits as hardware
from lapilli.hw import sram
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching

_LINE = hardware.INPUT_LINE_PIXELS


@dataclass(frozen=True)
class Shape:
    """What the limits of an NN job look at. ``strided``: the operator has stride 2.
    ``first_pixel``: done by storing even rows and columns only."""

    kernel_rows: int
    kernel_columns: int
    input_channels: int
    output_channels: int
    strided: bool
    first_pixel: bool


def shape_of(job: NnJob) -> Shape:
    """The shape of a job."""
    return Shape(
        job.kernels.rows,
        job.kernels.columns,
        job.input_size.channels,
        job.output_size.channels,
        job.strided,
        job.first_pixel,
    )


@dataclass(frozen=True)
class Limits:
    """What a generation limits in its own way.

    ``tile_rows``: no tile is higher, if there is such a limit. ``interleave``: how many image lines
    share a line of the input buffer, from a tile's columns and those with the kernel's reach.
    ``kernels``: how many a core does at once, from shape, columns, rows, interleave and chip.
    ``caching``: the on-chip memory is used at all.
    """

    tile_rows: int | None
    interleave: Callable[[int, int], int]
    kernels: Callable[[Shape, int, int, int, Chip], int]
    caching: bool


# ------------------------------------------------------------------------------------------- tiles


def columns_within(wanted: int) -> int:
    """Columns of a tile: at most a line of the accumulation buffer."""
    return min(wanted, hardware.ACCUMULATOR_LINE_PIXELS)


def rows_within(limits: Limits, shape: Shape, columns: int, wanted: int, chip: Chip) -> int:
    """Rows of a tile of ``columns``: what the accumulation and input buffers hold, an even number
    with stride 2."""
    interleave = lines_shared(limits, shape, columns)
    allowed = [wanted, interleave * chip.accumulation_buffer_depth]
    if limits.tile_rows is not None:
        allowed.append(limits.tile_rows)
    lines = chip.input_buffer_depth * interleave - shape.kernel_rows + 1
    if lines >= 0:  # the driver counts unsigned: a negative number is no limit
        allowed.append(lines)
    rows = min(allowed)
    if shape.strided and rows % 2:
        rows -= 1
    return max(rows, 1)


def lines_shared(limits: Limits, shape: Shape, columns: int) -> int:
    """Narrow image lines that share one line of the input buffer."""
    # Which side of the kernel counts is not known, all recorded ones are square: the safer one.
    sides = {shape.kernel_rows, shape.kernel_columns}
    return min(limits.interleave(columns, side - 1 + columns) for side in sides)


def _interleave_v7(columns: int, span: int) -> int:
    if span > _LINE // 2:
        return 1
    base = next((n for n, above in ((1, 32), (2, 16), (4, 8)) if columns > above), 8)
    return min(base, 4 if span > _LINE // 4 else 2)


def _interleave_v8(columns: int, span: int) -> int:
    if span > _LINE // 2 or columns > 32:
        return 1
    return 2 if span > _LINE // 4 or columns > 16 else 4


# ----------------------------------------------------------------------------------------- kernels


def kernels_at_once(limits: Limits, shape: Shape, columns: int, rows: int, chip: Chip) -> int:
    """Kernels that a core may do in one superblock with such tiles: their results have to fit the
    accumulation buffer."""
    interleave = lines_shared(limits, shape, columns)
    fitting = limits.kernels(shape, columns, rows, interleave, chip)
    return max(min(fitting, hardware.MAXIMUM_KERNELS_PER_CORE), 1)


def _kernels_v7(shape: Shape, columns: int, rows: int, interleave: int, chip: Chip) -> int:
    depth = chip.accumulation_buffer_depth
    fitting = depth * interleave // rows
    # Never more for kernels of one row (21 of the A311D's 64 lines).
    return min(fitting, depth // 3) if shape.kernel_rows == 1 else fitting


def _kernels_v8(shape: Shape, columns: int, rows: int, interleave: int, chip: Chip) -> int:
    depth = chip.accumulation_buffer_depth
    if shape.kernel_rows == 1:
        fitting = depth // -(-rows // interleave)
    else:
        stride = 2 if shape.strided else 1
        pixels = (rows * columns + stride - 1) // stride
        lines = -(-pixels // hardware.ACCUMULATOR_LINE_PIXELS)
        fitting = depth // (lines * stride)
    return min(fitting, depth * 6 // 9)


def kernels_of_a_superblock(channels: int, superblocks: int, chip: Chip) -> int:
    """Kernels a core does in each superblock but the last."""
    per_core = -(-channels // chip.nn_cores)
    return -(-per_core // superblocks)


def superblocks_within(channels: int, at_once: int, chip: Chip) -> int:
    """The fewest superblocks with at most ``at_once`` kernels a core, none of them empty."""
    per_core = -(-channels // chip.nn_cores)
    groups = -(-channels // (chip.nn_cores * min(at_once, per_core)))
    return -(-per_core // -(-channels // (groups * chip.nn_cores)))


def may_be_followed(channels: int, chip: Chip) -> bool:
    """Whether planes of something else may lie behind the planes of ``channels`` kernels: where
    the last cores are filled up with further kernels, a chip may write those planes."""
    return channels % chip.nn_cores == 0 or channels < chip.nn_cores


# ---------------------------------------------------------------------------------- on-chip memory


def cached_image_bytes(shape: Shape, tiles: Tiling) -> int:
    """Bytes of a tile's input in the on-chip memory."""
    # The driver takes the kernel's rows in both factors; the larger side is right for all.
    reach = max(shape.kernel_rows, shape.kernel_columns) - 1
    pixels = (tiles.columns + reach) * (tiles.rows + reach)
    return align(align(pixels, 16) * shape.input_channels, sram.ALIGNMENT)


def align(value: int, to: int) -> int:
    """The next multiple of ``to``."""
    return -(-value // to) * to


# ------------------------------------------------------------------------------------- judging all


def complaints(
    limits: Limits,
    shape: Shape,
    tiles: Tiling,
    memory: OnChipMemory,
    kernel_bytes: int,
    chip: Chip,
) -> Iterator[str]:
    """What a schedule of a job may not choose, one sentence each. ``kernel_bytes``: what its
    coefficients take in the on-chip memory."""
    each = kernels_of_a_superblock(shape.output_channels, tiles.superblocks, chip)
    if not 1 <= tiles.columns <= columns_within(tiles.columns):
        yield f"a tile of {tiles.columns} columns"
    elif not 1 <= tiles.rows <= rows_within(limits, shape, tiles.columns, tiles.rows, chip):
        yield f"a tile of {tiles.rows} rows, {tiles.columns} columns wide"
    elif shape.first_pixel and (tiles.columns % 2 or tiles.rows % 2):
        yield f"pooling in a tile of {tiles.columns}x{tiles.rows}"
    else:
        most = kernels_at_once(limits, shape, tiles.columns, tiles.rows, chip)
        if each > most:
            yield f"{each} kernels a core at once, {most} fit"
    if superblocks_within(shape.output_channels, each, chip) != tiles.superblocks:
        yield f"an empty superblock of {tiles.superblocks} for {shape.output_channels} kernels"
    yield from _memory_complaints(limits, shape, tiles, memory, kernel_bytes, chip)


def _memory_complaints(
    limits: Limits, shape: Shape, tiles: Tiling, memory: OnChipMemory, kernel_bytes: int, chip: Chip
) -> Iterator[str]:
    kernels = memory.kernel_cache_start_address, memory.kernel_cache_end_address
    image = memory.image_cache_start_address, memory.image_cache_end_address
    modes = int(memory.kernel_caching_mode), int(memory.image_caching_mode)
    if not limits.caching:
        if any(modes):
            yield f"caching modes {modes}"
        return
    needed = cached_image_bytes(shape, tiles)
    if modes[0] == Caching.PARTIAL and kernels[1] == 0:
        # The recorded driver leaves the end unwritten where an image is larger than the memory.
        if needed <= chip.vip_sram_bytes:
            yield f"kernels at {kernels}, {needed} bytes of image"
    elif modes[0] != Caching.NONE:
        if not sram.KERNEL_START == kernels[0] < kernels[1] <= chip.vip_sram_bytes:
            yield f"kernels at {kernels} of {chip.vip_sram_bytes} bytes"
        if modes[0] == Caching.FULL and kernels[1] - kernels[0] < kernel_bytes:
            yield f"{kernel_bytes} bytes of kernels at {kernels}"
    if modes[1] != Caching.NONE:
        if not 0 <= image[0] <= image[1] - needed <= chip.vip_sram_bytes - needed:
            yield f"{needed} bytes of image at {image} of {chip.vip_sram_bytes}"
        if modes[0] != Caching.NONE and image[0] < kernels[1] and kernels[0] < image[1]:
            yield f"image at {image} over kernels at {kernels}"


V7 = Limits(None, _interleave_v7, _kernels_v7, caching=True)
V8 = Limits(hardware.TILE_ROWS_V8, _interleave_v8, _kernels_v8, caching=False)
