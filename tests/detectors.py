"""Models of a TFLite_Detection_PostProcess and what is in front of it, and cases made by chance.

``Detector`` says how a model is built, ``random_case`` makes one with inputs for it from a seed.
Many cases have few different scores, so that there are ties, and boxes that overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.litert import runtime as litert

KIND = "CUSTOM:TFLite_Detection_PostProcess"
OPTIONS: Mapping[str, Any] = {
    "max_detections": 10,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.6,
    "num_classes": 4,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}
Quantized = tuple[float, int]


def flexbuffer(values: Mapping[str, Any]) -> bytes:
    """The custom options with these values; those that are None are left out."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            if value is not None:
                builder.Key(name)
                builder.Add(value)
    return bytes(builder.Finish())


@dataclass(frozen=True)
class Detector:
    """A model. ``box_type`` and ``score_type`` are those of the inputs; with ``dequantize`` they
    become float32 in front of the operator, with ``logistic`` the scores pass through one."""

    boxes: int = 20
    columns: int = 5
    box_type: str = "uint8"
    score_type: str = "uint8"
    coordinates: int = 4
    box_values: Quantized = (0.07, 128)
    score_values: Quantized = (1 / 256, 0)
    anchor_values: Quantized = (0.004, 0)
    logistic: bool = False
    dequantize: bool = False
    variable_anchors: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    custom_options: bytes | None = None

    @property
    def anchor_type(self) -> str:
        """What LiteRT reads."""
        return "float32" if self.dequantize or self.box_type == "float32" else self.box_type

    def build(self, anchors: NDArray[Any]) -> bytes:
        """Inputs: box encodings, scores and, if they are variable, anchors."""
        builder = ModelBuilder()
        encodings = self._input(builder, self.coordinates, self.box_type, self.box_values)
        scores = self._input(builder, self.columns, self.score_type, self.score_values)
        if self.logistic:
            lowest = -128 if self.score_type == "int8" else 0
            shape = (1, self.boxes, self.columns)
            result = builder.tensor(shape, 1 / 256, lowest, dtype=self.score_type)
            builder.operator("LOGISTIC", [scores], [result])
            scores = result
        if self.dequantize:
            encodings = self._dequantized(builder, encodings)
            scores = self._dequantized(builder, scores)
        values = (None, 0) if self.anchor_type == "float32" else self.anchor_values
        if self.variable_anchors:
            table = builder.input(anchors.shape, *values, dtype=self.anchor_type)
        else:
            table = builder.constant(anchors.astype(self.anchor_type), *values)
        outputs = [builder.tensor((), dtype="float32") for _ in range(4)]
        operator = builder.operator(KIND, [encodings, scores, table], outputs)
        if self.custom_options is None:
            operator.custom_options = flexbuffer({**OPTIONS, **self.options})
        else:
            operator.custom_options = self.custom_options
        return builder.build(outputs)

    def _input(self, builder: ModelBuilder, width: int, dtype: str, values: Quantized) -> int:
        if dtype == "float32":
            return builder.input((1, self.boxes, width), None, dtype=dtype)
        return builder.input((1, self.boxes, width), *values, dtype=dtype)

    def _dequantized(self, builder: ModelBuilder, tensor: int) -> int:
        spec = builder.tensors[tensor]
        if spec.dtype == "float32":
            return tensor
        assert spec.shape is not None
        result = builder.tensor(spec.shape, dtype="float32")
        builder.operator("DEQUANTIZE", [tensor], [result], version=2)
        return result


@dataclass(frozen=True, eq=False)
class DetectorCase:
    """A detector with anchors and inputs, batch 1 left out."""

    detector: Detector
    anchors: NDArray[Any]
    encodings: NDArray[Any]
    scores: NDArray[Any]

    @property
    def model(self) -> bytes:
        """The file."""
        return self.detector.build(self.anchors)

    @property
    def inputs(self) -> list[NDArray[Any]]:
        """In the model's order."""
        inputs = [self.encodings[None], self.scores[None]]
        return [*inputs, self.anchors] if self.detector.variable_anchors else inputs


def litert_detections(model: bytes, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Boxes, classes, scores and count by LiteRT on one thread: with more, its suppression of each
    class by itself leaves out a class in some cases. RuntimeError if it fails."""
    interpreter = litert.interpreter_class()(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


# ------------------------------------------------------------------------------------ by chance


def random_case(seed: int) -> DetectorCase:
    """A case made of the seed."""
    rng = np.random.default_rng(seed)
    detector = _random_detector(rng)
    scores = _random_scores(rng, detector)
    encodings, anchors = _random_boxes(rng, detector)
    return DetectorCase(detector, anchors, encodings, scores)


def _random_detector(rng: np.random.Generator) -> Detector:
    classes = int(rng.choice([1, 2, 3, 7, 20, 90]))
    boxes = int(rng.choice([1, 2, 10, 60, 150, 400]))
    box_type, score_type, dequantize = (
        ("uint8", "uint8", False),
        ("uint8", "uint8", False),
        ("uint8", "uint8", True),
        ("int8", "int8", True),
        ("float32", "float32", False),
        ("float32", "uint8", False),
        ("uint8", "float32", False),
    )[rng.integers(7)]
    logistic = score_type != "float32" and bool(rng.integers(2))
    lowest = -128 if score_type == "int8" else 0
    score_values = (1 / 256, lowest)
    if logistic or rng.integers(4) == 0:
        score_values = (float(10 ** rng.uniform(-2.5, -0.5)), int(rng.integers(256)) + lowest)
    box_lowest = -128 if box_type == "int8" else 0
    return Detector(
        boxes,
        classes + int(rng.integers(2)),
        box_type,
        score_type,
        coordinates=int(rng.choice([4, 4, 4, 6])),
        box_values=(float(rng.uniform(0.01, 0.1)), int(rng.integers(60, 200)) + box_lowest),
        score_values=score_values,
        anchor_values=(float(rng.uniform(0.002, 0.01)), int(rng.choice([0, 0, 0, 3])) + box_lowest),
        logistic=logistic,
        dequantize=dequantize,
        variable_anchors=bool(rng.integers(6) == 0),
        options=_random_options(rng, classes),
    )


def _random_options(rng: np.random.Generator, classes: int) -> dict[str, Any]:
    regular = bool(rng.integers(2))
    return {
        "max_detections": int(rng.choice([1, 2, 5, 20, 100, 700] if regular else [0, 1, 5, 100])),
        "max_classes_per_detection": int(rng.choice([1, 1, 1, 2, 3, classes + 2])),
        "detections_per_class": [None, 1, 3, 100, 1000][rng.integers(5)],
        "use_regular_nms": regular if regular or rng.integers(2) else None,
        "nms_score_threshold": float(rng.choice([-1, 0, 1e-8, 0.1, 0.3, 0.5, 0.9, 1.0])),
        "nms_iou_threshold": float(rng.choice([1e-3, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0])),
        "num_classes": classes,
        **{f"{name}_scale": float(rng.choice([1, 5, 10])) for name in "yxhw"},
    }


def _random_scores(rng: np.random.Generator, detector: Detector) -> NDArray[Any]:
    shape = (detector.boxes, detector.columns)
    values = rng.beta(*[(0.5, 5), (1, 1), (5, 1)][rng.integers(3)], size=shape)
    if rng.integers(2):  # ties
        values = np.round(values * 6) / 6
    if detector.score_type == "float32":
        found = values.astype(np.float32)
        return _with_odd_values(rng, found) if rng.integers(4) == 0 else found
    return (np.clip(values * 256, 0, 255).astype(np.uint8) ^ _sign(detector.score_type)).view(
        detector.score_type
    )


def _with_odd_values(rng: np.random.Generator, values: NDArray[Any]) -> NDArray[Any]:
    """Some that are no number, infinite, hardly above 0 or a negative 0."""
    odd = np.array([np.nan, np.inf, -np.inf, 1e-42, -0.0, 3e38], np.float32)
    chosen = rng.uniform(size=values.shape) < 0.05
    return np.where(chosen, odd[rng.integers(len(odd), size=values.shape)], values)


def _sign(dtype: str) -> np.uint8:
    return np.uint8(128 if dtype == "int8" else 0)


def _random_boxes(
    rng: np.random.Generator, detector: Detector
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Encodings and anchors; often several anchors share a place."""
    shape = (detector.boxes, detector.coordinates)
    places = int(rng.integers(1, detector.boxes + 1))
    real = np.concatenate((rng.uniform(0, 1, (places, 2)), rng.uniform(0.05, 0.5, (places, 2))), 1)
    real = real[rng.integers(places, size=detector.boxes)]
    if detector.box_type == "float32":
        encodings = rng.normal(scale=rng.choice([0.3, 1, 3]), size=shape).astype(np.float32)
        if rng.integers(6) == 0:
            encodings = _with_odd_values(rng, encodings)
    else:
        spread = float(rng.choice([5, 20, 60]))
        stored = np.clip(rng.normal(128, spread, shape), 0, 255).astype(np.uint8)
        encodings = (stored ^ _sign(detector.box_type)).view(detector.box_type)
    if detector.anchor_type == "float32":
        if rng.integers(8) == 0:  # inside out, or of no or hardly any size
            real[:, 2:] *= rng.choice([-1, 0, 1e-25, 1, 1], size=(len(real), 2))
        return encodings, real.astype(np.float32)
    scale, zero_point = detector.anchor_values
    return encodings, np.clip(real / scale + zero_point, 0, 255).astype(np.uint8)


def with_options(case: DetectorCase, **options: Any) -> DetectorCase:
    """The same case with some options changed."""
    changed = replace(case.detector, options={**case.detector.options, **options})
    return replace(case, detector=changed)
