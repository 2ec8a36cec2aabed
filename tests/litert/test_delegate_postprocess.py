"""A detector's post-processing in the delegate: what is taken, and that it gives LiteRT's bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from detectors import (
    OPTIONS,
    Detector,
    DetectorCase,
    flexbuffer,
    litert_detections,
    random_case,
)
from fake_npu import FakeBackend, new_interpreter
from models import ModelBuilder
from numpy.typing import NDArray
from shared_data import shared_data

from lapilli.answers.images import load_picture, to_input
from lapilli.errors import UsageError
from lapilli.litert.delegate import Delegate

MOBILEDET = "ssdlite_mobiledet_coco_qat_postprocess.tflite"


def delegate(**options: Any) -> Delegate:
    """One whose NPU takes nothing."""
    return Delegate(_backend=FakeBackend(kinds=()), **options)


def results(interpreter: Any, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def assert_equal(found: list[NDArray[Any]], wanted: list[NDArray[Any]], listed: int = 1) -> None:
    """As many boxes as LiteRT counts; behind them its tensors are not written."""
    assert found[3].tobytes() == wanted[3].tobytes()
    written = int(wanted[3][0]) * listed
    for own, theirs in zip(found[:3], wanted[:3], strict=True):
        assert own.shape == theirs.shape
        assert own[:, :written].tobytes() == theirs[:, :written].tobytes()


# ------------------------------------------------------------------------------------ what is taken


def test_a_detector_gives_litert_s_boxes_with_its_last_two_operators_taken() -> None:
    pytest.importorskip("PIL")
    model = (shared_data() / "models" / MOBILEDET).read_bytes()
    own = delegate()
    interpreter, plain = new_interpreter(model, own), new_interpreter(model)
    assert own.partitions == ()
    assert own.host_parts == ((123, 124),)
    assert [verdict.rule for verdict in own.verdicts[123:]] == ["postprocess", "postprocess"]
    for name in ("kite_and_cold.jpg", "parrot.jpg"):
        picture = load_picture(shared_data() / "images" / name, 3)
        inputs = [to_input(picture, (1, 320, 320, 3), "uint8")]
        assert_equal(results(interpreter, inputs), results(plain, inputs))


def cases(count: int) -> list[DetectorCase]:
    """Of those that all versions of LiteRT treat alike: numbers that are finite, scores without a
    zero point, sizes that are positive."""
    chosen = (random_case(seed) for seed in range(1000, 1000 + 6 * count))
    return [case for case in chosen if is_plain(case)][:count]


def is_plain(case: DetectorCase) -> bool:
    detector = case.detector
    shifted = detector.score_type == "uint8" and detector.score_values[1] != 0
    return (
        np.isfinite(case.scores).all()
        and np.isfinite(case.encodings).all()
        and not (case.anchors < 0).any()
        and (detector.logistic or not shifted)
    )


def test_random_detectors_give_litert_s_boxes() -> None:
    for case in cases(40):
        own = delegate()
        found = results(new_interpreter(case.model, own), case.inputs)
        (taken,) = own.host_parts
        detector = case.detector
        assert len(taken) == 1 + detector.logistic + sum(
            detector.dequantize and dtype != "float32"
            for dtype in (detector.box_type, detector.score_type)
        )
        options = {**OPTIONS, **detector.options}
        listed = 1 if options["use_regular_nms"] else options["max_classes_per_detection"]
        if listed > options["num_classes"]:
            continue  # what lies between is not written
        assert_equal(found, litert_detections(case.model, case.inputs), listed)


def test_nothing_is_taken_if_that_is_the_wish() -> None:
    case = random_case(0)
    own = delegate(postprocess=False)
    new_interpreter(case.model, own)
    assert own.host_parts == ()


def test_two_detectors_and_operators_behind_them() -> None:
    """What reads the boxes is prepared with the shapes that the delegate gives them."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    inputs, outputs = [], []
    for _ in range(2):
        boxes = builder.input((1, 20, 4), 0.05, 128)
        raw = builder.input((1, 20, 5), 0.05, 128)
        scores = builder.tensor((1, 20, 5), 1 / 256, 0)
        builder.operator("LOGISTIC", [raw], [scores])
        anchors = builder.constant(rng.integers(1, 255, (20, 4)).astype(np.uint8), 0.004, 0)
        made = [builder.tensor((), dtype="float32") for _ in range(4)]
        kind = "CUSTOM:TFLite_Detection_PostProcess"
        operator = builder.operator(kind, [boxes, scores, anchors], made)
        operator.custom_options = flexbuffer({**OPTIONS, "nms_score_threshold": 0.0})
        negated = builder.tensor((), dtype="float32")
        builder.operator("NEG", [made[0]], [negated])
        outputs += [*made, negated]
        inputs += [rng.integers(0, 256, (1, 20, width)).astype(np.uint8) for width in (4, 5)]
    model = builder.build(outputs)
    own = delegate()
    found = results(new_interpreter(model, own), inputs)
    wanted = results(new_interpreter(model), inputs)
    assert sorted(own.host_parts) == [(0, 1), (3, 4)]
    for first in (0, 5):
        assert_equal(found[first : first + 4], wanted[first : first + 4])
        assert found[first + 4].tobytes() == (-found[first]).tobytes()


def test_operators_that_need_the_scores_keep_the_logistic() -> None:
    builder = ModelBuilder()
    boxes, raw = builder.input((1, 20, 4), 0.05, 128), builder.input((1, 20, 5), 0.05, 128)
    scores = builder.tensor((1, 20, 5), 1 / 256, 0)
    builder.operator("LOGISTIC", [raw], [scores])
    anchors = builder.constant(np.full((20, 4), 99, np.uint8), 0.004, 0)
    made = [builder.tensor((), dtype="float32") for _ in range(4)]
    operator = builder.operator(
        "CUSTOM:TFLite_Detection_PostProcess", [boxes, scores, anchors], made
    )
    operator.custom_options = flexbuffer(OPTIONS)
    model = builder.build([*made, scores])
    own = delegate()
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 256, (1, 20, width)).astype(np.uint8) for width in (4, 5)]
    found = results(new_interpreter(model, own), inputs)
    wanted = results(new_interpreter(model), inputs)
    assert own.host_parts == ((1,),)
    assert found[4].tobytes() == wanted[4].tobytes()
    assert_equal(found[:4], wanted[:4])


# -------------------------------------------------------------------------------------- what fails


def test_strict_counts_what_is_left_to_litert() -> None:
    model = random_case(4).model
    new_interpreter(model, delegate(strict=True))
    with pytest.raises(RuntimeError, match="would stay on the CPU"):
        new_interpreter(model, delegate(strict=True, postprocess=False))


def test_an_error_at_an_inference_is_told() -> None:
    detector = Detector(boxes=4, box_type="float32", score_type="float32")
    anchors = np.full((4, 4), 0.5, np.float32)
    anchors[2, 3] = -0.5
    scores = np.full((4, 5), 0.9, np.float32)
    case = DetectorCase(detector, anchors, np.zeros((4, 4), np.float32), scores)
    own = delegate()
    interpreter = new_interpreter(case.model, own)
    with pytest.raises(RuntimeError, match="box 2 is inside out"):
        results(interpreter, case.inputs)
    assert "inside out" in str(own.error)


def test_what_litert_refuses_it_refuses_with_the_delegate_as_well() -> None:
    case = random_case(0)
    detector = replace(case.detector, options={**case.detector.options, "nms_iou_threshold": 0.0})
    model = replace(case, detector=detector).model
    own = delegate()
    interpreter = new_interpreter(model, own)
    assert own.host_parts == ()
    with pytest.raises(RuntimeError, match="threshold"):
        results(interpreter, case.inputs)


@pytest.mark.parametrize("value", [None, "yes", 2])
def test_the_option_is_checked(value: Any) -> None:
    with pytest.raises(UsageError, match="postprocess is True, False or 'compiled'"):
        delegate(postprocess=value)


def test_the_compiled_loop_gives_the_same() -> None:
    pytest.importorskip("numba")
    pytest.importorskip("PIL")
    model = (shared_data() / "models" / MOBILEDET).read_bytes()
    picture = load_picture(shared_data() / "images" / "cat.bmp", 3)
    inputs = [to_input(picture, (1, 320, 320, 3), "uint8")]
    own = delegate(postprocess="compiled")
    assert_equal(
        results(new_interpreter(model, own), inputs), results(new_interpreter(model), inputs)
    )
    assert own.host_parts == ((123, 124),)
