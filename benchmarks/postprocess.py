"""The host's own LOGISTIC and TFLite_Detection_PostProcess beside LiteRT's, in one run.

    python benchmarks/postprocess.py [--json]

SSDLite MobileDet's last two operators on the scores and box encodings of each picture, with the
model's own options (one class a box, threshold 1e-8), with a threshold of 0.3, and the same with
suppression for each class by itself. NumPy alone, with the loop that numba compiles if there is
numba, and LiteRT, on one thread, in turns, each time the CPU time of the best of many runs. Models
and pictures are taken from LAPILLI_TEST_DATA.

NumPy is ten times as fast as LiteRT where each class is suppressed by itself, and not else: LiteRT
takes 0.75 ms for the model as it is, of which the one pass over 185,094 bytes and the order of the
anchors alone are 0.05 ms here. What is left for the boxes would be some 20 calls of NumPy;
comparing the 150 to 450 that are looked at takes 30 a batch of 128, and a step in Python for each
pair that overlaps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from detectors import OPTIONS, Detector

from lapilli.answers.images import load_picture, to_input
from lapilli.errors import UsageError
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.postprocess.detection import DetectionPostProcess
from lapilli.postprocess.plan import Plan, plans

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
MODEL = DATA / "models/ssdlite_mobiledet_coco_qat_postprocess.tflite"
ROUNDS, BATCH = 30, 10
VARIANTS = {
    "as the model has it": {},
    "threshold 0.3": {"nms_score_threshold": 0.3},
    "each class by itself": {"use_regular_nms": True},
    "each class, threshold 0.3": {"use_regular_nms": True, "nms_score_threshold": 0.3},
}
AIM = 10.0


def _microseconds(action: Callable[[], object], count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        action()
    return 1e6 * (time.thread_time() - start) / count


def _in_turns(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of each, the best of many rounds."""
    slow = max(_microseconds(action, 2) for action in actions.values()) > 5000
    rounds, count = (3, 2) if slow else (ROUNDS, BATCH)
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(rounds):
        for name, action in actions.items():
            best[name] = min(best[name], _microseconds(action, count))
    return best


def _tensors(plan: Plan) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Box encodings and raw scores of each picture, by LiteRT."""
    interpreter = Interpreter(str(MODEL), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    found = {}
    for picture in sorted((DATA / "images").iterdir()):
        if picture.suffix != ".txt":
            values = to_input(load_picture(picture, 3), tuple(detail["shape"]), "uint8")
            interpreter.set_tensor(detail["index"], values)
            interpreter.invoke()
            found[picture.stem] = tuple(
                interpreter.get_tensor(i) for i in (plan.encodings, plan.scores)
            )
    return found


def _last_operators(graph: Graph, plan: Plan, options: dict[str, Any]) -> bytes:
    """A model of the operators of the plan alone."""
    own = plan.options
    quantised = [graph.tensors[i].quantization for i in (plan.encodings, plan.scores, plan.anchors)]
    boxes, scores, anchors = ((q.scale, q.zero_point) for q in quantised if q is not None)
    detector = Detector(
        *graph.tensors[plan.scores].shape[1:],
        box_values=boxes,
        score_values=scores,
        anchor_values=anchors,
        logistic=True,
        options={
            **OPTIONS,
            "max_detections": own.max_detections,
            "nms_score_threshold": own.score_threshold,
            "nms_iou_threshold": own.overlap_threshold,
            "num_classes": own.classes,
            **options,
        },
    )
    return detector.build(np.asarray(graph.tensors[plan.anchors].data))


@dataclass(frozen=True)
class Sides:
    """The operators of one variant on each side."""

    interpreter: Any
    process: DetectionPostProcess
    compiled: DetectionPostProcess | None

    def times(self, boxes: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
        """Microseconds of one inference; the results must be equal."""
        interpreter = self.interpreter
        for detail, array in zip(interpreter.get_input_details(), (boxes, scores), strict=True):
            interpreter.set_tensor(detail["index"], array)
        own = self.process.empty()
        actions: dict[str, Callable[[], object]] = {
            "litert_us": interpreter.invoke,
            "numpy_us": lambda: self.process.run(boxes[0], scores[0], own),
        }
        if self.compiled is not None:
            other, loop = self.compiled.empty(), self.compiled
            actions["compiled_us"] = lambda: loop.run(boxes[0], scores[0], other)
        found = _in_turns(actions)
        count = int(own.count[0])
        for detail, array in zip(interpreter.get_output_details(), vars(own).values(), strict=True):
            theirs = interpreter.get_tensor(detail["index"])
            if not np.array_equal(array[:count], theirs.reshape(array.shape)[:count]):
                raise SystemExit("the results differ")
        return found


def _sides(graph: Graph, plan: Plan, options: dict[str, Any]) -> Sides:
    model = _last_operators(graph, plan, options)
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    alone = tflite.parse(model, "the last operators")
    (changed,) = plans(alone)
    processes = [changed.build(alone) for _ in range(2)]
    for process in processes:
        process.set_anchors(np.asarray(graph.tensors[plan.anchors].data))
    try:
        processes[1].compile()
    except UsageError:
        return Sides(interpreter, processes[0], None)
    return Sides(interpreter, *processes)


def measure() -> list[dict[str, Any]]:
    """One row for each variant and picture, with the microseconds of all sides."""
    graph = tflite.load(MODEL)
    (plan,) = plans(graph)
    rows = []
    tensors = _tensors(plan)
    for name, options in VARIANTS.items():
        sides = _sides(graph, plan, options)
        rows += [
            {"variant": name, "picture": picture, **sides.times(*values)}
            for picture, values in tensors.items()
        ]
    return rows


def main() -> None:
    """Print the figures."""
    rows = measure()
    if "--json" in sys.argv:
        print(json.dumps({"aim": AIM, "rows": rows}, indent=2))
        return
    sides = [side for side in rows[0] if side.endswith("_us")]
    print(f"{'':<28}{'picture':<16}" + "".join(f"{side[:-3] + ' µs':>13}" for side in sides))
    for row in rows:
        times = "".join(f"{row[side]:>13.0f}" for side in sides)
        print(f"{row['variant']:<28}{row['picture']:<16}{times}")
    for name in VARIANTS:
        totals = [sum(row[side] for row in rows if row["variant"] == name) for side in sides]
        ratios = ", ".join(
            f"{side[:-3]} {totals[0] / total:.1f}"
            for side, total in zip(sides[1:], totals[1:], strict=True)
        )
        print(f"{name}, times as fast as LiteRT: {ratios} (aim: {AIM:.0f})")


if __name__ == "__main__":
    main()
