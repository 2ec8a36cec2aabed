"""Which operators the host takes, and that it leaves what LiteRT refuses to LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from detectors import KIND, Detector, flexbuffer, litert_detections
from models import ModelBuilder

from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.postprocess.plan import MOST_SLOTS, plans, why_not


def anchors_of(detector: Detector) -> np.ndarray:
    return np.full((detector.boxes, 4), 100).astype(detector.anchor_type)


def graph_of(detector: Detector) -> Graph:
    return tflite.parse(detector.build(anchors_of(detector)), "detector")


def kinds_taken(graph: Graph) -> list[str]:
    return [graph.operators[i].kind for plan in plans(graph) for i in plan.operators]


@pytest.mark.parametrize(
    ("detector", "kinds"),
    [
        (Detector(), [KIND]),
        (Detector(logistic=True, score_values=(0.05, 100)), ["LOGISTIC", KIND]),
        (Detector(dequantize=True), ["DEQUANTIZE", "DEQUANTIZE", KIND]),
        (
            Detector(
                box_type="int8",
                score_type="int8",
                box_values=(0.1, 0),
                score_values=(0.1, 3),
                dequantize=True,
                logistic=True,
            ),
            ["LOGISTIC", "DEQUANTIZE", "DEQUANTIZE", KIND],
        ),
        (Detector(box_type="float32", score_type="float32"), [KIND]),
        (Detector(variable_anchors=True), [KIND]),
    ],
)
def test_it_takes_what_stands_in_front_as_well(detector: Detector, kinds: list[str]) -> None:
    assert kinds_taken(graph_of(detector)) == kinds


def refused(**options: Any) -> Detector:
    return Detector(options=options)


@pytest.mark.parametrize(
    ("detector", "complaint"),
    [
        (refused(max_detections=-1), "max_detections -1; allowed: 0 and above"),
        (refused(max_classes_per_detection=0), "max_classes_per_detection 0; allowed: 1"),
        (refused(nms_iou_threshold=0.0), "nms_iou_threshold 0.0; allowed: above 0, up to 1"),
        (refused(nms_iou_threshold=1.5), "nms_iou_threshold 1.5"),
        (refused(nms_iou_threshold=float("nan")), "nms_iou_threshold nan"),
        (refused(num_classes=6), "num_classes 6 for 5 columns"),
        (refused(num_classes=3), "num_classes 3 for 5 columns"),
        (refused(use_regular_nms=True, max_detections=0), "max_detections 0; allowed: 1"),
        (refused(use_regular_nms=True, detections_per_class=0), "detections_per_class 0"),
        (Detector(custom_options=b"no options at all"), "custom options"),
    ],
)
def test_what_litert_refuses_is_left_to_it(detector: Detector, complaint: str) -> None:
    graph = graph_of(detector)
    assert not plans(graph)
    assert complaint in why_not(graph, graph.operators[0])
    if detector.custom_options is None:  # LiteRT reads anything as options
        inputs = [np.zeros((1, 20, width), np.uint8) for width in (4, 5)]
        if detector.options.get("max_classes_per_detection") != 0:  # it writes where it may not
            with pytest.raises((RuntimeError, ValueError)):
                litert_detections(detector.build(anchors_of(detector)), inputs)


def test_a_table_of_detections_has_a_limit() -> None:
    detector = refused(max_detections=MOST_SLOTS, max_classes_per_detection=2)
    assert "allowed are up to" in why_not(graph_of(detector), graph_of(detector).operators[0])


def custom(
    boxes: tuple[int, ...] = (1, 20, 4),
    scores: tuple[int, ...] = (1, 20, 5),
    anchors: tuple[int, ...] = (20, 4),
    dtype: str = "uint8",
    scale: Any = 0.1,
    outputs: int = 4,
) -> Graph:
    builder = ModelBuilder()
    tensors = [
        builder.input(boxes, scale, 0, dtype=dtype),
        builder.input(scores, 0.1, 0),
        builder.constant(np.zeros(anchors, np.uint8), 0.1, 0),
    ]
    results = [builder.tensor((), dtype="float32") for _ in range(outputs)]
    operator = builder.operator(KIND, tensors, results)
    operator.custom_options = flexbuffer(
        {
            "num_classes": 4,
            "nms_iou_threshold": 0.5,
            "max_detections": 3,
            "max_classes_per_detection": 1,
        }
    )
    return tflite.parse(builder.build(results), "detector")


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (custom(boxes=(1, 20, 3)), "shapes [1, 20, 3]"),
        (custom(boxes=(2, 20, 4)), "shapes [2, 20, 4]"),
        (custom(boxes=(1, 19, 4)), "shapes [1, 19, 4]"),
        (custom(boxes=(20, 4)), "shapes [20, 4]"),
        (custom(scores=(20, 5)), "allowed are [1, N, 4 or more]"),
        (custom(anchors=(20, 5)), "[20, 5]"),
        (custom(dtype="int16"), "is int16"),
        (custom(scale=None), "tensor 0 is uint8"),
        (custom(scale=0.0), "tensor 0 is uint8"),
        (custom(dtype="float32", scale=None), "anchors of uint8"),
        (custom(outputs=3), "3 outputs"),
    ],
)
def test_tensors_of_another_kind_are_refused(graph: Graph, complaint: str) -> None:
    assert not plans(graph)
    assert complaint in why_not(graph, graph.operators[0])


def with_logistic(scale: float = 1 / 256, *, output: bool = False, reader: bool = False) -> Graph:
    builder = ModelBuilder()
    boxes, raw = builder.input((1, 20, 4), 0.1, 0), builder.input((1, 20, 5), 0.1, 0)
    scores = builder.tensor((1, 20, 5), scale, 0)
    builder.operator("LOGISTIC", [raw], [scores])
    anchors = builder.constant(np.zeros((20, 4), np.uint8), 0.1, 0)
    results = [builder.tensor((), dtype="float32") for _ in range(4)]
    operator = builder.operator(KIND, [boxes, scores, anchors], results)
    operator.custom_options = flexbuffer(
        {
            "num_classes": 4,
            "nms_iou_threshold": 0.5,
            "max_detections": 3,
            "max_classes_per_detection": 1,
        }
    )
    outputs = [*results, scores] if output else results
    if reader:
        copy = builder.tensor((1, 20, 5), scale, 0)
        builder.operator("RELU", [scores], [copy])
        outputs = [*outputs, copy]
    return tflite.parse(builder.build(outputs), "detector")


def test_a_logistic_is_taken_only_if_nobody_else_needs_it() -> None:
    assert kinds_taken(with_logistic()) == ["LOGISTIC", KIND]
    assert kinds_taken(with_logistic(output=True)) == [KIND]
    assert kinds_taken(with_logistic(reader=True)) == [KIND]
    assert kinds_taken(with_logistic(scale=1 / 128)) == [KIND]
