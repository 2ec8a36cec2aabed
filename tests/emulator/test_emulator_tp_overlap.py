"""A TP job over its own input runs, is reported, and two images that lie interleaved are none."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tp_job import ADDRESSES, IMAGE, OUTPUT, Fields, bytes_of, copy, job

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name

REPORT = "writes over its own input"


@pytest.fixture
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


def moved(fields: Fields, image: np.ndarray, device: EmulatedDevice) -> np.ndarray:
    """The input buffer after a job that may write into it."""
    return replay(job(fields, image, image.size), device)[IMAGE]


@pytest.mark.reads_own_output
def test_all_is_read_before_anything_is_written(
    device: EmulatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    image = bytes_of(10)
    fields = copy(1, 1, 9) | {"out_image_base_address": ADDRESSES[IMAGE] + 1}
    with caplog.at_level(logging.WARNING):
        found = moved(fields, image, device)
    assert found.tolist() == [image[0], *image[:9]]
    assert device.last_counters[0].reads_own_output
    assert REPORT in caplog.text and "job 0 (command word 1), TP instruction at" in caplog.text


def test_bytes_between_those_that_are_read_may_be_written(
    device: EmulatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    """The first image's bytes lie at even places, the second one's at odd places."""
    image = bytes_of(12)
    fields = copy(1, 6, 1) | {
        "in_image_stride": 2,
        "out_loop_0_inc": 2,
        "out_image_base_address": ADDRESSES[IMAGE] + 1,
    }
    with caplog.at_level(logging.WARNING):
        found = moved(fields, image, device)
    assert np.array_equal(found[1::2], image[::2])
    assert not device.last_counters[0].reads_own_output
    assert REPORT not in caplog.text


def test_a_border_is_not_read(device: EmulatedDevice) -> None:
    fields = copy(1, 1, 4) | {
        "in_window_x_start": 4,
        "in_window_x_end": 7,
        "out_image_base_address": ADDRESSES[IMAGE],
    }
    assert not moved(fields, bytes_of(4), device).any()
    assert not device.last_counters[0].reads_own_output


def test_two_buffers_share_nothing(device: EmulatedDevice) -> None:
    found = replay(job(copy(1, 1, 4), bytes_of(4), 4), device)
    assert np.array_equal(found[OUTPUT], found[IMAGE])
    assert not device.last_counters[0].reads_own_output
