"""What a model's outputs mean: classes with scores, detections, or just tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import UsageError
from lapilli.model.graph import DETECTION_POSTPROCESS, Graph, Quantization

Shapes = Sequence[tuple[int, ...]]


class Task(Enum):
    """How outputs are read; ``RAW`` is everything that has no reading of its own."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    RAW = "raw"


@dataclass(frozen=True)
class Score:
    """One class of a classifier; ``label`` is empty if none is known."""

    number: int
    label: str
    score: float


@dataclass(frozen=True)
class DetectionOutputs:
    """Which of a model's outputs is what: boxes [1, N, 4], classes and scores [1, N], count [1].

    Without ``certain`` classes and scores, which have one shape, may be the other way round; their
    values tell (``lapilli.answers.detection``).
    """

    boxes: int
    classes: int
    scores: int
    count: int
    certain: bool


def dequantise(
    values: NDArray[np.generic], quantization: Quantization | None
) -> NDArray[np.float64]:
    """Real values of a tensor."""
    real = values.astype(np.float64)
    if quantization is None or not quantization.scales or values.dtype.kind == "f":
        return real
    return (real - quantization.zero_point) * quantization.scale


def is_classifier(shapes: Shapes) -> bool:
    """One output of which only the last dimension is more than 1."""
    return (
        len(shapes) == 1
        and len(shapes[0]) >= 1
        and shapes[0][-1] > 1
        and all(extent == 1 for extent in shapes[0][:-1])
    )


def detection_outputs(graph: Graph, outputs: Sequence[int], shapes: Shapes) -> (
    DetectionOutputs | None
):  # fmt: skip
    """The four outputs of a detector, or None if it is none.

    ``outputs`` are tensor indices, ``shapes`` their shapes. A model is a detector if its outputs
    are those of a TFLite_Detection_PostProcess operator, or four with an SSD's shapes.
    """
    for operator in graph.operators:
        made = operator.outputs
        if operator.kind == DETECTION_POSTPROCESS and len(made) == 4 and set(made) <= set(outputs):
            boxes, classes, scores, count = (outputs.index(tensor) for tensor in made)
            return DetectionOutputs(boxes, classes, scores, count, certain=True)
    return _by_shape(shapes)


def detection_classes(graph: Graph) -> int | None:
    """How many scores a box has in front of a TFLite_Detection_PostProcess operator: one for each
    class of objects, and mostly one for the background. None without such an operator."""
    for operator in graph.operators:
        if (
            operator.kind == DETECTION_POSTPROCESS
            and len(operator.inputs) > 1
            and operator.inputs[1] >= 0
        ):
            shape = graph.tensors[operator.inputs[1]].shape
            return shape[-1] if shape and shape[-1] > 1 else None
    return None


def _by_shape(shapes: Shapes) -> DetectionOutputs | None:
    boxes = [i for i, s in enumerate(shapes) if len(s) == 3 and s[0] == 1 and s[2] == 4]
    if len(shapes) != 4 or len(boxes) != 1:
        return None
    per_box = [i for i, s in enumerate(shapes) if s == (1, shapes[boxes[0]][1])]
    count = [i for i, s in enumerate(shapes) if s in ((), (1,))]
    if len(per_box) != 2 or len(count) != 1:
        return None
    # The post-processing operator gives boxes, classes, scores, count; the converter of TensorFlow
    # 2 sorts them into scores, boxes, count, classes.
    first, second = per_box
    scores_first = first < boxes[0]
    classes, scores = (second, first) if scores_first else (first, second)
    return DetectionOutputs(boxes[0], classes, scores, count[0], certain=False)


def task_of(
    graph: Graph, outputs: Sequence[int], shapes: Shapes, wanted: Task | None = None
) -> Task:
    """The task ``wanted``, or the one the outputs look like. Raises UsageError if they can't be
    read as ``wanted``."""
    possible = [Task.RAW]
    if is_classifier(shapes):
        possible.insert(0, Task.CLASSIFICATION)
    if detection_outputs(graph, outputs, shapes) is not None:
        possible.insert(0, Task.DETECTION)
    if wanted is None:
        return possible[0]
    if wanted not in possible:
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise UsageError(
            f"{graph.name} can't be read as {wanted.value}: its outputs have the shapes {found}; "
            f"{_NEEDED[wanted]}"
        )
    return wanted


_NEEDED = {
    Task.CLASSIFICATION: "a classifier has one output such as [1, 1000]",
    Task.DETECTION: "a detector has four: boxes [1, N, 4], classes and scores [1, N], count [1]",
}


def top_classes(
    scores: NDArray[np.float64], labels: Mapping[int, str], count: int
) -> tuple[Score, ...]:
    """The ``count`` best classes, best first, the lower number first among equals."""
    flat = scores.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    return tuple(Score(int(i), labels.get(int(i), ""), float(flat[i])) for i in order)
