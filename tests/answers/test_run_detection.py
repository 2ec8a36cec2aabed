"""Detectors with ``lapilli run``: recognised, read, listed and drawn as LiteRT's CPU has them.

Boxes of the five pictures overlap the CPU's by more than 0.9 (intersection over union), but for
objects of less than ``SMALL`` pixels of the model's 320x320 input. With those a step of one in the
quantised box is a good part of the box, and LiteRT's own kernel sets (XNNPACK, builtin, reference)
overlap one another by 0.74 only. There every edge must be within ``NEAR`` of such a pixel.
The scores are multiples of 1/256 behind a sigmoid with steps of 0.012 around 0.5: at the threshold
of 0.5 the same 24 objects are found; 0.500 (CPU: 0.535) is the lowest of them, 0.477 (NPU: 0.465)
the best one left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from recorded_jobs import jobs_of, jobs_of_part, load, program
from shared_data import shared_data

from lapilli.answers import detection, images, labels, results
from lapilli.answers.detection import Box, Detection
from lapilli.answers.inputs import load_input
from lapilli.answers.labels import Classes
from lapilli.answers.results import DetectionOutputs
from lapilli.cli.run import run
from lapilli.errors import UsageError
from lapilli.litert.inference import Inference
from lapilli.model import tflite

Image: Any = pytest.importorskip("PIL.Image")
litert: Any = pytest.importorskip("ai_edge_litert.interpreter")

MODEL = "ssdlite_mobiledet_coco_qat_postprocess"
DEVICE = "emulator:a311d"
DEVICES = (DEVICE, "emulator:imx8mp")
PICTURES = ("cat.bmp", "grace_hopper.bmp", "pets.jpg", "kite_and_cold.jpg", "bird.bmp")
LABELS = {
    "cat.bmp": ["cat"] * 2,
    "grace_hopper.bmp": ["person", "tie"],
    "pets.jpg": ["dog"] * 2,
    "kite_and_cold.jpg": ["kite"] * 6 + ["person"] * 11,
    "bird.bmp": ["bird"],
}
THRESHOLD = 0.5
SCORE_NEAR = 0.04
OVERLAP = 0.9
SIDE = 320
SMALL, NEAR = 8, 1.0
TELLING_FIELDS = ("out_image_z_size", "kernel_x_size", "kernel_z_size")


def model_path() -> Path:
    return shared_data() / "models" / f"{MODEL}.tflite"


def picture_path(name: str) -> Path:
    return shared_data() / "images" / name


@dataclass(frozen=True)
class Detector:
    """The model on the NPU, and its outputs' meaning."""

    inference: Inference
    outputs: DetectionOutputs

    def on_npu(self, picture: Path) -> tuple[Detection, ...]:
        self.inference.feed([load_input(picture, self.inference.input_tensors[0])])
        self.inference.run()
        return found(self.outputs, self.inference.outputs())


def found(outputs: DetectionOutputs, values: Any) -> tuple[Detection, ...]:
    given = labels.load(shared_data() / "images" / "coco_labels.txt")
    names = labels.resolve(given, Classes(91, detector=True), "coco_labels.txt").names
    return detection.labelled(detection.read(outputs, values), names)


@cache
def on_cpu(picture: str, kernels: str = "AUTO") -> tuple[Detection, ...]:
    """With one of LiteRT's kernel sets; AUTO is XNNPACK."""
    graph = tflite.load(model_path())
    interpreter = litert.Interpreter(
        str(model_path()), experimental_op_resolver_type=litert.OpResolverType[kernels]
    )
    interpreter.allocate_tensors()
    source = graph.tensors[graph.inputs[0]]
    interpreter.set_tensor(source.index, load_input(picture_path(picture), source))
    interpreter.invoke()
    details = interpreter.get_output_details()
    outputs = results.detection_outputs(
        graph, [d["index"] for d in details], [tuple(d["shape"]) for d in details]
    )
    assert outputs is not None
    return found(outputs, [interpreter.get_tensor(d["index"]) for d in details])


@pytest.fixture(scope="module", params=DEVICES)
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    inference = Inference(model_path(), device=request.param)
    tensors = [tensor.index for tensor in inference.output_tensors]
    outputs = results.detection_outputs(inference.graph, tensors, inference.output_shapes)
    assert outputs is not None
    yield Detector(inference, outputs)
    inference.close()


# ------------------------------------------------------------------------------------------ results


def pairs(
    ours: tuple[Detection, ...], theirs: tuple[Detection, ...]
) -> list[tuple[Detection, Detection]]:
    """Each of ours with the one of the same class that overlaps it most; every one is used once."""
    left = list(theirs)
    matched = []
    for each in ours:
        same = [other for other in left if other.number == each.number]
        assert same, f"{each} has no counterpart"
        best = max(same, key=lambda other: detection.overlap(each.box, other.box))
        left.remove(best)
        matched.append((each, best))
    assert not left, f"{left} have no counterpart"
    return matched


def edges(box: Box) -> np.ndarray[Any, Any]:
    return np.array([box.left, box.top, box.right, box.bottom]) * SIDE


@pytest.mark.parametrize("picture", PICTURES)
def test_the_same_objects_as_the_cpu(detector: Detector, picture: str) -> None:
    ours = detection.above(detector.on_npu(picture_path(picture)), THRESHOLD)
    theirs = detection.above(on_cpu(picture), THRESHOLD)
    assert sorted(each.label for each in ours) == LABELS[picture]
    for our, their in pairs(ours, theirs):
        assert abs(our.score - their.score) <= SCORE_NEAR
        box = edges(their.box)
        if min(box[2] - box[0], box[3] - box[1]) >= SMALL:
            assert detection.overlap(our.box, their.box) > OVERLAP
        else:
            assert np.abs(edges(our.box) - box).max() <= NEAR


def test_the_cat(detector: Detector) -> None:
    best = detector.on_npu(picture_path("cat.bmp"))[0]
    assert best.label == "cat"
    assert best.score > 0.7


def test_the_cpus_own_kernels_differ_as_much_in_small_boxes() -> None:
    """Why small boxes are compared by their edges."""
    first = detection.above(on_cpu("kite_and_cold.jpg"), THRESHOLD)
    second = detection.above(
        on_cpu("kite_and_cold.jpg", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"), THRESHOLD
    )
    assert min(detection.overlap(a.box, b.box) for a, b in pairs(first, second)) < OVERLAP


def test_one_partition_with_all_but_the_post_processing(detector: Detector) -> None:
    operators = detector.inference.graph.operators
    kinds = [operator.kind for operator in operators[-2:]]
    assert kinds == ["LOGISTIC", "CUSTOM:TFLite_Detection_PostProcess"]
    assert detector.inference.delegate.partitions == (tuple(range(len(operators) - 2)),)


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_jobs_in_the_recorded_order(chip: str) -> None:
    """By unit, size of the output and kernel; test_compile_recordings has every field."""
    (part,) = program(model_path(), chip).parts
    ours, theirs = (
        [(job.unit, *(job.values.get(name) for name in TELLING_FIELDS)) for job in jobs]
        for jobs in (
            jobs_of_part(part, chip),
            jobs_of(load(f"models/{MODEL}.part0", chip), chip),
        )
    )
    assert ours == theirs
    assert sum(unit == "NN" for unit, *_ in ours) == 108


# -------------------------------------------------------------------------------------- the command


def test_the_command(tmp_path: Path) -> None:
    """The table, the picture in its own size, and the same in JSON, in one run each."""
    picture = picture_path("cat.bmp")
    target = tmp_path / "out.png"
    arguments = [str(model_path()), "--input", str(picture), "--device", DEVICE]
    arguments += ["--labels", str(shared_data() / "images" / "coco_labels.txt")]
    shown = CliRunner().invoke(run, [*arguments, "--save-image", str(target)])
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.stdout
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["class", "score", "left", "top", "right", "bottom"]
    assert [line.split()[0] for line in lines[1:3]] == ["cat", "cat"]
    assert len({len(line) for line in lines[:3]}) == 1, "columns are aligned"
    assert "2 detections; edges in pixels of 512x341" in shown.stdout
    assert "123 of 125 operators on emulator:a311d in 1 part" in " ".join(shown.stdout.split())
    assert max(map(len, lines)) <= 80
    with Image.open(target) as drawn:
        assert drawn.size == (512, 341)
        before = images.load_picture(picture, 3)
        changed = np.any(np.asarray(drawn) != before, axis=2)
    assert 0.005 < changed.mean() < 0.2
    # Again as JSON, with another threshold.
    result = CliRunner().invoke(run, [*arguments, "--threshold", "0.7", "--json"])
    report = json.loads(result.stdout)
    (cat,) = report["detections"]
    assert (cat["class"], cat["label"]) == (16, "cat")
    assert cat["score"] > 0.7
    assert 0 <= cat["box"]["left"] < cat["box"]["right"] <= 512
    assert 0 <= cat["box"]["top"] < cat["box"]["bottom"] <= 341
    assert report["task"] == "detection"
    assert report["picture"] == {"width": 512, "height": 341}
    assert report["threshold"] == 0.7


def test_nothing_found_says_what_came_nearest() -> None:
    result = CliRunner().invoke(
        run,
        [
            *(str(model_path()), "--input", str(picture_path("cat.bmp")), "--device", DEVICE),
            *("--threshold", "0.99"),
        ],
    )
    assert result.exit_code == 0
    assert "Nothing found with a score of 0.99 or more; the best is 0.78" in result.stdout


def test_an_array_as_input(tmp_path: Path) -> None:
    """Boxes count in the model's own pixels; there is no picture to draw into."""
    graph = tflite.load(model_path())
    source = graph.tensors[graph.inputs[0]]
    np.save(tmp_path / "x.npy", load_input(picture_path("cat.bmp"), source))
    arguments = [str(model_path()), "--input", str(tmp_path / "x.npy"), "--device", DEVICE]
    report = json.loads(CliRunner().invoke(run, [*arguments, "--json", "--top", "1"]).stdout)
    assert report["picture"] == {"width": SIDE, "height": SIDE}
    assert [each["class"] for each in report["detections"]] == [16]
    result = CliRunner().invoke(run, [*arguments, "--save-image", str(tmp_path / "x.png")])
    assert isinstance(result.exception, UsageError)
    assert "not an .npy file" in str(result.exception)
