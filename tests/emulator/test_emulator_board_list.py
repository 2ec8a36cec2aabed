"""Two groups of an older driver's jobs that a public list knows to fail on a chip.

What the emulator makes of them says why. The instructions follow that driver's rules for taking an
image apart into four for a convolution with stride 2 (space to depth).
"""

from __future__ import annotations

import numpy as np
import pytest
from tp_job import ADDRESSES, IMAGE, OUTPUT, Fields, bytes_of, job

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name

CORES = 4
ZERO_POINT = 77


@pytest.fixture
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


def three_by_three(core: int, planes: int) -> Fields:
    """VALID, an image of 3x3: the driver's sizes would be 0 there, and what it does instead goes to
    the input's address."""
    return {
        "in_image_x_size": 3,
        "in_image_y_size": 3,
        "in_image_z_size": planes,
        "in_image_stride": 3,
        "in_image_slice": 9,
        "in_window_x_end": 3,
        "in_window_y_end": 3,
        "in_tile_x_size": 4,
        "in_tile_x_inc": 4,
        "in_tile_y_size": 4,
        "in_tile_y_inc": 4,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
        "out_loop_0_inc": 4,
        "out_loop_0_count": 2,
        "out_loop_1_inc": 1,
        "out_loop_1_count": 2,
        "out_loop_2_inc": 8,
        "out_loop_2_count": 2,
        "out_loop_3_inc": 2,
        "out_loop_3_count": 2,
        "out_loop_6_inc": 16,
        "in_zp": ZERO_POINT,
        "out_zp": ZERO_POINT,
        "in_image_base_address": ADDRESSES[IMAGE] + core * 9 * planes,
        "out_image_base_address": ADDRESSES[IMAGE] + core * 16 * planes,
    }


@pytest.mark.reads_own_output
def test_a_job_over_its_input_runs_and_leaves_the_convolutions_operand_as_it_was(
    device: EmulatedDevice,
) -> None:
    """So the results are wrong but where they are clamped, and nothing hangs."""
    planes = 8
    memory = np.zeros(CORES * 16 * planes, np.uint8)
    memory[: CORES * 9 * planes] = image = bytes_of(CORES * 9 * planes)
    over = []
    for core in range(CORES):
        found = replay(job(three_by_three(core, planes), memory, memory.size), device)
        over.append(device.last_counters[0].reads_own_output)
        memory = found[IMAGE]
        assert not found[OUTPUT].any()
    assert over == [True, True, False, False]
    padded = np.full((CORES * planes, 4, 4), ZERO_POINT, np.uint8)
    padded[:, :3, :3] = image.reshape(-1, 3, 3)
    right = np.stack([padded[:, y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=1)
    pieces = np.array_split(memory, CORES)
    expected = np.array_split(right.reshape(-1), CORES)
    assert [np.array_equal(*pair) for pair in zip(pieces, expected, strict=True)] == [
        True,
        False,  # its operand, as those behind it, was written over by a core before
        False,
        False,
    ]


def test_five_by_five_same_leaves_half_of_the_padding_unwritten(device: EmulatedDevice) -> None:
    """Tiles of 7 where 10 are needed: what was in the buffer before is taken for padding. Fresh
    memory is 0, which is right for few zero points; a driver that uses buffers again has old bytes
    there."""
    fields = {
        "in_image_x_size": 5,
        "in_image_y_size": 5,
        "in_image_z_size": 1,
        "in_image_stride": 5,
        "in_image_slice": 25,
        "in_window_x_start": -2,
        "in_window_y_start": -2,
        "in_window_x_end": 7,
        "in_window_y_end": 7,
        "in_tile_x_size": 7,
        "in_tile_x_inc": 7,
        "in_tile_y_size": 7,
        "in_tile_y_inc": 7,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
        "out_loop_0_inc": 25,
        "out_loop_0_count": 2,
        "out_loop_1_inc": 1,
        "out_loop_1_count": 5,
        "out_loop_2_inc": 50,
        "out_loop_2_count": 2,
        "out_loop_3_inc": 5,
        "out_loop_3_count": 4,
        "out_loop_6_inc": 100,
        "in_zp": ZERO_POINT,
        "out_zp": ZERO_POINT,
    }
    image = bytes_of(5, 5) | 1
    padded = np.pad(image, ((2, 3), (2, 3)), constant_values=ZERO_POINT)
    expected = np.stack([padded[y::2, x::2] for y in (0, 1) for x in (0, 1)]).reshape(-1)
    found = replay(job(fields, image, 4096), device)[OUTPUT][:100]
    wrong = found != expected
    assert np.count_nonzero(wrong) == 48
    assert not found[wrong].any()
    assert (expected[wrong] == ZERO_POINT).all()
