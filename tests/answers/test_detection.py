"""Which of a model's outputs are boxes, classes, scores and their count, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared_data import shared_data

from lapilli.answers import detection, label_formats, labels, results
from lapilli.answers.detection import Box, Detection
from lapilli.answers.labels import Classes
from lapilli.answers.results import DetectionOutputs, Task
from lapilli.errors import UsageError
from lapilli.model import tflite
from lapilli.model.graph import DETECTION_POSTPROCESS, Graph, Operator, Tensor


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
    path = shared_data() / "models" / "ssdlite_mobiledet_coco_qat_postprocess.tflite"
    assert results.detection_classes(tflite.load(path)) == 91
    assert results.detection_classes(graph_with()) is None


def test_overlap() -> None:
    box = Box(0, 0, 2, 2)
    assert detection.overlap(box, box) == 1
    assert detection.overlap(box, Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert detection.overlap(box, Box(2, 2, 3, 3)) == 0
    assert detection.overlap(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0
