"""The functions of ``lapilli``: a model in, a typed result out."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.answers import detection, results
from lapilli.answers import labels as label_files
from lapilli.answers.inputs import read_all
from lapilli.answers.labels import Classes
from lapilli.answers.results import Task
from lapilli.cache.programs import store_for
from lapilli.cache.units import keeper
from lapilli.compiler import explanation, stages
from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.options import unit_options
from lapilli.cpu_rates import cuts_of
from lapilli.device.names import chip_called
from lapilli.device.open import chosen
from lapilli.diff import layers
from lapilli.errors import UsageError
from lapilli.interface.options import (
    Kernels,
    Model,
    ModelInput,
    Partition,
    PerChannelMode,
    Schedule,
    TaskName,
)
from lapilli.interface.results import (
    DiffResult,
    ExplainResult,
    FitResult,
    ProfileResult,
    RunResult,
    made_of,
)
from lapilli.litert import runtime as litert
from lapilli.litert.inference import Inference
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.profile.board_time import board_time_of
from lapilli.profile.fit import fit_file
from lapilli.profile.sources import DEFAULT_DEVICE, Wishes, profile_file
from lapilli.program.program import Program


def compile(
    model: Model | bytes,
    chip: str = "a311d",
    schedule: Schedule = "best",
    options: stages.CompileOptions = stages.DEFAULT_OPTIONS,
) -> Program:
    """The program of a .tflite file, or of its bytes.

    >>> program = lapilli.compile(model, chip="imx8mp")
    >>> program.chip, len(program.parts)
    ('imx8mp', 1)

    Raises ModelError for a file that is no model, NothingForTheNpu, UsageError.
    """
    given = model if isinstance(model, bytes) else os.fspath(model)
    return stages.compile_model(given, chip, schedule, options)


def fit(model: Model, chips: Collection[str] = (), *, cache: bool = True) -> FitResult:
    """Whether a model fits ``chips`` (names of chips or boards, by default all with a timing
    model), how fast it would be, and what is in the way. Nothing is run.

    >>> lapilli.fit(model).chips[0].verdict
    'fits'
    """
    wanted = [stages.chip_named(chip_called(name).name) for name in chips]
    return made_of(FitResult, fit_file(os.fspath(model), wanted, cache=cache))


def explain(
    model: Model,
    chip: str = "a311d",
    *,
    partition: Partition | None = None,
    min_partition: int = 1,
    per_channel: PerChannelMode = "fast",
    cache: bool = True,
) -> ExplainResult:
    """Which operators the NPU takes, why not the others, and what to do about it. ``partition`` and
    ``min_partition``: which parts are left to the CPU, as for the Delegate.

    >>> [line.operator.kind for line in lapilli.explain(model).operators
    ...  if not line.verdict.supported]
    ['SOFTMAX']
    """
    data = tflite.read_file(os.fspath(model))
    graph = tflite.parse(data, Path(model).name)
    wish = PerChannel(unit_options(per_channel), Calibration())
    kept = keeper(store_for(cache), wish)
    cuts = cuts_of(partition, "best", False, min_partition)
    found = explanation.explain(graph, stages.chip_named(chip), cuts, wish, kept)
    return made_of(ExplainResult, found)


def profile(
    path: Model,
    device: str = DEFAULT_DEVICE,
    *,
    schedule: Schedule = "best",
    inputs: Sequence[str] = (),
    measure: bool = True,
    cache: bool = True,
) -> ProfileResult:
    """Where the time of a model, a program or a recording goes. NPU times are modelled, what stays
    on the CPU is measured unless ``measure`` is False.

    >>> lapilli.profile(model, measure=False).npu_seconds < 0.001
    True
    """
    wishes = Wishes(chosen(device), schedule, inputs, measure, cache=cache)
    return made_of(ProfileResult, profile_file(os.fspath(path), wishes))


def diff(
    model: Model,
    device: str = DEFAULT_DEVICE,
    inputs: Sequence[NDArray[Any]] | None = None,
    *,
    schedule: Schedule = "best",
    reference: Kernels = "xnnpack",
    tolerance: int = 1,
    seed: int = 0,
) -> DiffResult:
    """Each operator on the NPU against LiteRT's CPU kernels, alone and accumulated. ``inputs``: one
    array for each of the model's, by default random values from ``seed``.

    >>> lapilli.diff(model).same
    True
    """
    found = layers.diff(
        os.fspath(model),
        chosen(device),
        inputs,
        schedule=schedule,
        reference=reference,
        tolerance=tolerance,
        seed=seed,
    )
    return made_of(DiffResult, found)


def run(
    model: Model,
    *inputs: ModelInput,
    device: str | None = None,
    labels: Model | None = None,
    task: TaskName | None = None,
    top: int = 5,
    threshold: float = 0.5,
    schedule: Schedule = "best",
    strict: bool = False,
    cache: bool = True,
) -> RunResult:
    """Run a model once; what the NPU doesn't take runs on the CPU, unless ``strict``.

    ``inputs``: one for each of the model's. ``device``: a board by default; ``emulator:CHIP`` has
    to be asked for. ``labels``: a file with the names of classes. ``task``: how outputs are read,
    by default as what they look like; ``top`` classes, or detections from ``threshold``.

    >>> lapilli.run(model, image, device="emulator:a311d", top=1).classes[0].number
    2
    """
    with litert.native_messages():
        inference = Inference(
            os.fspath(model),
            device=chosen(device),
            schedule=schedule,
            strict=strict,
            cache=cache,
            cpu_alone=not strict,
        )
    try:
        values, size, notes = _values(inference, inputs)
        inference.feed(values)
        seconds = inference.run()
        return _read(inference, _Wish(labels, task, top, threshold), seconds, size, notes)
    finally:
        inference.close()


def detect(
    model: Model,
    picture: ModelInput,
    *,
    device: str | None = None,
    labels: Model | None = None,
    threshold: float = 0.5,
    schedule: Schedule = "best",
    cache: bool = True,
) -> RunResult:
    """Run a detector on a picture; see ``run``. UsageError for a model that is none."""
    return run(
        model,
        picture,
        device=device,
        labels=labels,
        task="detection",
        threshold=threshold,
        schedule=schedule,
        cache=cache,
    )


class _Wish:
    """How outputs are to be read."""

    def __init__(
        self, labels: Model | None, task: TaskName | None, top: int, threshold: float
    ) -> None:
        self.labels, self.top, self.threshold = labels, top, threshold
        self.task = None if task is None else Task(task)


def _values(
    inference: Inference, inputs: Sequence[ModelInput]
) -> tuple[list[NDArray[Any]], tuple[int, int] | None, list[str]]:
    """Arrays for all inputs, the first picture's size, and what was assumed."""
    paths = [os.fspath(each) for each in inputs if not isinstance(each, np.ndarray)]
    if paths and len(paths) != len(inputs):
        raise UsageError("inputs are files, or arrays, not both")
    if paths:
        read = read_all(inference.graph, inference.content, paths)
        size = next((each.picture_size for each in read if each.picture_size), None)
        return [each.values for each in read], size, [n for each in read for n in each.notes]
    tensors = inference.input_tensors
    arrays = [np.asarray(each) for each in inputs]
    if len(arrays) != len(tensors):
        raise UsageError(
            f"{inference.graph.name} has {len(tensors)} inputs; {len(arrays)} were given"
        )
    for tensor, array in zip(tensors, arrays, strict=True):
        if array.shape != tensor.shape or str(array.dtype) != tensor.dtype:
            raise UsageError(
                f"input {tensor.name} takes {tensor.dtype} of shape {list(tensor.shape)}, not "
                f"{array.dtype} of shape {list(array.shape)}"
            )
    return arrays, None, []


def _read(
    inference: Inference,
    wish: _Wish,
    seconds: float,
    size: tuple[int, int] | None,
    notes: list[str],
) -> RunResult:
    graph, shapes = inference.graph, inference.output_shapes
    indices = [tensor.index for tensor in inference.output_tensors]
    task = results.task_of(graph, indices, shapes, wish.task)
    outputs = inference.outputs()
    real = [
        results.dequantise(values, tensor.quantization)
        for values, tensor in zip(outputs, inference.output_tensors, strict=True)
    ]
    names, more = _names(inference, task, wish)
    classes: tuple[results.Score, ...] = ()
    found: tuple[detection.Detection, ...] = ()
    if task is Task.CLASSIFICATION:
        classes = results.top_classes(real[0], names, wish.top)
    elif task is Task.DETECTION:
        places = results.detection_outputs(graph, indices, shapes)
        assert places is not None, "the task was checked"
        above = detection.above(detection.read(places, real), wish.threshold)
        found = detection.labelled(above, names)
        if size is not None:
            found = tuple(replace(each, box=each.box.scaled(*size)) for each in found)
    return RunResult(
        graph.name,
        inference.device,
        task.value,
        outputs,
        classes,
        found,
        inference.npu_operators,
        seconds,
        board_time_of(inference),
        inference.blocking,
        (*graph.remarks, *notes, *more),
    )


def _names(
    inference: Inference, task: Task, wish: _Wish
) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """Of classes, and what was assumed about them."""
    graph: Graph = inference.graph
    if task is Task.RAW:
        return {}, ()
    if task is Task.CLASSIFICATION:
        classes = Classes(math.prod(inference.output_shapes[0]))
    else:
        classes = Classes(results.detection_classes(graph), detector=True)
    if wish.labels is None:
        known = label_files.embedded(inference.content, classes)
    else:
        path = os.fspath(wish.labels)
        known = label_files.resolve(label_files.load(path), classes, path)
    return known.names, known.notes
