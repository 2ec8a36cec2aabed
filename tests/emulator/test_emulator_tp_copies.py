"""Copies by the emulated TP: parts of an image, every nth row, two images interleaved."""

from __future__ import annotations

import numpy as np
import pytest
from tp_job import bytes_of, copy, run


def window(top: int, left: int, rows: int, columns: int) -> dict[str, int]:
    """That part of an image, in one tile."""
    return {
        "in_window_x_start": left,
        "in_window_y_start": top,
        "in_window_x_end": left + columns - 1,
        "in_window_y_end": top + rows - 1,
        "in_tile_x_size": columns,
        "in_tile_x_inc": columns,
        "in_tile_y_size": rows,
        "in_tile_y_inc": rows,
    }


@pytest.mark.parametrize(
    ("top", "left", "rows", "columns"), [(0, 0, 6, 9), (2, 3, 4, 5), (5, 8, 1, 1), (0, 7, 6, 2)]
)
def test_a_window_inside_the_image_is_a_slice(top: int, left: int, rows: int, columns: int) -> None:
    image = bytes_of(3, 6, 9)
    found = run(copy(3, 6, 9) | window(top, left, rows, columns), image, 3 * rows * columns)
    expected = image[:, top : top + rows, left : left + columns]
    assert np.array_equal(found, expected.reshape(-1))


@pytest.mark.parametrize(("down", "across"), [(1, 2), (2, 1), (2, 3), (7, 4)])
def test_steps_above_the_tile_pick_rows_and_columns(down: int, across: int) -> None:
    image = bytes_of(2, 7, 8)
    fields = copy(2, 7, 8) | {
        "in_tile_x_size": 1,
        "in_tile_y_size": 1,
        "in_tile_x_inc": across,
        "in_tile_y_inc": down,
    }
    expected = image[:, ::down, ::across]
    assert np.array_equal(run(fields, image, expected.size), expected.reshape(-1))


def test_a_longer_stride_picks_rows_without_steps() -> None:
    image = bytes_of(21, 5)
    fields = copy(1, 3, 5) | {"in_image_stride": 7 * 5}
    assert np.array_equal(run(fields, image, 15), image[::7].reshape(-1))


def test_tiles_that_overlap_read_twice() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(1, 1, 6)
    fields = copy(1, 1, 6) | {"in_tile_x_size": 3, "in_tile_x_inc": 2}
    assert run(fields, image, 8).tolist() == [0, 1, 2, 2, 3, 4, 4, 5]


def test_an_output_stride_leaves_room_for_another_image() -> None:
    """Two operands side by side on the last axis: each is written with the sum's stride."""
    first, second = bytes_of(4, 3), bytes_of(4, 2)[::-1]
    together = np.zeros(20, np.uint8)
    for part, base in ((first, 0), (second, 3)):
        rows, columns = part.shape
        fields = copy(1, rows, columns) | {
            "out_loop_0_inc": 1,
            "out_loop_0_count": columns,
            "out_loop_1_inc": 5,
            "out_loop_1_count": rows,
        }
        found = run(fields, part, 20, base)
        together = np.maximum(together, found)
    expected = np.concatenate([first, second], axis=1)
    assert np.array_equal(together, expected.reshape(-1))


def test_an_increment_of_zero_keeps_the_last_value() -> None:
    image = np.arange(1, 6, dtype=np.uint8)
    fields = copy(1, 1, 5) | {"out_loop_0_inc": 0}
    assert run(fields, image, 6).tolist() == [5, 0, 0, 0, 0, 0]


def test_an_image_without_planes_moves_nothing() -> None:
    assert not run(copy(0, 2, 3), bytes_of(6) | 1, 6).any()
