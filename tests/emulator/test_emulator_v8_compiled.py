"""Our own programs for the i.MX 8M Plus on its emulator give what LiteRT gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from oracle import load_recording, outputs_of, recorded_inputs, recording_names, run_litert
from shared_data import shared_data

from lapilli.compiler.stages import compile_model
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name
from lapilli.litert.delegate import Delegate

CHIP = "imx8mp"


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    chip = find_by_name(CHIP)
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize("name", recording_names("ops", "random", "nonsquare", chip=CHIP))
def test_single_operators_are_within_one_of_xnnpack(name: str, device: EmulatedDevice) -> None:
    """Also where the recorded driver is wrong: tall images, wide kernels, odd sizes."""
    _, model = load_recording(name, CHIP)
    inputs = recorded_inputs(model)
    expected = outputs_of(run_litert(model, inputs))[0].astype(int)
    for schedule in ("reference", "best"):
        (part,) = compile_model(model, CHIP, schedule).parts
        with LoadedPart(device, part) as loaded:
            ((_, found),) = loaded.run(
                dict(zip((binding.tensor for binding in part.inputs), inputs, strict=True))
            ).items()
        assert np.abs(found - expected).max() <= 1, schedule


CLASSIFIERS = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v2_1.0_224_quant",
)


def run_with_delegate(model: Path, picture: np.ndarray, schedule: str) -> np.ndarray:
    """The first output when LiteRT hands to the emulated board what it takes."""
    delegate = Delegate(device=f"emulator:{CHIP}", schedule=schedule)
    interpreter = Interpreter(str(model), num_threads=1, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    assert delegate.partitions
    return outputs_of(interpreter)[0]


@pytest.mark.parametrize("schedule", ["reference", "best"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_give_the_cpus_first_class(name: str, schedule: str) -> None:
    image = pytest.importorskip("PIL.Image")
    root = shared_data()
    model = root / "models" / f"{name}.tflite"
    side = Interpreter(str(model)).get_input_details()[0]["shape"][1]
    for file in ("grace_hopper.bmp", "cat.bmp"):
        with image.open(root / "images" / file) as picture:
            values = np.asarray(picture.convert("RGB").resize((side, side)))[None]
        expected = outputs_of(run_litert(model, [values]))[0]
        assert run_with_delegate(model, values, schedule).argmax() == expected.argmax(), file
