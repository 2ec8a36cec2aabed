"""``lapilli run``: a model file and an input in, the answer out."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from lapilli.answers import detection, draw, images, results
from lapilli.answers import labels as label_files
from lapilli.answers.detection import Detection
from lapilli.answers.inputs import Input, PictureWish, is_array, read_all
from lapilli.answers.label_formats import Names
from lapilli.answers.labels import Classes, Labels
from lapilli.answers.results import Score, Task
from lapilli.cli import answer, hang, options, progress, targets
from lapilli.cli.completion import FILE
from lapilli.cli.text import count, say
from lapilli.compiler.cuts import partition_wish
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.compiler.verdict import ON_HOST
from lapilli.errors import ModelError, Unsupported, UsageError
from lapilli.files import replacing
from lapilli.litert import runtime as litert
from lapilli.litert.inference import Inference, Times
from lapilli.model.graph import Values
from lapilli.model.input_shapes import Shapes
from lapilli.profile.board_time import board_time_of

DEFAULT_TOP = 5
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Wishes:
    """What the options say about the answer; None is what was not given."""

    task: Task | None
    top: int | None
    threshold: float | None
    save_image: str | None
    output: str | None
    save_hang: str | None

    @property
    def lowest(self) -> float:
        """Score from which detections count."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True)
class Reading:
    """What the outputs say. ``best`` is the score of the best detection, above the threshold or
    not; ``size`` the (width, height) that boxes count in."""

    task: Task
    classes: tuple[Score, ...] = ()
    detections: tuple[Detection, ...] = ()
    best: float | None = None
    threshold: float = DEFAULT_THRESHOLD
    size: tuple[int, int] = (1, 1)


@click.command()
@click.argument("model", metavar="MODEL.tflite", type=FILE)
@options.shapes()
@options.inputs()
@options.pictures()
@targets.device("auto")
@options.schedule()
@options.search()
@options.cache()
@options.per_channel("fast")
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="How to read the outputs; by default as what they look like.",
)
@click.option(
    "--labels", metavar="FILE", help="Class names: lines, a label map, JSON, YAML or CSV."
)
@click.option(
    "--top",
    type=click.IntRange(1),
    help=f"Print the best N only.  [default: {DEFAULT_TOP} classes, all detections]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help=f"Lowest score of a detection.  [default: {DEFAULT_THRESHOLD}]",
)
@click.option(
    "--save-image", metavar="OUT.png", help="Write the picture with the detections drawn into it."
)
@click.option(
    "--runs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Timed runs after the first; the best one counts.",
)
@click.option("--output", metavar="OUT.npz", help="Write the raw output tensors here.")
@click.option(
    "--min-partition",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Leave NPU parts of fewer operators to the CPU.",
)
@options.cuts("fastest; all with --strict or --schedule reference")
@click.option("--save-hang", metavar="OUT.npz", help=hang.OPTION_HELP)
@click.option("--strict", is_flag=True, help="Fail if an operator stays on the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(
    model: str,
    shapes: Shapes,
    inputs: tuple[str, ...],
    picture_wish: PictureWish,
    device: str,
    schedule: str,
    search: SearchOptions,
    cache: bool,
    per_channel: str,
    calibration: str | None,
    task: str | None,
    labels: str | None,
    top: int | None,
    threshold: float | None,
    save_image: str | None,
    runs: int,
    output: str | None,
    min_partition: int,
    partition: str | None,
    save_hang: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Run MODEL.tflite on the NPU; what the NPU doesn't take runs on the CPU.

    The outputs of classifiers (one list of scores) and of detectors (boxes, classes, scores, count,
    as TFLite_Detection_PostProcess makes them) are read; of other models their shapes are shown.
    """
    wanted = Task(task) if task else None
    wishes = Wishes(wanted, top, threshold, save_image, output, save_hang)
    _check_wishes(wishes)
    names = label_files.load(labels) if labels is not None else None
    with progress.status("loading and compiling"), litert.native_messages():
        inference = Inference(
            model,
            cpu_alone=not strict,
            shapes=shapes,
            device=device,
            schedule=schedule,
            without=search.without,
            experimental=search.experimental,
            effort=search.effort,
            min_partition=min_partition,
            partition=partition_wish(partition, schedule, strict),
            per_channel=per_channel,
            calibration=calibration,
            cache=cache,
        )
    try:
        if strict:
            _refuse_cpu_operators(inference)
        found = _task(inference, wishes, inputs)
        loaded = read_all(inference.graph, inference.content, inputs, picture_wish)
        inference.feed([each.values for each in loaded])
        with (
            hang.saving(save_hang),
            progress.status("first inference") as tell,
            litert.native_messages(),
        ):
            times = inference.run_timed(runs, tell)
        chosen = _labels(inference, found, names, labels)
        reading = _read(inference, found, _size(inference, loaded), chosen.names, wishes)
        notes = [
            *inference.graph.remarks,
            *(n for each in loaded for n in each.notes),
            *chosen.notes,
        ]
        notes += _unnamed(reading, chosen)
        if found is not Task.RAW and not chosen.names and not chosen.notes:
            notes.append(label_files.hint(_classes(inference, found)))
        loss = inference.delegate.loss
        notes += [] if loss is None else [loss.line]
        board, blocked = board_time_of(inference), inference.blocking
        if not inference.npu_operators:
            notes.append(_cpu_alone(inference))
        report = _report(inference, reading, times) | {"runs": runs, "notes": notes}
        report["board"] = board.to_dict() if board else None
        report["blocking"] = blocked.to_dict() if blocked else None
        if output is not None:
            report["output"] = _save(output, inference.outputs())
        if save_image is not None:
            report["image"] = _draw(save_image, inputs[0], reading, loaded[0])
    finally:
        inference.close()
    say(notes)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        answer.show(report, board, blocked, model)


# ----------------------------------------------------------------------------------- before the run


def _check_wishes(wishes: Wishes) -> None:
    """What can be refused without the model: better now than after a long run."""
    if wishes.threshold is not None and math.isnan(wishes.threshold):
        raise UsageError("--threshold is a number from 0 to 1, not nan")
    if wishes.save_image is not None:
        draw.format_of(wishes.save_image)
    for path in (wishes.output, wishes.save_image, wishes.save_hang):
        if path is not None:
            _check_place(path)


def _check_place(path: str) -> None:
    """ModelError if a file surely can't be written there."""
    if not path:
        raise ModelError("'' can't be written: it is no file's name")
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ModelError(f"{path}: can't be written: it is a directory")
    if not os.path.isdir(folder):
        raise ModelError(f"{path}: can't be written: there is no directory {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ModelError(f"{path}: can't be written: no permission")


def _refuse_cpu_operators(inference: Inference) -> None:
    left = [found for found in inference.cpu_operators() if found.rule != ON_HOST]
    if left:
        first = left[0]
        raise Unsupported(
            f"{inference.graph.name}: --strict, but {count(len(left), 'operator')} would stay on "
            f"the CPU; the first is operator {first.index}, {first.kind}: {first.reason}"
        )


def _cpu_alone(inference: Inference) -> str:
    found = inference.blocking
    return (
        f"there is nothing in {inference.graph.name} that the NPU takes, so all of it ran on the "
        f"CPU. {found.reason if found else ''}".rstrip()
    )


def _task(inference: Inference, wishes: Wishes, inputs: Sequence[str]) -> Task:
    """How the outputs will be read; UsageError for options that don't go with it."""
    indices = [tensor.index for tensor in inference.output_tensors]
    name = inference.graph.name
    found = results.task_of(inference.graph, indices, inference.output_shapes, wishes.task)
    if found is not Task.DETECTION:
        for option, value in (
            ("--threshold", wishes.threshold),
            ("--save-image", wishes.save_image),
        ):
            if value is not None:
                raise UsageError(
                    f"{option} is for detectors; {name} is read as task {found.value} (--task)"
                )
    elif wishes.save_image is not None and inputs and is_array(inputs[0]):
        raise UsageError("--save-image draws into the picture given with --input, not an .npy file")
    return found


def _labels(inference: Inference, task: Task, names: Names | None, path: str | None) -> Labels:
    """The names of the model's classes: those given, or those that are packed behind it."""
    if task is Task.RAW:
        return Labels()
    classes = _classes(inference, task)
    if names is None:
        return label_files.embedded(inference.content, classes)
    return label_files.resolve(names, classes, str(path))


def _classes(inference: Inference, task: Task) -> Classes:
    """What is known of the model's classes."""
    if task is Task.CLASSIFICATION:
        return Classes(math.prod(inference.output_shapes[0]))
    return Classes(results.detection_classes(inference.graph), detector=True)


def _unnamed(reading: Reading, labels: Labels) -> list[str]:
    """A note on detections whose class the list of names hasn't."""
    if not labels.names:
        return []
    without = sorted({found.number for found in reading.detections if not found.label})
    if not without:
        return []
    return [f"labels: there is no name for class {', '.join(map(str, without[:8]))}"]


def _size(inference: Inference, loaded: Sequence[Input]) -> tuple[int, int]:
    """Width and height of the picture, or of the input tensor if there is none."""
    for each, tensor in zip(loaded, inference.input_tensors, strict=True):
        if each.picture_size is not None:
            return each.picture_size
        if len(tensor.shape) == 4:
            return tensor.shape[2], tensor.shape[1]
    return 1, 1


# ----------------------------------------------------------------------------------- after the run


def _read(
    inference: Inference,
    task: Task,
    size: tuple[int, int],
    names: Mapping[int, str],
    wishes: Wishes,
) -> Reading:
    """The outputs in the terms of the task."""
    if task is Task.RAW:
        return Reading(task)
    tensors = inference.output_tensors
    values = [
        results.dequantise(array, tensor.quantization)
        for array, tensor in zip(inference.outputs(), tensors, strict=True)
    ]
    if task is Task.CLASSIFICATION:
        return Reading(task, results.top_classes(values[0], names, wishes.top or DEFAULT_TOP))
    indices = [tensor.index for tensor in tensors]
    outputs = results.detection_outputs(inference.graph, indices, inference.output_shapes)
    assert outputs is not None, "the task was checked"
    everything = detection.read(outputs, values)
    best = everything[0].score if everything else None
    found = detection.labelled(detection.above(everything, wishes.lowest)[: wishes.top], names)
    return Reading(task, detections=found, best=best, threshold=wishes.lowest, size=size)


def _save(path: str, values: Sequence[Values]) -> str:
    """Write the outputs, in order, as ``output_0`` ...; the path."""
    with replacing(path) as file:
        np.savez(file, **{f"output_{i}": array for i, array in enumerate(values)})  # type: ignore[arg-type]
    return path


def _draw(path: str, picture: str, reading: Reading, read: Input) -> str:
    """Write the picture with detections; the path."""
    assert read.picture_size is not None, "the task was checked"
    pixels = images.load_picture(picture, 3, math.prod(read.picture_size))
    draw.save(path, draw.detections(pixels, reading.detections))
    return path


def _report(inference: Inference, reading: Reading, times: Times) -> dict[str, Any]:
    """The whole result as JSON has it."""
    report: dict[str, Any] = {
        "model": inference.graph.name,
        "device": inference.device,
        "task": reading.task.value,
    }
    if reading.task is Task.CLASSIFICATION:
        report["classes"] = [
            {"class": s.number, "label": s.label, "score": round(s.score, 6)}
            for s in reading.classes
        ]
    if reading.task is Task.DETECTION:
        report["picture"] = dict(zip(("width", "height"), reading.size, strict=True))
        report["threshold"] = reading.threshold
        report["best_score"] = None if reading.best is None else round(reading.best, 6)
        report["detections"] = [_detection(found, reading.size) for found in reading.detections]
    report["outputs"] = [
        _output(tensor.name, values)
        for tensor, values in zip(inference.output_tensors, inference.outputs(), strict=True)
    ]
    on_npu = set(inference.npu_operators)
    kinds = Counter(o.kind for o in inference.graph.operators if o.index in on_npu)
    return report | {
        "operators": len(inference.graph.operators),
        "npu_operators": list(inference.npu_operators),
        "npu_kinds": dict(kinds.most_common()),
        "cpu_operators": [vars(operator) for operator in inference.cpu_operators()],
        "partitions": [list(part) for part in inference.delegate.partitions],
        "times_ms": {name: round(seconds * 1000, 3) for name, seconds in vars(times).items()},
    }


def _detection(found: Detection, size: tuple[int, int]) -> dict[str, Any]:
    """Class, score and box in pixels."""
    box = {edge: round(value, 2) for edge, value in vars(found.box.scaled(*size)).items()}
    return {
        "class": found.number,
        "label": found.label,
        "score": round(found.score, 6),
        "box": box,
    }


def _output(name: str, values: Values) -> dict[str, Any]:
    return {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
