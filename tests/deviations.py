"""The recordings that our programs can't equal, each with its reason and what ours have instead.

The recorded driver is wrong in most of them, and takes bytes from memory beyond its own buffers in
some. Everything that isn't listed here has to be equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deviation_checks import (
    only_filler_kernels_differ,
    same_kernels_in_blocks_of_six,
    same_kernels_in_other_superblocks,
)
from recorded_jobs import Differences, RecordedJob

SWAPPED_FIELDS = (
    ("in_image_x_size", "in_image_y_size"),
    ("in_image_x_stride", "in_image_y_stride"),
    ("out_image_x_size", "out_image_y_size"),
    ("out_image_x_stride", "out_image_y_stride"),
)
MOVE_SIZES = {
    *("in_image_x_size", "in_image_y_size", "in_image_base_address", "out_image_base_address"),
    *("in_window_x_start", "in_window_y_start", "in_window_x_end", "in_window_y_end"),
    *("in_tile_x_size", "in_tile_y_size", "in_tile_x_inc", "in_tile_y_inc"),
    *("out_loop_0_inc", "out_loop_1_count", "out_loop_2_inc", "out_loop_3_count"),
    *("out_loop_3_inc", "out_loop_6_inc"),
}
"""What follows from image size and padding in a space-to-depth instruction."""
WINDOW = {"in_window_x_start", "in_window_y_start", "in_window_x_end", "in_window_y_end"}
STARTS = {"in_window_x_start", "in_window_y_start"}
BASES = {"in_image_base_address", "out_image_base_address"}
PLANE_SIZES = {"out_loop_0_inc", "out_loop_2_inc", "out_loop_6_inc"}

Fields = dict[str, tuple[int, int]]
"""Field of an NN instruction -> (recorded, ours)."""


@dataclass(frozen=True)
class Deviation:
    """Why a recording can't be met, and what is expected instead.

    ``nn``: NN job -> fields that differ, beside those that ``tall`` swaps. ``tp``: names of the
    fields that differ in any of the TP jobs. ``kernels``: NN job whose coefficients differ -> what
    must hold for them; gets (chip, recording's name, job number).
    """

    reason: str
    nn: dict[int, Fields] = field(default_factory=dict)
    tp: frozenset[str] | set[str] = frozenset()
    tall: bool = False
    kernels: dict[int, Callable[[str, str, int], None]] = field(default_factory=dict)

    def fields(self, job: int, recorded: RecordedJob) -> Differences:
        """What is expected to differ in an NN job."""
        expected: Differences = {}
        for x, y in SWAPPED_FIELDS if self.tall else ():
            columns, rows = recorded.values[x], recorded.values[y]
            assert columns > rows, "not a recording of a tall image"
            expected |= {x: (columns, rows), y: (rows, columns)}
        return expected | self.nn.get(job, {})


SAME_ONE_PIXEL = "3x3 SAME with stride 2 on 2x2: the driver's offset is -1 (overview.md 6, M)"
TALL = "the driver swaps rows and columns of images taller than wide (overview.md 6, M)"
LARGE_KERNEL = "the driver's SAME knows no kernel above 5 (overview.md 6, M)"
PARITY = "SAME with stride 2, one side odd: the driver mixes up the sides (overview.md 6, M)"
ODD_SIDE = "SAME depthwise with stride 2 and an odd side: wrong offset (overview.md 6, M)"
TWO_BY_TWO = (
    "2x2 with stride 2 becomes 1x1, which the unit reads in groups of six channels; the driver "
    "writes it channel by channel (overview.md 6, V7 only)"
)
STRAY = "the driver read filler kernels from memory beyond its own (coefficients_v7.md 7.1)"
OFFSETS = ("in_image_x_offset", "in_image_y_offset")
IN_SIZES = tuple(name for pair in SWAPPED_FIELDS[:2] for name in pair)


def offsets(recorded: int, ours: int) -> Fields:
    return dict.fromkeys(OFFSETS, (recorded, ours))


def tile(recorded: tuple[int, int], ours: tuple[int, int]) -> Fields:
    """Tile sizes (columns, rows), of which equal ones are left out."""
    names = ("out_image_tile_x_size", "out_image_tile_y_size")
    pairs = zip(names, zip(recorded, ours, strict=True), strict=True)
    return {name: pair for name, pair in pairs if pair[0] != pair[1]}


def images(recorded: tuple[int, int], ours: tuple[int, int]) -> Fields:
    """Input sizes (columns, rows) and the strides that go with them."""
    return dict(zip(IN_SIZES, 2 * list(zip(recorded, ours, strict=True)), strict=True))


def tall(nn: dict[int, Fields], reason: str = TALL, **more: Any) -> Deviation:
    return Deviation(reason, nn, tall=True, **more)


DETECTOR = "models/ssdlite_mobiledet_coco_qat_postprocess.part0"
"""It holds ops/mobiledet82."""

A311D: dict[str, Deviation] = {
    "ops/mobiledet82": Deviation(SAME_ONE_PIXEL, {1: offsets(-1, 0)}),
    # Job 128 has 546 output channels.
    DETECTOR: Deviation(
        f"{SAME_ONE_PIXEL}; {STRAY}",
        {100: offsets(-1, 0), 128: {}},
        kernels={128: only_filler_kernels_differ},
    ),
    "models/mobilenet_v1_1.0_224_quant.part1": Deviation(
        STRAY, {1: {}}, kernels={1: only_filler_kernels_differ}
    ),
    "random/r12": tall({1: tile((32, 10), (10, 24))}),
    "random/r38": tall({1: tile((38, 24), (34, 24))}),
    "random/r53": tall({1: tile((30, 20), (21, 20))}),
    "random/r70": tall({1: tile((32, 19), (19, 22))}),
    "random/r73": tall(
        {1: {**tile((15, 11), (11, 15)), "kernels_per_core": (9, 7)}},
        kernels={1: same_kernels_in_other_superblocks},
    ),
    "random/r85": tall({0: tile((31, 10), (28, 10))}),
    "random/r86": tall({1: tile((24, 14), (14, 24))}),
    "random/r87": tall({0: tile((9, 2), (2, 9))}),
    "random/r33": tall({5: tile((6, 4), (4, 6))}, tp=MOVE_SIZES - STARTS - PLANE_SIZES),
    "random/r39": tall({5: tile((9, 1), (1, 8))}, tp=MOVE_SIZES - STARTS - PLANE_SIZES - BASES),
    "random/r13": Deviation(LARGE_KERNEL, {1: offsets(-2, -3)}),
    "random/r30": tall(
        {1: {**tile((11, 10), (10, 11)), **offsets(-2, -3)}}, f"{TALL}; {LARGE_KERNEL}"
    ),
    "random/r26": tall(
        {5: {**tile((19, 12), (13, 18)), **images((20, 14), (16, 22))}},
        f"{TALL}; {LARGE_KERNEL}",
        tp=MOVE_SIZES | {"in_image_z_size"},
    ),
    "random/r58": Deviation(
        LARGE_KERNEL, {5: images((17, 17), (19, 19))}, MOVE_SIZES - {"in_image_x_size"}
    ),
    "random/r72": Deviation(
        LARGE_KERNEL, {4: images((13, 9), (15, 11))}, MOVE_SIZES - {"in_image_y_size"}
    ),
    "random/r32": Deviation(PARITY, tp=WINDOW),
    "nonsquare/c3s2rgbodd": Deviation(
        PARITY, tp=WINDOW | {"in_image_x_size", "in_image_base_address"}
    ),
    "random/r84": Deviation(ODD_SIDE, {1: offsets(-1, -2)}),
    "nonsquare/d3s2_9x5": tall(
        {
            1: {
                **tile((10, 6), (6, 10)),
                **offsets(0, -1),
                "kernels_per_core": (16, 8),
                # Two superblocks read the image twice, so it is kept in the on-chip memory.
                "image_caching_mode": (0, 1),
                "kernel_cache_end_address": (13824, 14336),
                "image_cache_start_address": (0, 14336),
                "image_cache_end_address": (2048, 26624),
            }
        },
        f"{TALL}; {ODD_SIDE}",
        kernels={1: same_kernels_in_other_superblocks},
    ),
    "random/r67": Deviation(TWO_BY_TWO, {5: {}}, kernels={5: same_kernels_in_blocks_of_six}),
}

IMX8MP: dict[str, Deviation] = {
    "ops/mobiledet82": Deviation(SAME_ONE_PIXEL, {1: offsets(-1, 0)}),
    DETECTOR: Deviation(SAME_ONE_PIXEL, {90: offsets(-1, 0)}),
    "random/r12": tall({1: tile((32, 4), (10, 4))}),
    "random/r38": tall({1: tile((38, 4), (34, 4))}),
    "random/r53": tall({1: tile((30, 4), (21, 4))}),
    "random/r70": tall({1: tile((32, 4), (19, 4))}),
    "random/r73": tall({1: tile((15, 4), (11, 4))}),
    "random/r85": tall({0: tile((31, 4), (28, 4))}),
    "random/r86": tall({1: tile((24, 4), (14, 4))}),
    "random/r87": tall({0: tile((9, 2), (2, 4))}),
    "random/r33": tall({4: tile((6, 4), (4, 4))}, tp=MOVE_SIZES - STARTS - PLANE_SIZES),
    "random/r39": tall({4: tile((9, 1), (1, 4))}, tp=MOVE_SIZES - STARTS - PLANE_SIZES - BASES),
    "random/r13": Deviation(LARGE_KERNEL, {1: offsets(-2, -3)}),
    "random/r30": tall(
        {1: {**tile((11, 4), (10, 4)), **offsets(-2, -3)}}, f"{TALL}; {LARGE_KERNEL}"
    ),
    "random/r26": tall(
        {4: {**tile((19, 4), (13, 4)), **images((20, 14), (16, 22))}},
        f"{TALL}; {LARGE_KERNEL}",
        tp=MOVE_SIZES | {"in_image_z_size"},
    ),
    "random/r58": Deviation(
        LARGE_KERNEL,
        {4: images((17, 17), (19, 19))},
        MOVE_SIZES - {"in_image_x_size", "in_image_y_size", "in_image_base_address"},
    ),
    "random/r72": Deviation(
        LARGE_KERNEL, {3: images((13, 9), (15, 11))}, MOVE_SIZES - {"in_image_y_size"}
    ),
    "random/r32": Deviation(PARITY, tp=WINDOW),
    "nonsquare/c3s2rgbodd": Deviation(
        PARITY, tp=WINDOW | {"in_image_x_size", "in_image_base_address"}
    ),
    "random/r84": Deviation(ODD_SIDE, {1: offsets(-1, -2)}),
    "nonsquare/d3s2_9x5": tall(
        {
            1: {
                **tile((10, 4), (6, 4)),
                **offsets(0, -1),
                # Follows from the tile, though caching is off.
                "image_cache_end_address": (14080, 9984),
            }
        },
        f"{TALL}; {ODD_SIDE}",
    ),
}
"""The same but for what only V7 has: random/r67, and filler kernels for cores without a channel.
Tiles are never higher than four rows, so few superblocks differ."""

DEVIATIONS = {"a311d": A311D, "imx8mp": IMX8MP}
"""Recordings of which some words differ; see also ADDITIONS."""

ADDITIONS = (*(f"ops/mobiledet{n}" for n in (8, 14, 22, 32, 38, 60, 64, 68)), "random/add4")
"""Additions of two graph inputs: they run on NHWC bytes, and the driver then takes the sum for
planar and transposes it (overview.md 4.6, M). Ours leaves it where it belongs."""

ONLY_A311D = {"random/r18"}
"""Depthwise with fewer channels than cores: the recorded driver's V8 writer crashes
(coefficients_v8.md 5)."""
COUNTS = {"a311d": 153, "imx8mp": 152}
"""Recordings."""
