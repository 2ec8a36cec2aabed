"""Whole models recorded for the i.MX 8M Plus, layer by layer and from picture to label."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import input_contents, instructions, last_output, outputs_of, recorded_inputs
from oracle import run_litert as litert
from recorded_layers import NN_OPERATORS, layers, run_layer
from recorded_mistakes import WRONG_LAYERS
from shared_data import shared_data

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import NN_V8
from lapilli.program.recording import Recording, load

MODELS = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v2_1.0_224_quant",
    "ssdlite_mobiledet_coco_qat_postprocess",
)


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    chip = find_by_name("imx8mp")
    assert chip is not None
    return EmulatedDevice(chip)


def part(name: str, number: int) -> Recording:
    """One NPU partition of a model."""
    return load(shared_data() / "recordings" / "imx8mp" / "models" / f"{name}.part{number}.npz")


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_agrees_with_litert_on_the_same_inputs(
    name: str, device: EmulatedDevice
) -> None:
    recording = part(name, 0)
    model = shared_data() / "models" / f"{name}.tflite"
    interpreter = litert(model, recorded_inputs(model), keep_tensors=True)
    variable = [op for op in interpreter._get_ops_details() if op["op_name"] in NN_OPERATORS]
    for number, layer in enumerate(layers(instructions(recording, NN_V8))):
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


def test_a_whole_graph_of_convolutions_equals_litert(device: EmulatedDevice) -> None:
    recording = part(MODELS[0], 0)
    model = shared_data() / "models" / f"{MODELS[0]}.tflite"
    inputs = recorded_inputs(model)
    interpreter = litert(model, inputs, keep_tensors=True)
    count = sum(i.unit == "NN" for i in instructions(recording, NN_V8))
    operators = [op for op in interpreter._get_ops_details() if op["op_name"] in NN_OPERATORS]
    expected = interpreter.get_tensor(operators[count - 1]["outputs"][0]).reshape(-1)
    contents = replay(recording, device, input_contents(recording, inputs))
    assert np.array_equal(last_output(recording, contents, expected.size), expected)


def test_grace_hopper_is_military_uniform(device: EmulatedDevice) -> None:
    image = pytest.importorskip("PIL.Image")
    root = shared_data()
    with image.open(root / "images" / "grace_hopper.bmp") as file:
        picture = np.asarray(file.convert("RGB").resize((224, 224)))[None]
    part0, part1 = part(MODELS[1], 0), part(MODELS[1], 1)
    contents = replay(part0, device, input_contents(part0, [picture]))
    features = last_output(part0, contents, 7 * 7 * 1024).reshape(49, 1024)
    pooled = np.floor(features.mean(axis=0) + 0.5).astype(np.uint8)
    contents = replay(part1, device, input_contents(part1, [pooled]))
    logits = last_output(part1, contents, 1001)
    labels = (root / "images" / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    assert "military uniform" in labels[int(logits.argmax())]
    model = root / "models" / f"{MODELS[1]}.tflite"
    assert logits.argmax() == outputs_of(litert(model, [picture]))[0].argmax()
