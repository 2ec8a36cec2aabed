"""The newest driver's recorded operators, run from their bytes, give LiteRT's values where the
driver is right, and are wrong or refused where it isn't, each for a reason that is named.

Tables, paddings of every kind, concatenation and splitting by address, int8, fully connected.
"""

from __future__ import annotations

import re

import newer_recordings as newer
import numpy as np
import pytest
from newer_recordings import (
    BOTH,
    FLAT,
    MODELS_REFUSED,
    NO_DATA,
    ONE_BY_ONE,
    RESHAPED,
    SIGN,
    SQUARE,
    TWIN,
    why_wrong,
)
from oracle import instructions as instructions_of
from oracle import locate, outputs_of, recorded_inputs, run_litert
from shared_data import shared_data

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import LAYOUTS
from lapilli.hw.tables import TABLE_BYTES

REFUSED = {
    ONE_BY_ONE: "coefficient stream",
    FLAT: r"kernel_[xy]_size = 1[2-5] .* allowed is 1 to 11|two kernels are stored in output plane",
    RESHAPED: "two kernels are stored in output plane",
    SQUARE: "their code takes",
}
"""What the emulator may say to a stream that is wrong for this reason, if it runs it at all."""
CASES = [(chip, name) for chip in BOTH for name in newer.names(chip)]
MODELS = [(chip, name) for chip in BOTH for name in newer.names(chip, "models")]


@pytest.fixture(scope="module")
def devices() -> dict[str, EmulatedDevice]:
    found = {name: find_by_name(name) for name in BOTH}
    return {name: EmulatedDevice(chip) for name, chip in found.items() if chip is not None}


def largest_difference(name: str, device: EmulatedDevice) -> int:
    """Of all outputs of a recorded model, against LiteRT."""
    chip = device.chip.name
    recording, model = newer.load(name, chip)
    inputs = recorded_inputs(model)
    contents = replay(recording, device, newer.input_contents(recording, inputs))
    expected = [newer.as_stored(value) for value in outputs_of(run_litert(model, inputs))]
    places = newer.output_places(recording, chip)
    assert len(places) == len(expected)
    return max(
        int(np.abs(contents[buffer][at : at + len(value)].astype(int) - value).max())
        for (buffer, at), value in zip(places, expected, strict=True)
    )


@pytest.mark.parametrize(("chip", "name"), CASES)
def test_recorded_operator_gives_litert_values_or_is_wrong_for_a_reason(
    chip: str, name: str, devices: dict[str, EmulatedDevice]
) -> None:
    newer.newer()
    reason = why_wrong(name, chip)
    if not name.startswith(TWIN):
        assert newer.is_right(name, chip) == (not reason), "another executor found something else"
    try:
        found, refusal = largest_difference(name, devices[chip]), ""
    except Fault as fault:
        found, refusal = 0, str(fault)
    if refusal:
        assert reason in REFUSED and re.search(REFUSED[reason], refusal), f"{reason}: {refusal}"
    elif reason:
        assert found > 1, f"no longer wrong: {reason}"
    else:
        assert found <= 1


@pytest.mark.parametrize(("chip", "name"), MODELS)
def test_recorded_models_replay_or_are_refused_for_a_reason(
    chip: str, name: str, devices: dict[str, EmulatedDevice]
) -> None:
    newer.newer()
    recording, _ = newer.load(name, chip, "models")
    if (chip, name) in MODELS_REFUSED:
        with pytest.raises(Fault, match=REFUSED[MODELS_REFUSED[chip, name]]):
            replay(recording, devices[chip])
    else:
        assert replay(recording, devices[chip])


@pytest.mark.parametrize("chip", BOTH)
def test_a_detectors_scores_through_the_table_are_exact(
    chip: str, devices: dict[str, EmulatedDevice]
) -> None:
    newer.newer()
    recording, _ = newer.load("ssdlite_mobiledet_coco_qat_postprocess.part1", chip, "models")
    model = shared_data() / "models" / "ssdlite_mobiledet_coco_qat_postprocess.tflite"
    interpreter = run_litert(model, recorded_inputs(model), keep_tensors=True)
    (operator,) = [o for o in interpreter._get_ops_details() if o["op_name"] == "LOGISTIC"]
    operand, expected = (interpreter.get_tensor(operator[key][0]) for key in ("inputs", "outputs"))
    contents = replay(recording, devices[chip], newer.input_contents(recording, [operand]))
    (job,) = devices[chip].last_counters
    assert (job.elements, job.table_bytes) == (2034 * 91, TABLE_BYTES)
    ((buffer, offset),) = newer.output_places(recording, chip)
    found = contents[buffer][offset : offset + expected.size]
    assert np.array_equal(found, expected.reshape(-1))


@pytest.mark.parametrize("chip", BOTH)
def test_relu_and_abs_are_exact_and_logistic_is_off_in_one_value_of_a_hundred(
    chip: str, devices: dict[str, EmulatedDevice]
) -> None:
    newer.newer()
    different = {"relu": 0, "abs": 0, "logistic": 0}
    values = dict.fromkeys(different, 0)
    for name in newer.names(chip):
        kind = next((kind for kind in different if re.match(rf"{kind}(\d|same)", name)), None)
        if kind is None:
            continue
        recording, model = newer.load(name, chip)
        inputs = recorded_inputs(model)
        contents = replay(recording, devices[chip], newer.input_contents(recording, inputs))
        expected = newer.as_stored(outputs_of(run_litert(model, inputs))[0])
        ((buffer, at),) = newer.output_places(recording, chip)
        different[kind] += np.count_nonzero(contents[buffer][at : at + len(expected)] != expected)
        values[kind] += len(expected)
    assert min(values.values()) > 10_000
    assert different["relu"] == different["abs"] == 0
    assert 0 < different["logistic"] / values["logistic"] < 0.01


def test_a_core_without_planes_moves_nothing(devices: dict[str, EmulatedDevice]) -> None:
    recording, _ = newer.load("abs1x1x40_i8", "a311d")
    replay(recording, devices["a311d"])
    assert [job.elements for job in devices["a311d"].last_counters] == [40, 0, 0, 0]


def test_operands_at_offsets_of_one_buffer_are_two_tensors(
    devices: dict[str, EmulatedDevice],
) -> None:
    """A concatenation has no job: its operands are written side by side."""
    recording, model = newer.load("concatin_u8", "imx8mp")
    inputs = recorded_inputs(model)
    replay(recording, devices["imx8mp"], newer.input_contents(recording, inputs))
    moves = instructions_of(recording, LAYOUTS[8])
    assert {move.unit for move in moves} == {"TP"}
    targets = [locate(recording, move.fields["out_image_base_address"]) for move in moves[:2]]
    assert targets[0][0] == targets[1][0]
    assert targets[1][1] - targets[0][1] == inputs[0].size


def test_a_signed_tensor_is_handed_over_with_128_added() -> None:
    values = np.array([-128, -1, 0, 127], np.int8)
    assert newer.as_stored(values).tolist() == [0, 127, SIGN, 255]


def test_there_are_recordings_of_both_chips() -> None:
    newer.newer()
    counts = {chip: len(newer.names(chip)) for chip in BOTH}
    assert counts == {"a311d": 191, "imx8mp": 163}
    assert NO_DATA not in {name for _, name in CASES}
