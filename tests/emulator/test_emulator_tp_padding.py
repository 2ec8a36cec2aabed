"""Padding by the emulated TP, in every order of bytes that a padding has been recorded in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tp_job import Fields, bytes_of, copy, run

ZERO_POINT = 117
Amounts = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""(before, behind) of the axes in memory order."""


def padding(shape: Sequence[int], amounts: Amounts) -> Fields:
    """Bytes [z, y, x]: x and y by a window beyond the image, z by over-fetched planes."""
    planes, rows, columns = shape
    (z_before, z_behind), (y_before, y_behind), (x_before, x_behind) = amounts
    high, wide = rows + y_before + y_behind, columns + x_before + x_behind
    return copy(planes, rows, columns) | {
        "in_window_x_start": -x_before,
        "in_window_y_start": -y_before,
        "in_window_x_end": columns + x_behind - 1,
        "in_window_y_end": rows + y_behind - 1,
        "in_tile_x_size": wide,
        "in_tile_x_inc": wide,
        "in_tile_y_size": high,
        "in_tile_y_inc": high,
        "in_window_z_start_overfetch": z_before,
        "in_window_z_end_overfetch": z_behind,
        "out_loop_0_inc": 0,
        "out_loop_0_count": 1,
        "out_loop_1_inc": 1,
        "out_loop_1_count": wide,
        "out_loop_2_inc": wide,
        "out_loop_2_count": high,
        "out_loop_6_inc": wide * high,
        "in_zp": ZERO_POINT,
        "out_zp": ZERO_POINT,
    }


AMOUNTS: tuple[Amounts, ...] = (
    ((0, 0), (1, 1), (1, 1)),
    ((0, 0), (0, 1), (0, 1)),
    ((0, 0), (1, 0), (1, 0)),
    ((0, 0), (5, 9), (0, 3)),
    ((1, 1), (1, 1), (0, 0)),
    ((1, 0), (0, 2), (2, 0)),
    ((0, 1), (2, 0), (0, 0)),
    ((3, 3), (2, 2), (2, 2)),
)


@pytest.mark.parametrize("amounts", AMOUNTS)
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 1, 1), (2, 1, 7)])
def test_padding_puts_the_zero_point_around(shape: tuple[int, ...], amounts: Amounts) -> None:
    """Planar images pad x and y; NHWC bytes are [row, column, channel], whose rows are planes."""
    image = bytes_of(*shape)
    expected = np.pad(image, amounts, constant_values=ZERO_POINT)
    found = run(padding(shape, amounts), image, expected.size)
    assert np.array_equal(found, expected.reshape(-1))


def test_rows_of_pixels_as_rows_of_one_plane_need_no_over_fetch() -> None:
    image = bytes_of(3, 4, 5)
    rows = ((0, 0), (2, 3), (0, 0))
    found = run(padding((1, 3, 20), rows), image, 8 * 20)
    expected = np.pad(image, ((2, 3), (0, 0), (0, 0)), constant_values=ZERO_POINT)
    assert np.array_equal(found, expected.reshape(-1))


@pytest.mark.parametrize(("constant", "expected"), [(0, 117), (3, 120), (138, 255), (200, 255)])
def test_the_border_constant_counts_from_the_zero_point(constant: int, expected: int) -> None:
    fields = padding((1, 1, 1), ((1, 2), (0, 0), (0, 0))) | {"in_image_border_const": constant}
    image = np.array([50], np.uint8)
    assert run(fields, image, 4).tolist() == [expected, 50, expected, expected]


def test_a_window_of_which_the_image_has_nothing_is_all_border() -> None:
    fields = padding((1, 2, 2), ((0, 0), (0, 0), (0, 0))) | {
        "in_window_y_start": 2,
        "in_window_y_end": 3,
    }
    assert (run(fields, bytes_of(4), 4) == ZERO_POINT).all()


def test_cores_that_share_the_planes_pad_at_the_two_ends_only() -> None:
    image = bytes_of(5, 2, 3)
    parts = [((1, 0), image[:2]), ((0, 0), image[2:4]), ((0, 1), image[4:])]
    found = [
        run(
            padding(part.shape, (planes, (1, 1), (0, 2))),
            part,
            (len(part) + sum(planes)) * 4 * 5,
        )
        for planes, part in parts
    ]
    expected = np.pad(image, ((1, 1), (1, 1), (0, 2)), constant_values=ZERO_POINT)
    assert np.array_equal(np.concatenate(found), expected.reshape(-1))
