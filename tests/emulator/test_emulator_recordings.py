"""Recorded single operators, executed from their bytes, give what LiteRT gives for the model."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import (
    input_contents,
    last_output,
    load_recording,
    operator_output,
    outputs_of,
    recorded_inputs,
    recording_names,
    run_litert,
)
from recorded_mistakes import WRONG_ON_V7 as WRONG

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.errors import ModelError
from lapilli.hw.chips import find_by_name


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize("name", recording_names("ops", "random", "nonsquare"))
def test_recorded_operator_agrees_with_litert(name: str, device: EmulatedDevice) -> None:
    recording, model = load_recording(name)
    inputs = recorded_inputs(model)
    contents = replay(recording, device, input_contents(recording, inputs))
    expected = outputs_of(run_litert(model, inputs))[0].reshape(-1).astype(int)
    if len(inputs) == 2:
        transposed = last_output(recording, contents, len(expected)).astype(int)
        assert np.abs(transposed - expected).max() > 1
    found = operator_output(recording, contents, len(inputs), len(expected)).astype(int)
    if name in WRONG:
        assert np.abs(found - expected).max() > 1, f"no longer wrong: {WRONG[name]}"
    else:
        assert np.abs(found - expected).max() <= 1


def test_v7_arithmetic_is_off_by_one_in_less_than_a_tenth_of_a_percent(
    device: EmulatedDevice,
) -> None:
    unequal = total = 0
    for name in ("ops/mb8", "ops/mb9", "ops/mb16", "ops/mobiledet20", "ops/mobiledet44"):
        recording, model = load_recording(name)
        inputs = recorded_inputs(model)
        contents = replay(recording, device, input_contents(recording, inputs))
        expected = outputs_of(run_litert(model, inputs))[0].reshape(-1)
        unequal += np.count_nonzero(last_output(recording, contents, expected.size) != expected)
        total += expected.size
    assert unequal / total < 0.001


def test_counters_say_what_each_instruction_did(device: EmulatedDevice) -> None:
    recording, model = load_recording("ops/mb16")
    replay(recording, device, input_contents(recording, recorded_inputs(model)))
    transpose, convolution, detranspose = device.last_counters
    assert (transpose.unit, convolution.unit, detranspose.unit) == ("TP", "NN", "TP")
    assert transpose.elements == transpose.input_bytes == transpose.output_bytes == 14 * 14 * 512
    assert convolution.macs_dense == 14 * 14 * 512 * 512
    assert 0 < convolution.macs_nonzero < convolution.macs_dense
    assert convolution.tokens == 512 * 512
    assert convolution.input_bytes == convolution.output_bytes == 14 * 14 * 512
    # Header, and a stream for each of 8 cores: 3 bytes, 64 kernels of 512 weights and two words.
    assert convolution.coefficient_bytes == 64 + 8 * -(-(3 + 64 * (512 + 8)) // 64) * 64
    assert convolution.instruction_bytes == 136


def test_first_pixel_pooling_counts_the_pixels_it_drops(device: EmulatedDevice) -> None:
    recording, _ = load_recording("nonsquare/d3s2")
    replay(recording, device)
    job = next(c for c in device.last_counters if c.unit == "NN")
    assert job.output_bytes == 12 * 20 * 64
    assert job.macs_dense == 24 * 40 * 64 * 64 * 9


def test_replay_leaves_the_device_as_it_was(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r47")
    first, second = replay(recording, device), replay(recording, device)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[i], second[i]) for i in first)


def test_replay_refuses_inputs_that_do_not_fit(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r47")
    with pytest.raises(ModelError, match="the recording has buffers 0 to"):
        replay(recording, device, {99: np.zeros(1, np.uint8)})
    with pytest.raises(ModelError, match="has 99999 bytes; the buffer has"):
        replay(recording, device, {0: np.zeros(99999, np.uint8)})
