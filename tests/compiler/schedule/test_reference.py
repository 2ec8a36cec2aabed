"""Where the reference schedule, which is the recorded driver's, changes its mind: the edges.

Source: the hardware notes on on-chip memory. Recorded models lie on neither side of an edge by one.
"""

from __future__ import annotations

import hand_graphs
import pytest
from rule_checks import chip
from scheduled_parts import scheduled_parts

from lapilli.compiler.emit import ScheduledNn
from lapilli.compiler.jobs import NnJob
from lapilli.compiler.schedule import Tiling, legal
from lapilli.compiler.schedule.reference import on_chip_memory, partial_pattern
from lapilli.hw import sram
from lapilli.hw.nn import Caching

CHIP = chip()
SIZE = CHIP.vip_sram_bytes
TILES = Tiling(8, 8, 2)
"""Several superblocks, so that the image is kept too."""


def convolution() -> NnJob:
    (part,) = scheduled_parts(hand_graphs.convolution(outputs=16), CHIP, "reference")
    return next(item.job for item in part.jobs if isinstance(item, ScheduledNn))


JOB = convolution()
IMAGE = legal.cached_image_bytes(legal.shape_of(JOB), TILES)
ROOM = SIZE - sram.KERNEL_START - IMAGE
"""Bytes that start, image and kernels leave nothing of."""


@pytest.mark.parametrize(
    ("kernels", "mode"),
    [(ROOM - 1, Caching.FULL), (ROOM, Caching.PARTIAL), (ROOM + 1, Caching.PARTIAL)],
)
def test_kernels_that_fill_the_memory_to_the_last_byte_are_kept_in_part(
    kernels: int, mode: Caching
) -> None:
    memory = on_chip_memory(JOB, CHIP, TILES, kernels)
    assert (memory.kernel_caching_mode, memory.image_caching_mode) == (mode, Caching.FULL)
    assert IMAGE < sram.KERNEL_START, "it lies in front of the kernels"
    assert memory.image_cache_end_address == sram.KERNEL_START
    assert memory.kernel_cache_end_address == SIZE - IMAGE


@pytest.mark.parametrize(("less", "image"), [(1, True), (0, False)])
def test_no_image_is_kept_beside_kernels_that_fill_it_alone(less: int, image: bool) -> None:
    memory = on_chip_memory(JOB, CHIP, TILES, SIZE - sram.KERNEL_START - less)
    assert memory.kernel_caching_mode == Caching.PARTIAL
    assert memory.image_caching_mode == (Caching.FULL if image else Caching.NONE)
    assert memory.kernel_cache_end_address == (SIZE - IMAGE if image else SIZE)


def test_one_superblock_reads_the_image_once_so_it_is_not_kept() -> None:
    for kernels, mode in ((ROOM + IMAGE - 1, Caching.FULL), (ROOM + IMAGE, Caching.PARTIAL)):
        memory = on_chip_memory(JOB, CHIP, Tiling(8, 8, 1), kernels)
        assert (memory.kernel_caching_mode, memory.image_caching_mode) == (mode, Caching.NONE)
        assert memory.kernel_cache_end_address == SIZE


def test_few_kernels_are_given_a_least_range() -> None:
    for kernels, end in ((0x80, 0xA00), (0x200, 0xA00), (0x201, 0xA80)):
        assert on_chip_memory(JOB, CHIP, TILES, kernels).kernel_cache_end_address == end


@pytest.mark.parametrize(
    ("channels", "msb"),
    [
        *((1, 0x3F), (159, 0x3F), (160, 0x06), (255, 0x06), (256, 0x3E), (511, 0x3E)),
        *((512, 0x3D), (1023, 0x3D), (1024, 0x13), (16383, 0x13)),
    ],
)
def test_which_kernels_stay_depends_on_their_number(channels: int, msb: int) -> None:
    assert partial_pattern(channels)[0] == msb
