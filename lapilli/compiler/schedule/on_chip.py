"""What the best schedule keeps on chip: kernels, an image, or both, where they fit as a whole.

Source of the modes: the hardware notes on on-chip memory. Keeping an image beside kernels that are
kept in part is a mode that published times speak against (docs/timing.md): only whoever asks for
the experiment gets it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import OnChipMemory, Tiling, legal
from lapilli.compiler.schedule.reference import partial_pattern
from lapilli.hw import sram
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching

NO_PATTERN = (0, 0, 0)


def choices(
    job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int, partial_image: bool = False
) -> Iterator[OnChipMemory]:
    """All that may be tried with ``kernel_bytes`` of kernels, most kept first. ``partial_image``:
    also an image beside kernels that are kept in part."""
    size, start = chip.vip_sram_bytes, sram.KERNEL_START
    image = legal.cached_image_bytes(legal.shape_of(job), tiles)
    end = max(legal.align(start + kernel_bytes, sram.ALIGNMENT), sram.KERNEL_END_MINIMUM)
    # An image that is read for one superblock only is never given a place.
    wanted = tiles.superblocks > 1
    rest = size - image
    if partial_image and wanted and sram.KERNEL_END_MINIMUM <= rest <= end:
        pattern = partial_pattern(job.output_size.channels)
        yield _ranges(Caching.PARTIAL, pattern, rest, image)
    if end < size:
        if wanted and end + image < size:
            yield _ranges(Caching.FULL, NO_PATTERN, end, image)
        yield _ranges(Caching.FULL, NO_PATTERN, end, 0)
    else:
        pattern = partial_pattern(job.output_size.channels)
        yield _ranges(Caching.PARTIAL, pattern, size, 0)


def _ranges(mode: Caching, pattern: tuple[int, int, int], end: int, image: int) -> OnChipMemory:
    start, image_start, image_end = sram.KERNEL_START, 0, sram.KERNEL_START
    if image >= sram.KERNEL_START:
        image_start, image_end = end, end + image
    kept = Caching.FULL if image else Caching.NONE
    return OnChipMemory(mode, kept, *pattern, start, end, image_start, image_end)
