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
from recorded_jobs import jobs_of, jobs_of_part, load
from shared_data import shared_data

from lapilli.answers import detection, draw, images, label_formats, labels, results
from lapilli.answers.detection import Box, Detection
from lapilli.answers.inputs import load_input
from lapilli.answers.labels import Classes
from lapilli.answers.results import DetectionOutputs, Task
from lapilli.cli.run import run
from lapilli.compiler.stages import compile_model
from lapilli.errors import ModelError, UsageError
from lapilli.litert.inference import Inference
from lapilli.model import tflite
from lapilli.model.graph import DETECTION_POSTPROCESS, Graph, Operator, Tensor

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


def test_one_partition_with_all_convolutions_and_additions(detector: Detector) -> None:
    graph = detector.inference.graph
    wanted = [
        operator.index
        for operator in graph.operators
        if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")
    ]
    assert len(wanted) == 108
    assert detector.inference.delegate.partitions == (tuple(wanted),)


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_jobs_in_the_recorded_order(chip: str) -> None:
    """By unit, size of the output and kernel; test_compile_recordings has every field."""
    (part,) = compile_model(model_path(), chip, "reference").parts
    ours, theirs = (
        [(job.unit, *(job.values.get(name) for name in TELLING_FIELDS)) for job in jobs]
        for jobs in (
            jobs_of_part(part, chip),
            jobs_of(load(f"models/{MODEL}.part0", chip), chip),
        )
    )
    assert ours == theirs
    assert sum(unit == "NN" for unit, *_ in ours) == 108


# ------------------------------------------------------------------------------------ which outputs


def graph_with(operators: tuple[Operator, ...] = ()) -> Graph:
    tensors = tuple(Tensor(i, f"t{i}", (1,), "float32") for i in range(8))
    return Graph("x.tflite", tensors, operators, (0,), (4, 5, 6, 7))


BOXES, PAIR, COUNT = (1, 10, 4), (1, 10), (1,)


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ((BOXES, PAIR, PAIR, COUNT), (0, 1, 2, 3)),
        ((PAIR, BOXES, COUNT, PAIR), (1, 3, 0, 2)),
        ((COUNT, PAIR, PAIR, BOXES), (3, 2, 1, 0)),
        ((BOXES, PAIR, PAIR, ()), (0, 1, 2, 3)),
        (((1, 1, 4), (1, 1), (1, 1), (1,)), (0, 1, 2, 3)),
        (((1, 4, 4), (1, 4), (1, 4), (1,)), (0, 1, 2, 3)),
    ],
)
def test_four_outputs_of_an_ssd(shapes: Any, wanted: tuple[int, ...]) -> None:
    outputs = results.detection_outputs(graph_with(), (4, 5, 6, 7), shapes)
    assert outputs == DetectionOutputs(*wanted, certain=False)


@pytest.mark.parametrize(
    "shapes",
    [
        (BOXES, PAIR, PAIR),
        (BOXES, PAIR, PAIR, COUNT, COUNT),
        (BOXES, PAIR, (1, 9), COUNT),
        ((2, 10, 4), PAIR, PAIR, COUNT),
        (BOXES, BOXES, PAIR, COUNT),
        (BOXES, PAIR, PAIR, (2,)),
        ((1, 10, 5), PAIR, PAIR, COUNT),
        (),
    ],
)
def test_other_outputs_are_no_detectors(shapes: Any) -> None:
    assert results.detection_outputs(graph_with(), (4, 5, 6, 7), shapes) is None


def test_the_post_processing_operator_tells_in_any_order() -> None:
    made = Operator(0, DETECTION_POSTPROCESS, (1, 2, 3), (6, 4, 7, 5))
    outputs = results.detection_outputs(graph_with((made,)), (4, 5, 6, 7), (PAIR,) * 4)
    assert outputs == DetectionOutputs(boxes=2, classes=0, scores=3, count=1, certain=True)


def test_an_ambiguous_pair_is_told_by_its_values() -> None:
    """Class numbers are whole; where both are, the order counts."""
    outputs = DetectionOutputs(0, 1, 2, 3, certain=False)
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6]]])
    numbers, scores = np.array([[7.0]]), np.array([[0.9]])
    for pair in ((numbers, scores), (scores, numbers)):
        (only,) = detection.read(outputs, [boxes, *pair, np.array([1.0])])
        assert (only.number, only.score) == (7, 0.9)
        assert only.box == Box(0.2, 0.1, 0.6, 0.5)
    (only,) = detection.read(outputs, [boxes, numbers, np.array([[1.0]]), np.array([1.0])])
    assert (only.number, only.score) == (7, 1.0)


@pytest.mark.parametrize(
    ("task", "shapes", "text"),
    [
        (Task.CLASSIFICATION, (BOXES, PAIR, PAIR, COUNT), "can't be read as classification"),
        (Task.DETECTION, ((1, 1000),), "can't be read as detection"),
        (Task.CLASSIFICATION, ((1, 8, 8, 3),), r"\[1, 8, 8, 3\]"),
    ],
)
def test_a_task_that_does_not_fit(task: Task, shapes: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        results.task_of(graph_with(), (4, 5, 6, 7), shapes, task)


def test_the_task_by_shapes() -> None:
    for shapes, wanted in (
        ((BOXES, PAIR, PAIR, COUNT), Task.DETECTION),
        (((1, 1001),), Task.CLASSIFICATION),
        (((1, 1, 1, 5),), Task.CLASSIFICATION),
        (((1, 1, 17, 3),), Task.RAW),
        (((1, 513, 513),), Task.RAW),
        (((1, 1),), Task.RAW),
    ):
        assert results.task_of(graph_with(), (4, 5, 6, 7), shapes) is wanted  # type: ignore[arg-type]
        assert results.task_of(graph_with(), (4, 5, 6, 7), shapes, Task.RAW) is Task.RAW  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ reading


def read(boxes: Any, classes: Any, scores: Any, count: float) -> tuple[Detection, ...]:
    values = [np.array([boxes], float), np.array([classes], float), np.array([scores], float)]
    outputs = DetectionOutputs(0, 1, 2, 3, certain=True)
    return detection.read(outputs, [*values, np.array([count], float)])


def test_only_as_many_as_the_count_says() -> None:
    boxes = [[0, 0, 1, 1]] * 4
    for count, wanted in ((0, 0), (2, 2), (2.0, 2), (9, 4), (-3, 0), (np.nan, 0), (np.inf, 4)):
        assert len(read(boxes, [1] * 4, [0.9] * 4, count)) == wanted


def test_best_first_and_clipped_to_the_picture() -> None:
    low, high = [-0.2, 0.1, 0.5, 1.3], [0.2, 0.3, 0.4, 0.5]
    first, second = read([low, high], [3, 5], [0.6, 0.8], 2)
    assert (first.number, second.number) == (5, 3)
    assert second.box == Box(0.1, 0.0, 1.0, 0.5)
    assert second.box.scaled(200, 100) == Box(20.0, 0.0, 200.0, 50.0)


@pytest.mark.parametrize(
    ("box", "number", "score"),
    [
        ([np.nan, 0, 1, 1], 1, 0.9),
        ([0, 0, np.inf, 1], 1, 0.9),
        ([0, 0, 1, 1], np.nan, 0.9),
        ([0, 0, 1, 1], -1, 0.9),
        ([0, 0, 1, 1], 1, np.nan),
        ([0.5, 0.5, 0.5, 0.9], 1, 0.9),
        ([0.9, 0.1, 0.2, 0.9], 1, 0.9),
        ([1.1, 0.1, 1.5, 0.9], 1, 0.9),
    ],
)
def test_what_can_not_be_shown_is_left_out(box: Any, number: float, score: float) -> None:
    assert read([box], [number], [score], 1) == ()


def test_the_threshold_is_inclusive() -> None:
    two = read([[0, 0, 1, 1]] * 2, [1, 2], [0.5, 0.49], 2)
    assert [each.number for each in detection.above(two, 0.5)] == [1]


def test_labels_start_behind_a_background() -> None:
    """Class 0 is the first object: the first line, or the second behind '???'."""
    (only,) = read([[0, 0, 1, 1]], [0], [0.9], 1)
    for lines, wanted in (
        ("person\nbicycle", "person"),
        ("???\nperson", "person"),
        ("background\nperson", "person"),
        ("", ""),
    ):
        names = label_formats.read(lines.encode(), "x")
        found = labels.resolve(names, Classes(None, detector=True), "x")
        assert detection.labelled([only], found.names)[0].label == wanted


def test_the_number_of_a_detectors_classes() -> None:
    """The scores in front of the post-processing have one more, for the background."""
    assert results.detection_classes(tflite.load(model_path())) == 91
    assert results.detection_classes(graph_with()) is None


def test_overlap() -> None:
    box = Box(0, 0, 2, 2)
    assert detection.overlap(box, box) == 1
    assert detection.overlap(box, Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert detection.overlap(box, Box(2, 2, 3, 3)) == 0
    assert detection.overlap(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


# ------------------------------------------------------------------------------------------ drawing


def test_a_frame_around_the_box_in_the_classes_colour() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    seen = Detection(4, "cat", 0.75, Box(0.25, 0.3, 0.75, 0.8))
    drawn = np.asarray(draw.detections(pixels, [seen]))
    assert drawn.shape == pixels.shape
    assert not pixels.any(), "the picture given is not changed"
    colour = draw.colour_of(4)
    for x, y in ((100, 29), (100, 80), (49, 60), (150, 60)):
        assert tuple(drawn[y, x]) == colour
    assert not drawn[31:79, 51:149].any(), "nothing is drawn over the object"
    assert np.any(np.all(drawn[10:29] == colour, axis=2)), "the plate is above the box"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5), (300, 2)])
def test_small_pictures(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    whole = Detection(0, "x" * 500, 1.0, Box(0, 0, 1, 1))
    tiny = Detection(1, "", 0.5, Box(0.999, 0.999, 1, 1))
    assert draw.detections(pixels, [whole, tiny]).size == size[::-1]


@pytest.mark.parametrize("label", ["two\nlines\x1b[31m", "\0", "猫 🐈", "\u202eabc", "", "é" * 99])
def test_labels_are_not_trusted(label: str) -> None:
    pixels = np.zeros((60, 400, 3), np.uint8)
    drawn = np.asarray(draw.detections(pixels, [Detection(2, label, 0.9, Box(0.1, 0.7, 0.2, 1))]))
    height = np.flatnonzero(drawn.any(axis=(1, 2)))
    assert height[0] > 20, "the plate has one line"


def test_plates_do_not_hide_each_other() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    seen = [Detection(i, "name", 0.9, Box(0.3 + i / 50, 0.5, 0.4 + i / 50, 0.6)) for i in range(3)]
    plates: list[Box] = []
    frames = [each.box.scaled(400, 400) for each in seen]
    for frame in frames:
        plates.append(draw._place(frame, (60, 16), (400, 400), frames, plates))
    for i, one in enumerate(plates):
        assert not any(detection.common(one, other) for other in plates[:i])
    assert draw.detections(pixels, seen).size == (400, 400)


def test_text_can_be_read_on_its_plate() -> None:
    assert draw.text_colour((255, 255, 0)) == (0, 0, 0)
    assert draw.text_colour((10, 10, 255)) == (255, 255, 255)
    assert len({draw.colour_of(i) for i in range(20)}) == 20


@pytest.mark.parametrize("name", ["x.txt", "x", "x.", ".png", "x.tflite"])
def test_an_ending_that_is_no_picture_format(name: str) -> None:
    with pytest.raises(UsageError, match="no picture format"):
        draw.format_of(name)


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't be written"):
        draw.save(tmp_path / "none" / "x.png", Image.new("RGB", (2, 2)))


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
    assert "108 of 125 operators on emulator:a311d in 1 part" in " ".join(shown.stdout.split())
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
