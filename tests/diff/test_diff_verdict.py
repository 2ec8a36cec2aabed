"""The verdict of a comparison: what somebody who uses the model would see on NPU and CPU."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from command_line import call
from detectors import random_case
from models import ModelBuilder
from places import DIGITS

from lapilli.answers.detection import Box, Detection
from lapilli.answers.results import Task
from lapilli.diff.verdict import answer_of, same_detections
from lapilli.model import tflite
from lapilli.model.graph import Graph

Scores = np.ndarray[Any, Any]


def classifier() -> Graph:
    """An input that is the output: three scores in steps of 0.1."""
    builder = ModelBuilder()
    source = builder.input((1, 3), 0.1, 0)
    made = builder.tensor((1, 3), 0.1, 0)
    builder.operator("RELU", [source], [made])
    return tflite.parse(builder.build([made]), "classifier")


def scores(*values: int) -> Scores:
    return np.array([values], np.uint8)


def judged(npu: Scores, cpu: Scores) -> Any:
    graph = classifier()
    (output,) = graph.outputs
    return answer_of(graph, {output: npu}, {output: cpu})


def test_the_same_first_class_is_the_same_answer_whatever_the_scores() -> None:
    found = judged(scores(1, 9, 3), scores(1, 7, 5))
    assert (found.task, found.same, found.largest) == (Task.CLASSIFICATION, True, 2)
    assert (found.npu, found.cpu) == ("class 1 first, score 0.900", "class 1 first, score 0.700")


def test_another_first_class_is_another_answer_even_one_step_apart() -> None:
    found = judged(scores(1, 7, 8), scores(1, 8, 7))
    assert (found.same, found.largest) == (False, 1)


def test_classes_of_equal_scores_share_a_place() -> None:
    assert judged(scores(8, 8, 3), scores(7, 8, 3)).same


def test_without_an_outputs_values_there_is_no_answer() -> None:
    graph = classifier()
    assert answer_of(graph, {}, {graph.outputs[0]: scores(1, 2, 3)}) is None


CAT = Detection(16, "", 0.8, Box(0.1, 0.1, 0.5, 0.5))


@pytest.mark.parametrize(
    ("npu", "same", "off"),
    [
        ((CAT,), True, 0.0),
        ((Detection(16, "", 0.7, Box(0.1, 0.1, 0.5, 0.52)),), True, 0.1),
        ((Detection(17, "", 0.8, CAT.box),), False, 0.0),
        ((Detection(16, "", 0.8, Box(0.5, 0.5, 0.9, 0.9)),), False, 0.0),
        ((CAT, CAT), False, 0.0),
        ((), False, 0.0),
    ],
    ids=["equal", "near", "another class", "elsewhere", "one more", "none"],
)
def test_detections_are_the_same_if_each_has_one_of_its_class_in_its_place(
    npu: tuple[Detection, ...], same: bool, off: float
) -> None:
    found, words, apart = same_detections(npu, (CAT,))
    assert found is same and apart == pytest.approx(off)
    assert words[1] == "1 detection (class 16 0.80)"


def test_a_detectors_outputs_are_read_as_detections() -> None:
    graph = tflite.parse(random_case(0).model, "detector")
    boxes = np.array([[[0.1, 0.1, 0.5, 0.5]]], np.float32)
    rest = [np.array([[3.0]], np.float32), np.array([[0.9]], np.float32), np.ones(1, np.float32)]
    values = dict(zip(graph.outputs, [boxes, *rest], strict=True))
    found = answer_of(graph, values, values)
    assert found is not None
    assert (found.task, found.same, found.cpu) == (
        Task.DETECTION,
        True,
        "1 detection (class 3 0.90)",
    )


def test_diff_ends_with_it() -> None:
    words = " ".join(call("diff", DIGITS).stdout.split())
    assert "Same answer: class 0 first, score " in words
    assert "the outputs are equal; no operator alone is off by more than 1 step." in words
    assert "Random values say little of that: give a picture with --input." in words
    verdict = json.loads(call("diff", DIGITS, "--json").stdout)["verdict"]
    assert (verdict["same_answer"], verdict["largest_output_steps"]) == (True, 0)
    assert verdict["operators_alone_over_tolerance"] == 0
