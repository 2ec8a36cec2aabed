"""Whether NPU and CPU give the same answer, as somebody who uses the model would see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lapilli.answers import detection, results
from lapilli.answers.detection import Detection
from lapilli.answers.results import Task
from lapilli.diff.statistics import Difference, difference
from lapilli.model.graph import Graph, Values

THRESHOLD: Final = 0.5
"""Score from which a detection counts."""
SAME_BOX: Final = 0.5
"""Common area of two boxes, as a share of what both cover, from which they are one."""


@dataclass(frozen=True)
class Answer:
    """What the outputs say on both sides.

    ``same``: whether the first class is the same, or all detections; None for a model without such
    a reading. ``npu``, ``cpu``: in words. ``largest``: of the outputs, in their steps, None if none
    of them is quantised; ``largest_real``: of outputs that are floats, None if there are none. Of a
    detector it is that of scores and edges (in parts of the picture) of detections that both have.
    """

    task: Task
    same: bool | None
    npu: str
    cpu: str
    largest: int | None
    largest_real: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "task": self.task.value,
            "same_answer": self.same,
            "npu": self.npu or None,
            "cpu": self.cpu or None,
            "largest_output_steps": self.largest,
            "largest_output_difference": self.largest_real,
        }


def answer_of(graph: Graph, npu: Mapping[int, Values], cpu: Mapping[int, Values]) -> Answer | None:
    """``npu`` and ``cpu``: values by tensor. None where a side lacks an output's."""
    if any(index not in side for side in (npu, cpu) for index in graph.outputs):
        return None
    shapes = [tuple(cpu[index].shape) for index in graph.outputs]
    task = results.task_of(graph, graph.outputs, shapes)
    same, words = None, ("", "")
    largest, largest_real = _largest(graph, npu, cpu)
    real = [_real(graph, side) for side in (npu, cpu)]
    if task is Task.CLASSIFICATION:
        same, words = _classes(real[0][0], real[1][0])
    elif task is Task.DETECTION:
        outputs = results.detection_outputs(graph, graph.outputs, shapes)
        assert outputs is not None, "that is the task"
        found = [detection.above(detection.read(outputs, values), THRESHOLD) for values in real]
        same, words, largest_real = same_detections(found[0], found[1])
    return Answer(task, same, *words, largest, largest_real)


def _real(graph: Graph, side: Mapping[int, Values]) -> list[NDArray[np.float64]]:
    return [
        results.dequantise(side[index], graph.tensors[index].quantization)
        for index in graph.outputs
    ]


def _classes(npu: NDArray[np.float64], cpu: NDArray[np.float64]) -> tuple[bool, tuple[str, str]]:
    """Equal scores are one place: any of their classes may come first."""
    ours, theirs = npu.reshape(-1), cpu.reshape(-1)
    first, other = int(ours.argmax()), int(theirs.argmax())
    same = bool(theirs[first] == theirs[other] or ours[other] == ours[first])
    return same, (
        f"class {first} first, score {ours[first]:.3f}",
        f"class {other} first, score {theirs[other]:.3f}",
    )


def same_detections(
    npu: Sequence[Detection], cpu: Sequence[Detection]
) -> tuple[bool, tuple[str, str], float]:
    """Every detection must have one of the same class and place on the other side."""
    left = list(cpu)
    pairs = []
    for ours in npu:
        other = next((theirs for theirs in left if _one(ours, theirs)), None)
        if other is not None:
            left.remove(other)
            pairs.append((ours, other))
    off = [abs(a - b) for pair in pairs for a, b in zip(*map(_numbers, pair), strict=True)]
    same = len(pairs) == len(npu) == len(cpu)
    return same, (_listed(npu), _listed(cpu)), max(off, default=0.0)


def _numbers(found: Detection) -> tuple[float, ...]:
    box = found.box
    return found.score, box.left, box.top, box.right, box.bottom


def _one(first: Detection, second: Detection) -> bool:
    """Of one class, and mostly in one place."""
    if first.number != second.number:
        return False
    shared = detection.common(first.box, second.box)
    covered = first.box.area + second.box.area - shared
    return covered > 0 and shared / covered >= SAME_BOX


def _listed(found: Sequence[Detection]) -> str:
    listed = ", ".join(f"class {each.number} {each.score:.2f}" for each in found[:4])
    more = ", …" if len(found) > 4 else ""
    noun = "detection" if len(found) == 1 else "detections"
    return f"{len(found)} {noun}" + (f" ({listed}{more})" if found else "")


def _largest(
    graph: Graph, npu: Mapping[int, Values], cpu: Mapping[int, Values]
) -> tuple[int | None, float | None]:
    """Over all outputs: in steps of quantised ones, and of floats as they are."""
    steps: list[int] = []
    floats: list[float] = []
    for index in graph.outputs:
        ours, theirs = npu[index], cpu[index]
        if ours.shape != theirs.shape or theirs.dtype.kind not in "iubf" or not theirs.size:
            continue
        if theirs.dtype.kind == "f":
            floats.append(float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max()))
            continue
        found: Difference = difference(
            ours.astype(theirs.dtype), theirs, graph.tensors[index].quantization
        )
        steps += [] if found.maximum is None else [found.maximum]
    return max(steps, default=None), max(floats, default=None)
