"""Single operators recorded for the i.MX 8M Plus, run from their bytes, give LiteRT's values."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import (
    input_contents,
    instructions,
    last_output,
    load_recording,
    operator_output,
    outputs_of,
    recorded_inputs,
    recording_names,
    run_litert,
)
from recorded_mistakes import WRONG_ON_V8 as WRONG

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import NN_V8

CHIP = "imx8mp"


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    chip = find_by_name(CHIP)
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize("name", recording_names("ops", "random", "nonsquare", chip=CHIP))
def test_recorded_operator_agrees_with_litert(name: str, device: EmulatedDevice) -> None:
    recording, model = load_recording(name, CHIP)
    inputs = recorded_inputs(model)
    contents = replay(recording, device, input_contents(recording, inputs))
    expected = outputs_of(run_litert(model, inputs))[0].reshape(-1).astype(int)
    found = operator_output(recording, contents, len(inputs), len(expected)).astype(int)
    if name in WRONG:
        assert np.abs(found - expected).max() > 1, f"no longer wrong: {WRONG[name]}"
    else:
        assert np.abs(found - expected).max() <= 1


def test_convolutions_are_off_by_one_in_a_few_values_of_a_million(device: EmulatedDevice) -> None:
    unequal = total = 0
    for name in ("ops/mb8", "ops/mb9", "ops/mb16", "ops/mobiledet20", "ops/mobiledet44"):
        recording, model = load_recording(name, CHIP)
        inputs = recorded_inputs(model)
        contents = replay(recording, device, input_contents(recording, inputs))
        expected = outputs_of(run_litert(model, inputs))[0].reshape(-1)
        unequal += np.count_nonzero(last_output(recording, contents, expected.size) != expected)
        total += expected.size
    assert unequal / total < 1e-4


def test_depthwise_is_counted_as_what_it_is(device: EmulatedDevice) -> None:
    recording, model = load_recording("nonsquare/d3s2", CHIP)
    replay(recording, device, input_contents(recording, recorded_inputs(model)))
    (fields,) = [i.fields for i in instructions(recording, NN_V8) if i.unit == "NN"]
    assert fields["depthwise"] == 1
    job = next(c for c in device.last_counters if c.unit == "NN")
    assert job.output_bytes == 12 * 20 * 64
    assert job.macs_dense == 24 * 40 * 64 * 9
    assert 0 < job.macs_nonzero <= job.macs_dense
    assert job.tokens == 64 * 9


def test_counters_say_what_each_instruction_did(device: EmulatedDevice) -> None:
    recording, model = load_recording("ops/mb16", CHIP)
    replay(recording, device, input_contents(recording, recorded_inputs(model)))
    (convolution,) = [c for c in device.last_counters if c.unit == "NN"]
    assert convolution.macs_dense == 14 * 14 * 512 * 512
    # Groups of nine: 57 of them hold the 512 weights of a kernel.
    assert convolution.tokens == 512 * 57 * 9
    # The streams are shorter than the weights; header and biases are counted.
    assert 64 + 4 * 512 < convolution.coefficient_bytes < 512 * 512
