"""Detections by the host are LiteRT's, bit for bit: boxes, classes, scores, their order.

LiteRT writes as many boxes as it counts; what else lies in its outputs is whatever was there
before, here it is 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from detectors import Detector, DetectorCase, litert_detections, random_case, with_options
from numpy.typing import NDArray
from oracle import run_litert
from shared_data import shared_data

from lapilli.answers.images import load_picture, to_input
from lapilli.errors import ModelError
from lapilli.litert.runtime import lists_later_class_first
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.postprocess.detection import DetectionPostProcess, Detections
from lapilli.postprocess.options import DetectionOptions
from lapilli.postprocess.plan import Plan, plans

MOBILEDET = "ssdlite_mobiledet_coco_qat_postprocess.tflite"


def the_plan(graph: Graph) -> Plan:
    (plan,) = plans(graph)
    return plan


def process_of(case: DetectorCase) -> DetectionPostProcess:
    graph = tflite.parse(case.model, "detector")
    process = the_plan(graph).build(graph, lists_later_class_first())
    process.set_anchors(case.anchors)
    return process


def host_detections(
    case: DetectorCase, compiled: bool = False
) -> tuple[DetectionOptions, Detections]:
    process = process_of(case)
    if compiled:
        process.compile()
    found = process.empty()
    process.run(case.encodings, case.scores, found)
    return process.options, found


def bits(values: NDArray[Any]) -> list[int]:
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32).tolist()


def assert_same(options: DetectionOptions, found: Detections, wanted: list[NDArray[Any]]) -> None:
    count = int(wanted[3][0])
    assert int(found.count[0]) == count
    listed = 1 if options.regular else options.max_classes_per_detection
    written = 1 if options.regular else min(listed, options.classes)
    for own, theirs, width in zip(
        (found.edges, found.classes, found.scores), wanted[:3], (4, 1, 1), strict=True
    ):
        assert own.size == theirs.size
        size = count * listed
        rows = own.reshape(-1, width)[:size].reshape(count, listed, width)
        expected = theirs.reshape(-1, width)[:size].reshape(count, listed, width)
        assert bits(rows[:, :written]) == bits(expected[:, :written])
        assert not rows[:, written:].any()
        assert not own.reshape(-1, width)[size:].any()


def check(case: DetectorCase, compiled: bool = False) -> str:
    """``same``, or ``refused`` if both refuse."""
    try:
        wanted = litert_detections(case.model, case.inputs)
    except RuntimeError:
        with pytest.raises(ModelError, match="inside out"):
            host_detections(case, compiled)
        return "refused"
    assert_same(*host_detections(case, compiled), wanted)
    return "same"


# ------------------------------------------------------------------------------- cases by chance

CASES = 2000


def test_a_sample_of_random_cases() -> None:
    found = [check(random_case(seed)) for seed in range(0, CASES, 13)]
    assert found.count("same") > 100
    assert "refused" in found


def test_the_compiled_loop_finds_the_same() -> None:
    pytest.importorskip("numba")
    found = [check(random_case(seed), compiled=True) for seed in range(0, CASES, 13)]
    assert found.count("same") > 100


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(CASES // 100))
def test_random_cases(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(random_case(seed))
        check(random_case(seed), compiled=True)


# ------------------------------------------------------------------------------------- pictures


def test_the_detector_of_the_model_set_finds_in_pictures_what_litert_finds() -> None:
    path = shared_data() / "models" / MOBILEDET
    graph = tflite.load(path)
    plan = the_plan(graph)
    assert [graph.operators[i].kind for i in plan.operators] == [
        "LOGISTIC",
        "CUSTOM:TFLite_Detection_PostProcess",
    ]
    process = plan.build(graph)
    process.set_anchors(np.asarray(graph.tensors[plan.anchors].data))
    pictures = sorted(p for p in (shared_data() / "images").iterdir() if p.suffix != ".txt")
    assert len(pictures) >= 6
    for picture in pictures:
        image = to_input(load_picture(picture, 3), (1, 320, 320, 3), "uint8")
        run = run_litert(path, [image], keep_tensors=True)
        found = process.empty()
        process.run(run.get_tensor(plan.encodings)[0], run.get_tensor(plan.scores)[0], found)
        assert_same(plan.options, found, [run.get_tensor(i) for i in plan.outputs])


# --------------------------------------------------------------------------- what is easily wrong


def case_of(detector: Detector, seed: int = 0, scores: NDArray[Any] | None = None) -> DetectorCase:
    """uint8 boxes and scores."""
    rng = np.random.default_rng(seed)
    anchors = rng.integers(10, 250, (detector.boxes, 4)).astype(np.uint8)
    encodings = rng.integers(100, 156, (detector.boxes, 4)).astype(np.uint8)
    if scores is None:
        scores = rng.integers(0, 256, (detector.boxes, detector.columns)).astype(np.uint8)
    return DetectorCase(detector, anchors, encodings, scores)


@pytest.mark.parametrize("listed", [1, 2, 3, 4])
def test_equal_scores_come_in_litert_s_order(listed: int) -> None:
    scores = np.random.default_rng(1).integers(0, 3, (30, 5)).astype(np.uint8) * 100
    case = case_of(Detector(boxes=30), scores=scores)
    for regular in (False, True):
        assert (
            check(
                with_options(
                    case,
                    use_regular_nms=regular,
                    max_classes_per_detection=listed,
                    nms_iou_threshold=0.9,
                    max_detections=40,
                )
            )
            == "same"
        )


def test_all_scores_may_be_equal_and_all_boxes_one() -> None:
    case = case_of(Detector(boxes=400, columns=91), scores=np.full((400, 91), 200, np.uint8))
    case = replace(case, anchors=np.full((400, 4), 80, np.uint8))
    for regular in (False, True):
        options = {"num_classes": 90, "max_detections": 700, "use_regular_nms": regular}
        assert check(with_options(case, **options)) == "same"


def test_a_byte_above_another_may_be_worth_the_same() -> None:
    """Behind a LOGISTIC that saturates the lower class counts, not the higher byte."""
    scores = np.random.default_rng(2).integers(240, 256, (30, 5)).astype(np.uint8)
    detector = Detector(boxes=30, logistic=True, score_values=(0.3, 128))
    case = case_of(detector, scores=scores)
    for listed in (1, 2):
        assert check(with_options(case, max_classes_per_detection=listed)) == "same"


@pytest.mark.parametrize("columns", [5, 8])
def test_scores_with_a_zero_point_are_rounded_as_litert_rounds_them(columns: int) -> None:
    detector = Detector(boxes=3, columns=columns, score_values=(0.0176, 157))
    case = with_options(case_of(detector), num_classes=columns, nms_score_threshold=-9.0)
    assert check(with_options(case, max_classes_per_detection=columns)) == "same"


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("logistic", [False, True])
def test_int8_is_uint8_moved_by_128(logistic: bool, regular: bool) -> None:
    """LiteRT has no int8 kernel of the operator."""
    for seed in range(20):
        unsigned = Detector(
            logistic=logistic, score_values=(0.05, 120) if logistic else (1 / 256, 0)
        )
        case = with_options(case_of(unsigned, seed), use_regular_nms=regular)
        detector = replace(
            case.detector,
            box_type="int8",
            score_type="int8",
            box_values=moved(unsigned.box_values),
            score_values=moved(unsigned.score_values),
            anchor_values=moved(unsigned.anchor_values),
        )
        arrays = {
            name: (getattr(case, name) ^ np.uint8(128)).view(np.int8)
            for name in ("anchors", "encodings", "scores")
        }
        _, wanted = host_detections(case)
        _, found = host_detections(DetectorCase(detector, **arrays))
        assert int(wanted.count[0]) > 0
        for own, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
            assert bits(own) == bits(other)


def moved(values: tuple[float, int]) -> tuple[float, int]:
    return values[0], values[1] - 128


def test_boxes_of_an_anchor_with_a_negative_size_are_an_error_as_in_litert() -> None:
    detector = Detector(boxes=4, box_type="float32", score_type="float32")
    anchors = np.full((4, 4), 0.5, np.float32)
    encodings = np.zeros((4, 4), np.float32)
    for column in (2, 3):
        bad = anchors.copy()
        bad[1, column] = -0.5
        case = DetectorCase(detector, bad, encodings, np.full((4, 5), 0.9, np.float32))
        assert check(case) == "refused"
    assert check(DetectorCase(detector, anchors, encodings, np.full((4, 5), 0.9, np.float32))) == (
        "same"
    )


def test_one_object_serves_many_inferences() -> None:
    """Nothing of a picture is left for the next one."""
    case = case_of(Detector(boxes=300, columns=21), 3)
    for regular in (False, True):
        options = {"num_classes": 20, "use_regular_nms": regular, "detections_per_class": 2}
        case = with_options(case, **options)
        process = process_of(case)
        found = process.empty()
        for seed in (3, 4, 3):
            own = case_of(case.detector, seed)
            process.set_anchors(own.anchors)
            process.run(own.encodings, own.scores, found)
            assert_same(process.options, found, litert_detections(own.model, own.inputs))
        process.run(own.encodings, np.zeros_like(own.scores), found)
        assert not any(array.any() for array in vars(found).values())
