"""Layout changes on the TP cores: every byte once, at its place, none outside the buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tp_by_hand import run_moves, space_to_depth

from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import ImageSize, TpInstruction
from lapilli.hw.tp import TP

SIDES = st.integers(1, 20)
CHANNELS = st.sampled_from([1, 2, 3, 4, 5, 8, 17])
CORES = st.integers(1, 6)
ZERO_POINT = 77


def values_of(instructions: Sequence[TpInstruction]) -> list[Mapping[str, int]]:
    """As a chip reads them; source and target at address 0."""
    found = []
    for instruction in instructions:
        values = TP.decode(TP.encode(**instruction.fields))
        values["in_image_base_address"] = instruction.source_offset
        values["out_image_base_address"] = instruction.target_offset
        found.append(values)
    return found


def run(
    instructions: Sequence[TpInstruction], image: NDArray[np.uint8], size: int
) -> NDArray[np.int64]:
    last = len(instructions) - 1
    flushes = [instruction.fields.get("no_flush", 0) for instruction in instructions]
    assert flushes == [int(core < last) for core in range(last + 1)]
    return run_moves(values_of(instructions), image, 0, 0, size)


def random_image(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@given(SIDES, SIDES, CHANNELS)
def test_transposes_and_back(rows: int, columns: int, channels: int) -> None:
    image, size = random_image(rows, columns, channels), ImageSize(columns, rows, channels)
    planar = run(moves.to_planar(size, ZERO_POINT), image, image.size)
    assert np.array_equal(planar.reshape(channels, rows, columns), image.transpose(2, 0, 1))
    back = run(moves.from_planar(size, ZERO_POINT), planar.astype(np.uint8), image.size)
    assert np.array_equal(back.reshape(image.shape), image)


def test_back_where_a_row_of_all_channels_is_too_long_for_its_field() -> None:
    size = ImageSize(300, 2, 300)
    image = random_image(300, 2, 300)
    back = run(moves.from_planar(size, ZERO_POINT), image, image.size)
    assert np.array_equal(back.reshape(2, 300, 300), image.transpose(1, 2, 0))


@settings(max_examples=200)
@given(SIDES, SIDES, CHANNELS, CORES, st.integers(0, 4), st.integers(0, 4), st.integers(0, 3))
def test_space_to_depth(
    rows: int, columns: int, channels: int, cores: int, top: int, left: int, more: int
) -> None:
    image = random_image(channels, rows, columns)
    made_rows, made_columns = -(-(rows + top) // 2) + more, -(-(columns + left) // 2) + more
    geometry = moves.SpaceToDepth(
        ImageSize(columns, rows, channels),
        ImageSize(made_columns, made_rows, 4 * channels),
        top,
        left,
    )
    instructions = moves.space_to_depth(geometry, cores, ZERO_POINT)
    assert 1 <= len(instructions) <= cores
    wanted = space_to_depth(image, made_rows, made_columns, (top, left), ZERO_POINT)
    result = run(instructions, image, wanted.size)
    assert np.array_equal(result.reshape(wanted.shape), wanted)


@given(SIDES, SIDES, CHANNELS, CORES, st.tuples(*4 * [st.integers(0, 5)]))
def test_padding(
    rows: int, columns: int, channels: int, cores: int, amounts: tuple[int, int, int, int]
) -> None:
    image, (top, bottom, left, right) = random_image(channels, rows, columns), amounts
    sides = (left, right), (top, bottom), (0, 0)
    instructions = moves.pad((columns, rows, channels), sides, cores, 9)
    wanted = np.pad(image, ((0, 0), (top, bottom), (left, right)), constant_values=9)
    result = run(instructions, image, wanted.size)
    assert np.array_equal(result.reshape(wanted.shape), wanted)


@settings(max_examples=60)
@example(257, 257, 257)
@example(1, 1, 1)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300))
def test_copies_write_no_byte_more(rows: int, columns: int, channels: int) -> None:
    """257x257x257 has no width and height that both fit 16 bits."""
    size = rows * columns * channels
    (values,) = values_of(moves.copy(size))
    sides = [values[f"in_image_{axis}_size"] for axis in "xyz"]
    assert np.prod(sides) == size
    if size < 1 << 20:
        image = random_image(size)
        assert np.array_equal(run(moves.copy(size), image, size), image)


@settings(max_examples=200)
@given(SIDES, SIDES, CHANNELS, CORES, st.integers(0, 1), st.integers(0, 4))
def test_nhwc_to_parities_at_once(
    rows: int, columns: int, channels: int, cores: int, top: int, left: int
) -> None:
    """With a border in front, and one behind where that makes the extents even."""
    image, size = random_image(rows, columns, channels), ImageSize(columns, rows, channels)
    half = moves.halved(size, top, left)
    instructions = moves.to_parities(size, ZERO_POINT, cores, top, left)
    assert 1 <= len(instructions) <= cores
    wanted = space_to_depth(
        image.transpose(2, 0, 1), half.rows, half.columns, (top, left), ZERO_POINT
    )
    result = run(instructions, image, wanted.size)
    assert np.array_equal(result.reshape(wanted.shape), wanted)
