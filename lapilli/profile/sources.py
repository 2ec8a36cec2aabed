"""From a file's path to what can be profiled: a model, a program or a recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lapilli.answers.inputs import (
    Input,
    PictureWish,
    blaming_made_up,
    read_all,
)
from lapilli.cache.programs import program_of, store_for
from lapilli.cache.units import keeper
from lapilli.compiler import stages as compiler
from lapilli.compiler.blocking import blocking
from lapilli.compiler.per_channel import FAST_WAY
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, SearchOptions
from lapilli.cpu_rates import cuts_of
from lapilli.device.names import chip_of_device
from lapilli.device.open import is_emulator
from lapilli.errors import DeviceError, ModelError, UsageError
from lapilli.litert import runtime as litert
from lapilli.model import tflite
from lapilli.model.graph import Values
from lapilli.model.input_shapes import Shapes
from lapilli.profile.assemble import (
    Subject,
    profile_graph,
    profile_program,
    profile_recording,
)
from lapilli.profile.events import Profile
from lapilli.profile.measured import Measured, measured_between
from lapilli.program import program_file, recording

DEFAULT_DEVICE = "emulator:a311d"
SUFFIXES = {".tflite": "model", ".lapilli": "program", ".npz": "recording"}


@dataclass(frozen=True)
class Wishes:
    """``device``: a board or an emulator. ``inputs``: paths, one for each input, or none for zeros.
    ``pictures``: how they become inputs. ``shapes``: of inputs, by name, other than the file's.
    ``measure``: run the model in LiteRT, of which the CPU's operators get their times. ``runs``:
    inferences after the first, of which the one with the median time counts. ``cache``: take
    programs from the cache, and keep them there. ``search``: for the best schedule.
    ``partition``: as the delegate's."""

    device: str = DEFAULT_DEVICE
    schedule: str = "best"
    inputs: Sequence[str] = ()
    measure: bool = True
    runs: int = 3
    pictures: PictureWish = field(default_factory=PictureWish)
    cache: bool = True
    shapes: Shapes = field(default_factory=dict)
    search: SearchOptions = DEFAULT_SEARCH
    partition: str | None = None


def kind_of(path: str) -> str:
    """``model``, ``program`` or ``recording``, by the end of the name; raises UsageError."""
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise UsageError(f"{path}: unknown kind of file; allowed: {', '.join(SUFFIXES)}")
    return found


def profile_file(path: str, wishes: Wishes) -> Profile:
    """The profile of any of the three."""
    kind = kind_of(path)
    if kind == "model":
        return profile_model(path, wishes)
    if wishes.inputs:
        raise UsageError(f"--input is for models; {path} is a {kind}")
    if kind == "program":
        return profile_program(program_file.load(path), wishes.device)
    return profile_recording(recording.load(path), chip_of_device(wishes.device), Path(path).name)


def profile_model(path: str, wishes: Wishes) -> Profile:
    """Compiled, timed, and run if there is anything to measure: on a board, or on the CPU."""
    data = tflite.read_file(path, wishes.shapes)
    graph = tflite.parse(data, Path(path).name, source=path)
    chip = chip_of_device(wishes.device)
    schedule = compiler.schedule_named(wishes.schedule)
    store = store_for(wishes.cache)
    cuts = cuts_of(wishes.partition, schedule)
    chosen = compiler.CompileOptions(per_channel=FAST_WAY, cuts=cuts).searched(wishes.search)
    prepared = compiler.prepare(graph, chip, chosen, keeper(store, chosen.per_channel))
    made = program_of(store, graph, chip, schedule, tflite.digest(data), chosen, prepared)
    program = made.program
    subject = Subject(graph.name, "model", wishes.device, schedule)
    on_npu = {i for part in program.parts for i in part.operators}
    given = read_all(graph, data, wishes.inputs, wishes.pictures) if wishes.inputs else []
    board = not is_emulator(wishes.device)
    worth_running = board or wishes.inputs or len(on_npu) < len(graph.operators)
    measured = None
    if wishes.measure and worth_running:
        try:
            measured = _run(path, wishes, given)
        except DeviceError:
            # Without LiteRT an emulated NPU still has its times; the report says what is missing.
            if board or wishes.inputs or _litert_installed():
                raise
    more = [note for each in given for note in each.notes]
    found = profile_graph(graph, chip, program.parts, subject, measured)
    left = blocking(graph, prepared.verdicts)
    return replace(found, notes=(*graph.remarks, *found.notes, *more), blocking=left)


def _litert_installed() -> bool:
    with suppress(DeviceError):
        litert.interpreter_class()
        return True
    return False


def _run(path: str, wishes: Wishes, given: Sequence[Input]) -> Measured:
    """The inference whose time is the median of several."""
    from lapilli.litert.inference import Inference

    inference = Inference(
        path,
        shapes=wishes.shapes,
        device=wishes.device,
        schedule=wishes.schedule,
        without=wishes.search.without,
        experimental=wishes.search.experimental,
        effort=wishes.search.effort,
        profile=True,
        cache=wishes.cache,
        partition=wishes.partition,
    )
    try:
        values: list[Values] = [each.values for each in given]
        if not given:
            values = [np.zeros(t.shape, _dtype(t.dtype)) for t in inference.input_tensors]
        inference.feed(values)
        with blaming_made_up(inference.graph, not given):
            inference.run()
        found = []
        for _ in range(max(wishes.runs, 1)):
            start = time.perf_counter()
            inference.run()
            end = time.perf_counter()
            found.append((start, end, inference.delegate.last_nodes))
        found.sort(key=lambda run: run[1] - run[0])
        start, end, nodes = found[(len(found) - 1) // 2]
        return measured_between(nodes, wishes.device, start, end)
    finally:
        inference.close()


def _dtype(name: str) -> Any:
    try:
        return np.dtype(name)
    except TypeError as error:
        raise ModelError(f"an input is of type {name}; give it with --input") from error
