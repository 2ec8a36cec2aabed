"""The order in which the emulated TP reads and writes, against numpy and counters that step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tp_job import Fields, bytes_of, run, space_to_depth, transpose


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 7, 3), (14, 14, 64), (5, 1, 9)])
def test_transpose_makes_planes(shape: tuple[int, int, int]) -> None:
    image = bytes_of(*shape)
    found = run(transpose(*shape), image, image.size)
    assert np.array_equal(found, image.transpose(2, 0, 1).reshape(-1))


@pytest.mark.parametrize(("before", "behind"), [(0, 0), (1, 1), (0, 2), (2, 0)])
def test_space_to_depth_pads_with_the_zero_point(before: int, behind: int) -> None:
    image = bytes_of(3, 8, 6)
    fields = space_to_depth(8, 6, 3, before, behind) | {"in_zp": 77, "out_zp": 77}
    around = ((0, 0), (before, behind), (before, behind))
    padded = np.pad(image, around, constant_values=77)
    expected = np.stack([padded[:, y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=1)
    assert np.array_equal(run(fields, image, expected.size), expected.reshape(-1))


def test_zero_points_that_differ_shift_and_clamp() -> None:
    image = bytes_of(6, 5, 4)
    fields = transpose(6, 5, 4) | {"in_zp": 100, "out_zp": 150}
    expected = np.clip(image.astype(int) + 50, 0, 255).transpose(2, 0, 1).reshape(-1)
    assert np.array_equal(run(fields, image, image.size), expected)


def test_an_increment_above_two_gigabytes_steps_back() -> None:
    image = bytes_of(8)
    fields = transpose(1, 1, 8) | {"out_loop_0_inc": (1 << 32) - 1, "out_loop_0_count": 0}
    assert np.array_equal(run(fields, image, 8, base=7), image[::-1])


def scalar(fields: Fields, image: np.ndarray) -> list[tuple[int, int]]:
    """(output offset, byte) of every element, by counters that step one by one."""
    counts = [fields[f"out_loop_{k}_count"] for k in range(6)]
    increments = [fields[f"out_loop_{k}_inc"] for k in range(7)]
    index = [0] * 7
    carried = 0
    written = []

    def step(loop: int) -> int:
        """Step a loop; the first loop that was not wrapped."""
        index[loop] += 1
        if loop < 6 and counts[loop] and index[loop] == counts[loop]:
            index[loop] = 0
            return step(loop + 1)
        return loop

    def reset(loop: int) -> None:
        nonlocal carried
        if fields[f"out_loop_{loop}_reset"] and carried <= loop:
            index[: loop + 1] = [0] * (loop + 1)
            carried = step(loop + 1)

    x_end, y_end = fields["in_window_x_end"], fields["in_window_y_end"]
    high, wide = fields["in_tile_y_size"], fields["in_tile_x_size"]
    for z in range(fields["in_image_z_size"]):
        for top in range(fields["in_window_y_start"], y_end + 1, fields["in_tile_y_inc"]):
            for left in range(fields["in_window_x_start"], x_end + 1, fields["in_tile_x_inc"]):
                for y in range(top, min(top + high, y_end + 1)):
                    for x in range(left, min(left + wide, x_end + 1)):
                        inside = 0 <= x < image.shape[2] and 0 <= y < image.shape[1]
                        value = int(image[z, y, x]) if inside else fields["in_zp"]
                        offset = sum(i * n for i, n in zip(index, increments, strict=True))
                        written.append((offset, value))
                        carried = step(0)
                    reset(1)
                reset(2)
        reset(3)
    return written


@st.composite
def moves(draw: st.DrawFn) -> tuple[Fields, np.ndarray]:
    z, y, x = (draw(st.integers(1, 4)) for _ in range(3))
    small = st.integers(1, 5)
    fields = {
        "in_image_x_size": x,
        "in_image_y_size": y,
        "in_image_z_size": z,
        "in_image_stride": x,
        "in_image_slice": x * y,
        "in_window_x_start": draw(st.integers(-2, 1)),
        "in_window_y_start": draw(st.integers(-2, 1)),
        "in_window_x_end": draw(st.integers(1, 5)),
        "in_window_y_end": draw(st.integers(1, 5)),
        "in_tile_x_size": draw(small),
        "in_tile_y_size": draw(small),
        "in_tile_x_inc": draw(small),
        "in_tile_y_inc": draw(small),
        "in_zp": 40,
        "out_zp": 40,
    }
    for k in range(7):
        fields[f"out_loop_{k}_inc"] = draw(st.integers(0, 6))
    for k in range(6):
        fields[f"out_loop_{k}_count"] = draw(st.integers(0, 4))
    for k in (1, 2, 3):
        fields[f"out_loop_{k}_reset"] = draw(st.integers(0, 1))
    return fields, np.arange(x * y * z, dtype=np.uint8).reshape(z, y, x) + 50


@settings(max_examples=200)
@given(moves())
def test_any_window_and_loops_equal_counters_that_step(case: tuple[Fields, np.ndarray]) -> None:
    fields, image = case
    expected = np.zeros(1 << 16, np.uint8)
    for offset, value in scalar(fields, image):
        expected[offset] = value
    assert np.array_equal(run(fields, image, len(expected)), expected)
