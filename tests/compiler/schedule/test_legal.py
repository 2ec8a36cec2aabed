"""No schedule chooses what recorded drivers never did: every emitted NN instruction is held against
the limits, and the limits against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from digests import CHIPS
from rule_checks import chip
from shared_data import shared_data

from lapilli.compiler.generations import generation_of
from lapilli.compiler.per_channel import FAST_WAY
from lapilli.compiler.schedule import OnChipMemory, Tiling, legal
from lapilli.compiler.schedule.legal import Shape
from lapilli.compiler.stages import SCHEDULES, CompileOptions, compile_graph
from lapilli.errors import ModelError
from lapilli.hw import nn
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching
from lapilli.model import tflite
from lapilli.model.graph import Convolution, Graph
from lapilli.program.program import Job, Part

A311D = chip("a311d")
ROUNDED_FAST = CompileOptions(per_channel=FAST_WAY)
"""How well weights are rounded does not count here."""
MEMORY = OnChipMemory(
    kernel_caching_mode=Caching.FULL,
    image_caching_mode=Caching.NONE,
    kernel_pattern_msb=0,
    kernel_pattern_low=0,
    kernel_pattern_high=0,
    kernel_cache_start_address=0x800,
    kernel_cache_end_address=0x1000,
    image_cache_start_address=0,
    image_cache_end_address=0x800,
)


def cached_bytes(part: Part, job: Job, on: Chip) -> int:
    """What the cores' streams of a V7 buffer take in the on-chip memory, from its header."""
    assert job.coefficients is not None
    data = part.buffers[1].data
    assert data is not None
    sizes = data[job.coefficients[0] :][: 4 * on.nn_cores].view(np.uint32)
    return int(sizes.max()) * int(np.count_nonzero(sizes))


def complaints_about(part: Part, graph: Graph, on: Chip) -> Iterator[str]:
    """What is not legal in a part's instructions, each with its job."""
    generation = generation_of(on)
    instructions = part.buffers[0].data
    assert instructions is not None
    strides = {
        operator.index: operator.options.stride_rows
        for operator in graph.operators
        if isinstance(operator.options, Convolution)
    }
    for job in part.jobs:
        if job.unit != "NN":
            continue
        words = instructions[job.offset : job.offset + 4 * nn.WORDS].view(np.uint32).tolist()
        found = generation.layout.decode(words)
        channels = found["out_image_z_size"]
        shape = Shape(
            kernel_rows=found["kernel_y_size"],
            kernel_columns=found["kernel_x_size"],
            input_channels=found["kernel_z_size"],
            output_channels=channels,
            strided=strides.get(job.operator, 1) > 1,
            first_pixel=found["pooling"] == nn.Pooling.FIRST_PIXEL,
        )
        per_core = -(-channels // on.nn_cores)
        tiles = Tiling(
            found["out_image_tile_x_size"],
            found["out_image_tile_y_size"],
            -(-per_core // found["kernels_per_core"]),
        )
        memory = OnChipMemory(**{field.name: found[field.name] for field in fields(OnChipMemory)})
        size = cached_bytes(part, job, on) if generation.limits.caching else 0
        for complaint in legal.complaints(generation.limits, shape, tiles, memory, size, on):
            yield f"operator {job.operator}: {complaint}"


def models(folder: str) -> list[Path]:
    return sorted((shared_data() / "models" / folder).glob("*.tflite"))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("folder", ["ops", "random", "nonsquare", "."])
def test_every_emitted_instruction_is_legal(folder: str, schedule: str, name: str) -> None:
    checked = 0
    for path in models(folder):
        graph = tflite.load(path)
        try:
            program = compile_graph(graph, chip(name), schedule, options=ROUNDED_FAST)
        except ModelError:
            continue
        for part in program.parts:
            assert not list(complaints_about(part, graph, chip(name))), path.stem
            checked += sum(job.unit == "NN" for job in part.jobs)
    assert checked >= 6


def judged(shape: Shape, tiles: Tiling, on: str = "a311d", **memory: int) -> list[str]:
    limits = generation_of(chip(on)).limits
    return list(legal.complaints(limits, shape, tiles, replace(MEMORY, **memory), 0x700, chip(on)))


DENSE = Shape(3, 3, 16, 64, strided=False, first_pixel=False)
POOLED = replace(DENSE, strided=True, first_pixel=True)
POINTWISE = replace(DENSE, kernel_rows=1, kernel_columns=1, output_channels=8 * 22)


@pytest.mark.parametrize(
    ("shape", "tiles", "expected"),
    [
        (DENSE, Tiling(64, 6, 1), []),
        (DENSE, Tiling(65, 6, 1), ["a tile of 65 columns"]),
        (DENSE, Tiling(0, 6, 1), ["a tile of 0 columns"]),
        # 12 lines of input, of which 2 are the kernel's reach.
        (DENSE, Tiling(64, 10, 2), []),
        (DENSE, Tiling(64, 11, 2), ["a tile of 11 rows, 64 columns wide"]),
        # Two narrow lines share one of the buffer.
        (DENSE, Tiling(32, 22, 2), []),
        (DENSE, Tiling(32, 23, 2), ["a tile of 23 rows, 32 columns wide"]),
        # 64 lines of results: 6 kernels of 10 rows.
        (DENSE, Tiling(64, 10, 1), ["8 kernels a core at once, 6 fit"]),
        # 8 kernels a core are done in 3, 3 and 2; in 5 groups the fifth would be empty.
        (DENSE, Tiling(64, 6, 3), []),
        (DENSE, Tiling(64, 6, 5), ["an empty superblock of 5 for 64 kernels"]),
        (POOLED, Tiling(64, 6, 1), []),
        (POOLED, Tiling(63, 6, 1), ["pooling in a tile of 63x6"]),
        (POOLED, Tiling(64, 5, 1), ["a tile of 5 rows, 64 columns wide"]),
        (POINTWISE, Tiling(64, 2, 2), []),
        (POINTWISE, Tiling(64, 2, 1), ["22 kernels a core at once, 21 fit"]),
    ],
)
def test_tiles_of_the_a311d(shape: Shape, tiles: Tiling, expected: list[str]) -> None:
    assert judged(shape, tiles) == expected


def test_v8_has_low_tiles_and_caches_nothing() -> None:
    off = {"kernel_caching_mode": Caching.NONE}
    dense = replace(DENSE, output_channels=48)
    assert judged(dense, Tiling(64, 4, 1), "imx8mp", **off) == []
    assert judged(dense, Tiling(64, 5, 1), "imx8mp", **off) == ["a tile of 5 rows, 64 columns wide"]
    assert judged(dense, Tiling(64, 4, 1), "imx8mp") == ["caching modes (1, 0)"]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({}, []),
        ({"kernel_cache_end_address": 0xE80}, "1792 bytes of kernels at (2048, 3712)"),
        ({"kernel_cache_start_address": 0x780}, "kernels at (1920, 4096) of"),
        ({"kernel_cache_end_address": A311D.vip_sram_bytes + 128}, "kernels at (2048, "),
        ({"image_caching_mode": Caching.FULL}, "8448 bytes of image at (0, 2048) of"),
        (
            {
                "image_caching_mode": Caching.FULL,
                "image_cache_start_address": 0xF80,
                "image_cache_end_address": 0x4000,
            },
            "image at (3968, 16384) over kernels at (2048, 4096)",
        ),
        (
            {
                "image_caching_mode": Caching.FULL,
                "image_cache_start_address": 0x1000,
                "image_cache_end_address": 0x4000,
            },
            [],
        ),
        (
            {"kernel_caching_mode": Caching.PARTIAL, "kernel_cache_end_address": 0},
            "kernels at (2048, 0), 8448 bytes of image",
        ),
    ],
)
def test_ranges_of_the_on_chip_memory(memory: dict[str, int], expected: str | list[str]) -> None:
    """64x6 pixels with a reach of 2: 66 * 8 = 528 pixels of 16 channels."""
    found = judged(DENSE, Tiling(64, 6, 1), **memory)
    assert found == expected if isinstance(expected, list) else found[0].startswith(expected)


def test_only_whole_rounds_of_kernels_may_be_followed() -> None:
    assert [legal.may_be_followed(n, A311D) for n in (1, 7, 8, 9, 16, 20)] == [
        True, True, True, False, True, False,
    ]  # fmt: skip
