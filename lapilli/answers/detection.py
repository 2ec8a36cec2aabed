"""A detector's outputs as a list of things with a class, a score and a box.

Boxes come as [top, left, bottom, right] in parts of the picture's height and width, whatever the
size the model was fed with, so they count for the original picture as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lapilli.answers.results import DetectionOutputs


@dataclass(frozen=True)
class Box:
    """Edges, in parts of the picture (0 to 1) or in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """0 if there is nothing inside."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)

    def scaled(self, width: float, height: float) -> Box:
        """In pixels of a picture of this size."""
        return Box(self.left * width, self.top * height, self.right * width, self.bottom * height)

    def clipped(self) -> Box:
        """The part that is inside the picture, of a box in parts of the picture."""
        left, top, right, bottom = (
            min(max(edge, 0.0), 1.0) for edge in (self.left, self.top, self.right, self.bottom)
        )
        return Box(left, top, right, bottom)


@dataclass(frozen=True)
class Detection:
    """``label`` is empty if none is known; ``box`` is in parts of the picture and inside it."""

    number: int
    label: str
    score: float
    box: Box


def common(first: Box, second: Box) -> float:
    """The area inside both."""
    return Box(
        max(first.left, second.left),
        max(first.top, second.top),
        min(first.right, second.right),
        min(first.bottom, second.bottom),
    ).area


def overlap(first: Box, second: Box) -> float:
    """Intersection over union: 1 for equal boxes, 0 for separate ones."""
    intersection = common(first, second)
    union = first.area + second.area - intersection
    return intersection / union if union > 0 else 0.0


def read(outputs: DetectionOutputs, values: Sequence[NDArray[np.float64]]) -> tuple[Detection, ...]:
    """All detections, best first, without labels. ``values`` are a model's real outputs.

    Left out are those without a number for score, class or box and those with nothing inside the
    picture.
    """
    boxes = values[outputs.boxes].reshape(-1, 4)
    classes, scores = (values[i].reshape(-1) for i in (outputs.classes, outputs.scores))
    if not outputs.certain and _whole(scores) and not _whole(classes):
        classes, scores = scores, classes
    counted = np.nan_to_num(values[outputs.count].reshape(-1)[:1])
    count = int(np.clip(counted, 0, len(scores))[0])
    numbers = np.column_stack([classes, scores, boxes])[:count]
    usable = np.isfinite(numbers).all(axis=1) & (numbers[:, 0] >= 0)
    found = []
    for number, score, top, left, bottom, right in numbers[usable].tolist():
        box = Box(left, top, right, bottom).clipped()
        if box.area > 0:
            found.append(Detection(int(number), "", score, box))
    return tuple(sorted(found, key=lambda detection: -detection.score))


def _whole(values: NDArray[np.float64]) -> bool:
    """Class numbers only."""
    return bool(np.all(values == np.floor(values)))


def above(detections: Sequence[Detection], threshold: float) -> tuple[Detection, ...]:
    """Those with a score of at least ``threshold``."""
    return tuple(detection for detection in detections if detection.score >= threshold)


def labelled(detections: Sequence[Detection], labels: Mapping[int, str]) -> tuple[Detection, ...]:
    """With labels, by class number."""
    return tuple(replace(d, label=labels.get(d.number, "")) for d in detections)
