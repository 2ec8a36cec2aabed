"""Whole recorded models, layer by layer and from picture to label."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import (
    input_contents,
    instructions,
    last_output,
    load_recording,
    outputs_of,
    recorded_inputs,
    run_litert,
)
from recorded_layers import NN_OPERATORS, layers, run_layer
from recorded_mistakes import WRONG_LAYERS
from shared_data import shared_data

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name
from lapilli.program.recording import load


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_0.25_128_quant",
        "mobilenet_v1_1.0_224_quant",
        "mobilenet_v2_1.0_224_quant",
        "ssdlite_mobiledet_coco_qat_postprocess",
    ],
)
def test_every_layer_agrees_with_litert_on_the_same_inputs(
    name: str, device: EmulatedDevice
) -> None:
    root = shared_data()
    recording = load(root / "recordings" / "a311d" / "models" / f"{name}.part0.npz")
    model = root / "models" / f"{name}.tflite"
    interpreter = run_litert(model, recorded_inputs(model), keep_tensors=True)
    variable = [op for op in interpreter._get_ops_details() if op["op_name"] in NN_OPERATORS]
    for number, layer in enumerate(layers(instructions(recording))):
        operator = variable[number]
        operands = operator["inputs"][: 2 if operator["op_name"] == "ADD" else 1]
        planar = [interpreter.get_tensor(t)[0].transpose(2, 0, 1) for t in operands]
        expected = interpreter.get_tensor(operator["outputs"][0])[0].transpose(2, 0, 1).reshape(-1)
        found = run_layer(recording, device, layer, planar, expected.size)
        worst = np.abs(found.astype(int) - expected).max()
        if number in WRONG_LAYERS.get(name, {}):
            assert worst > 1, f"layer {number} is no longer wrong"
        else:
            assert worst <= 1, f"layer {number}, {operator['op_name']}"


@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224_quant", "mobilenet_v2_1.0_224_quant"])
def test_differences_stay_below_those_between_litert_kernels(
    name: str, device: EmulatedDevice
) -> None:
    """Single differences grow downstream, but no more than between XNNPACK and the reference."""
    root = shared_data()
    recording = load(root / "recordings" / "a311d" / "models" / f"{name}.part0.npz")
    model = root / "models" / f"{name}.tflite"
    inputs = recorded_inputs(model)
    fast, reference = (
        run_litert(model, inputs, reference=r, keep_tensors=True) for r in (False, True)
    )
    count = sum(i.unit == "NN" for i in instructions(recording))
    operators = [op for op in fast._get_ops_details() if op["op_name"] in NN_OPERATORS]
    tensor = operators[count - 1]["outputs"][0]
    expected = fast.get_tensor(tensor).reshape(-1).astype(int)
    contents = replay(recording, device, input_contents(recording, inputs))
    found = last_output(recording, contents, expected.size).astype(int)
    between = np.abs(reference.get_tensor(tensor).reshape(-1) - expected)
    assert np.abs(found - expected).max() <= between.max()
    assert np.count_nonzero(found != expected) <= np.count_nonzero(between)


def test_grace_hopper_is_military_uniform(device: EmulatedDevice) -> None:
    image = pytest.importorskip("PIL.Image")
    root = shared_data()
    with image.open(root / "images" / "grace_hopper.bmp") as file:
        picture = np.asarray(file.convert("RGB").resize((224, 224)))[None]
    part0, model = (
        load(root / "recordings/a311d/models/mobilenet_v1_1.0_224_quant.part0.npz"),
        root / "models" / "mobilenet_v1_1.0_224_quant.tflite",
    )
    part1 = load(root / "recordings/a311d/models/mobilenet_v1_1.0_224_quant.part1.npz")
    contents = replay(part0, device, input_contents(part0, [picture]))
    features = last_output(part0, contents, 7 * 7 * 1024).reshape(49, 1024)
    pooled = np.floor(features.mean(axis=0) + 0.5).astype(np.uint8)
    contents = replay(part1, device, input_contents(part1, [pooled]))
    logits = last_output(part1, contents, 1001)
    labels = (root / "images" / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    assert "military uniform" in labels[int(logits.argmax())]
    assert logits.argmax() == outputs_of(run_litert(model, [picture]))[0].argmax()


def test_first_recorded_job_needs_its_input(device: EmulatedDevice) -> None:
    recording, model = load_recording("ops/mb16")
    with_zeros = replay(recording, device)
    with_input = replay(recording, device, input_contents(recording, recorded_inputs(model)))
    assert any(not np.array_equal(with_zeros[i], with_input[i]) for i in with_zeros)
