"""What an NN instruction has to do, each number worked out by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timing_numbers import COUNTED, TASK, chip

from lapilli.hw.chips import find_by_name
from lapilli.timing.coefficients import CoefficientStatistics
from lapilli.timing.nn import Axis, NnTask, nn_work, peak_weights, tiles_along, weight_cycles
from lapilli.timing.work import Work

INSTRUCTION_BYTES = 136


def work(task: NnTask = TASK, counted: CoefficientStatistics = COUNTED, **changed: object) -> Work:
    return nn_work(replace(task, **changed), counted, chip())  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ bytes


def test_a_tile_fetches_its_halo_but_nothing_outside_the_image() -> None:
    """Columns -1 to 8, 7 to 16 and 15 to 20 of 20; the last tile is narrower."""
    found = tiles_along(Axis(size=20, tile=8, offset=-1, kernel=3, image=20))
    assert asdict(found) == {"count": 3, "fetched": 9 + 10 + 5}


def test_one_tile_without_halo_fetches_the_image() -> None:
    found = tiles_along(Axis(size=14, tile=14, offset=0, kernel=1, image=14))
    assert asdict(found) == {"count": 1, "fetched": 14}


def test_the_input_is_fetched_for_every_tile_and_superblock() -> None:
    found = work()
    columns, rows = 9 + 10 + 5, 5 + 6 + 3
    assert (found.tiles, found.superblocks) == (9, 2)
    assert found.traffic.input == 2 * columns * rows * 16
    assert found.cached_input == 0 and found.image_sram is None


def test_a_cached_input_is_fetched_for_every_tile_once_and_read_on_chip_for_each_superblock() -> (
    None
):
    plain, cached = work(), work(image_sram=(0x1000, 0x2000))
    assert cached.traffic.input == plain.traffic.input // 2
    assert cached.cached_input == plain.traffic.input
    assert cached.image_sram == (0x1000, 0x2000)


@pytest.mark.parametrize(
    ("sram", "fetched"),
    [
        (None, 64 + 9 * 1000),
        ((0x800, 0x800 + 1024), 64 + 1000),
        ((0x800, 0x800 + 600), 64 + 1000 + 8 * 400),
        ((0x800, 0x800), 64 + 9 * 1000),
    ],
)
def test_coefficients_without_room_on_chip_are_fetched_for_every_tile(
    sram: tuple[int, int] | None, fetched: int
) -> None:
    found = work(kernel_sram=sram)
    assert found.tiles == 9
    assert found.traffic.coefficients == fetched
    assert found.kernel_sram == sram


def test_the_output_is_stored_once() -> None:
    found = work()
    assert found.traffic.output == 20 * 10 * 64
    assert found.traffic.instruction == INSTRUCTION_BYTES
    assert found.traffic.total == sum(asdict(found.traffic).values())


def test_first_pixel_pooling_computes_four_times_what_it_stores() -> None:
    found = work(first_pixel=True)
    assert found.traffic.output == 10 * 5 * 64
    assert found.macs_dense == 64 * 9 * 16 * 200
    assert found.macs_useful == 100 * 50
    assert found.rows == 10 * 3


def test_a_native_depthwise_kernel_reads_its_own_channel_only() -> None:
    """However many superblocks there are, each plane belongs to one of them."""
    found = work(native_depthwise=True)
    assert found.superblocks == 2
    assert found.traffic.input == work().traffic.input // 2
    assert found.macs_dense == 64 * 9 * 200
    assert found.dense_weights == 64 * 9


# ------------------------------------------------------------------------------- coefficients, rows


def test_rows_of_narrow_tiles_count_each() -> None:
    """Ten rows in three columns of tiles."""
    assert work().rows == 30


def test_zero_runs_are_tokens_that_apply_no_weight() -> None:
    assert work().zero_tokens == (20, 30)
    assert work(counted=replace(COUNTED, zero_run_bits=0)).zero_tokens == (0, 0)


@pytest.mark.parametrize(
    ("rows", "columns", "name", "cycles"),
    [
        (1, 1, "a311d", Fraction(1, 3)),
        (2, 2, "a311d", Fraction(1, 4)),
        (3, 3, "a311d", Fraction(2, 9)),
        (5, 5, "a311d", Fraction(6, 25)),
        (3, 3, "imx8mp", Fraction(1, 3)),
        (3, 3, "vipnano-qi-7004", Fraction(1)),
    ],
)
def test_a_core_takes_patches_of_two_rows_by_three_columns_or_three_channels(
    rows: int, columns: int, name: str, cycles: Fraction
) -> None:
    found = find_by_name(name) or replace(chip(), features=frozenset())
    assert weight_cycles(rows, columns, found) == cycles


def test_no_kernel_is_applied_faster_than_at_the_peak() -> None:
    assert [peak_weights(chip(name)) for name in ("a311d", "imx8mp")] == [6, 3]
    for name in ("a311d", "imx8mp"):
        least = min(weight_cycles(r, c, chip(name)) for r in range(1, 12) for c in range(1, 12))
        assert least >= Fraction(1, peak_weights(chip(name)))
    assert peak_weights(replace(chip(), features=frozenset())) == 1


# -------------------------------------------------------------------------------------- in general


@given(st.integers(1, 200), st.integers(1, 64), st.integers(-4, 0), st.integers(1, 9))
@settings(max_examples=150)
def test_tiles_fetch_no_less_than_one_tile_does(
    size: int, tile: int, offset: int, kernel: int
) -> None:
    whole = tiles_along(Axis(size, size, offset, kernel, size))
    tiled = tiles_along(Axis(size, tile, offset, kernel, size))
    assert whole.fetched <= tiled.fetched <= whole.fetched + (tiled.count - 1) * (kernel - 1)


@given(st.integers(1, 20), st.integers(1, 10), st.integers(0, 2000), st.booleans())
@settings(max_examples=100)
def test_on_chip_memory_never_adds_traffic(columns: int, rows: int, kept: int, image: bool) -> None:
    task = replace(
        TASK, columns=replace(TASK.columns, tile=columns), rows=replace(TASK.rows, tile=rows)
    )
    cached = work(task, kernel_sram=(0x800, 0x800 + kept), image_sram=(0, 0x800) if image else None)
    assert cached.traffic.total <= work(task).traffic.total
