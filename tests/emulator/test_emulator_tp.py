"""What the emulated TP does, against numpy and against counters that step one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault
from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Register
from lapilli.hw.tp import TP

Fields = dict[str, int]


def run(fields: Fields, source: np.ndarray, size: int, base: int = 0) -> np.ndarray:
    """The output buffer, ``base`` bytes in front of the output's address, after an instruction."""
    chip = find_by_name("a311d")
    assert chip is not None
    with EmulatedDevice(chip) as device:
        instruction, image, output = (device.alloc(n) for n in (256, source.size, size))
        image.data[:] = source.reshape(-1)
        words = TP.encode(
            in_image_base_address=image.address,
            out_image_base_address=output.address + base,
            **fields,
        )
        instruction.data[: 4 * len(words)] = np.array(words, np.uint32).view(np.uint8)
        start = [
            *LOAD_STATE.encode(address=Register.PS_TP_INST_ADDR, count=1),
            *INSTRUCTION_ADDRESS.encode(address=instruction.address),
        ]
        device.wait(device.submit(np.array(start, np.uint32), [instruction, image, output]))
        return output.data.copy()


def transpose(rows: int, columns: int, channels: int) -> Fields:
    """NHWC to planes."""
    return {
        "in_image_x_size": channels,
        "in_image_y_size": columns,
        "in_image_z_size": rows,
        "in_image_stride": channels,
        "in_image_slice": columns * channels,
        "in_window_x_end": channels - 1,
        "in_window_y_end": columns - 1,
        "in_tile_y_size": columns,
        "in_tile_y_inc": columns,
        "out_loop_0_count": columns,
        "out_loop_1_inc": rows * columns,
        "out_loop_1_count": channels,
        "out_loop_2_inc": columns,
        "out_loop_2_count": rows,
    }


def space_to_depth(rows: int, columns: int, channels: int, before: int, behind: int) -> Fields:
    """Planes to four planes each, with padding; sizes with padding must be even."""
    high, wide = (rows + before + behind) // 2, (columns + before + behind) // 2
    return {
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_z_size": channels,
        "in_image_stride": columns,
        "in_image_slice": rows * columns,
        "in_window_x_start": -before,
        "in_window_y_start": -before,
        "in_window_x_end": columns + behind - 1,
        "in_window_y_end": rows + behind - 1,
        "in_tile_x_size": 2 * wide,
        "in_tile_y_size": 2 * high,
        "in_tile_x_inc": 2 * wide,
        "in_tile_y_inc": 2 * high,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
        "out_loop_0_inc": wide * high,
        "out_loop_0_count": 2,
        "out_loop_1_inc": 1,
        "out_loop_1_count": wide,
        "out_loop_2_inc": 2 * wide * high,
        "out_loop_2_count": 2,
        "out_loop_3_inc": wide,
        "out_loop_3_count": high,
        "out_loop_6_inc": 4 * wide * high,
    }


def bytes_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


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


def test_overfetched_planes_are_border() -> None:
    image = bytes_of(2, 3, 4)
    fields = {
        "in_image_x_size": 4,
        "in_image_y_size": 3,
        "in_image_z_size": 2,
        "in_image_stride": 4,
        "in_image_slice": 12,
        "in_window_x_end": 3,
        "in_window_y_end": 2,
        "in_tile_x_size": 4,
        "in_tile_x_inc": 4,
        "in_tile_y_size": 3,
        "in_tile_y_inc": 3,
        "in_zp": 9,
        "out_zp": 9,
        "in_window_z_start_overfetch": 1,
        "in_window_z_end_overfetch": 2,
        "in_image_border_const": 3,
        "out_loop_0_count": 0,
    }
    expected = np.pad(image, ((1, 2), (0, 0), (0, 0)), constant_values=12)
    assert np.array_equal(run(fields, image, expected.size), expected.reshape(-1))


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


@settings(max_examples=200, deadline=None)
@given(moves())
def test_any_window_and_loops_equal_counters_that_step(case: tuple[Fields, np.ndarray]) -> None:
    fields, image = case
    expected = np.zeros(1 << 16, np.uint8)
    for offset, value in scalar(fields, image):
        expected[offset] = value
    assert np.array_equal(run(fields, image, len(expected)), expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alu_pwl_enable": 1}, r"alu_pwl_enable = 0x1 \(word 6 bit 27\); only 0x0 is emulated"),
        ({"alu_mult_enable": 1}, "alu_mult_enable"),
        ({"alu_nms_enable": 1}, "alu_nms_enable"),
        ({"in_tile_list_address": 64}, "in_tile_list_address"),
        ({"in_image_data_type": 2}, "in_image_data_type"),
        ({"out_brick_mode": 1}, "out_brick_mode"),
        ({"in_image_border_mode": 1}, "in_image_border_mode"),
        ({"in_tile_x_inc": 0}, "in_tile_x_inc = 0 .* allowed is 1 to 65535"),
        ({"in_image_z_size": 0}, "in_image_z_size = 0"),
        ({"in_window_x_start": 9}, "in_window_x_end = 3 .* the window may not be empty"),
        ({"in_image_slice": 1 << 20}, "leave the buffer of 24 bytes"),
        ({"out_loop_1_inc": 1 << 20}, "leave the buffer of 24 bytes"),
        ({"out_loop_1_inc": (1 << 32) - 8}, "output image .*: address .* is in"),
        ({"in_window_x_end": 60000, "in_window_y_end": 60000}, "at most 24 are written"),
    ],
)
def test_what_is_not_emulated_or_impossible_is_a_fault(change: Fields, text: str) -> None:
    with pytest.raises(Fault, match=text):
        run(transpose(2, 3, 4) | change, bytes_of(2, 3, 4), 24)
