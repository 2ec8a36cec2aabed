"""From a model to a program: the stages in order. Read this file first.

reader -> support -> partition -> lower -> schedule -> weights -> emit
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lapilli import partition as partitioning
from lapilli import support
from lapilli.emit import ScheduledNn, emit
from lapilli.errors import ModelError, Unsupported, UsageError
from lapilli.generations import GENERATIONS, generation_of
from lapilli.graph import Graph
from lapilli.hw.chips import CHIPS, Chip, find_by_name
from lapilli.jobs import NnJob, TpJob
from lapilli.lower import LoweringOptions, lower
from lapilli.program import Part, Program

SCHEDULES = ("reference", "best")


def chip_named(name: str) -> Chip:
    """The chip called ``name``, if programs can be compiled for it; UsageError or Unsupported."""
    chip = find_by_name(name)
    names = ", ".join(c.name for c in CHIPS if c.generation in GENERATIONS)
    if chip is None:
        raise UsageError(f"unknown chip {name!r}; known: {', '.join(c.name for c in CHIPS)}")
    if chip.generation not in GENERATIONS:
        raise Unsupported(
            f"chip {chip.name} is of generation V{chip.generation}; "
            f"this version compiles for V7 only: {names}"
        )
    return chip


def schedule_named(name: str) -> str:
    """``name`` if there is such a schedule; raises UsageError."""
    if name not in SCHEDULES:
        raise UsageError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return name


def compile_part(
    graph: Graph,
    operators: Sequence[int],
    chip: Chip,
    schedule: str = "best",
    inputs: Iterable[int] | None = None,
    outputs: Iterable[int] | None = None,
) -> Part:
    """One part from operators (positions in ``graph.operators``) that ``support`` takes.

    ``inputs`` and ``outputs``: tensors that cross its border; by default those that the rest of the
    graph needs.
    """
    borders = partitioning.with_borders(graph, operators)
    lowered = lower(
        graph,
        operators,
        chip,
        borders.inputs if inputs is None else inputs,
        borders.outputs if outputs is None else outputs,
        LoweringOptions(as_recorded=schedule_named(schedule) == "reference"),
    )
    scheduled = [job if isinstance(job, TpJob) else _schedule(job, chip) for job in lowered.jobs]
    return emit(graph, lowered, scheduled, chip)


def _schedule(job: NnJob, chip: Chip) -> ScheduledNn:
    generation = generation_of(chip)
    tiles = generation.tiling(job, chip)
    coefficients = generation.encode(job, chip, tiles)
    memory = generation.memory(job, chip, tiles, coefficients.cached)
    return ScheduledNn(job, tiles, memory, coefficients)


def compile_graph(
    graph: Graph, chip: Chip, schedule: str = "best", model_digest: str = ""
) -> Program:
    """All parts of a graph; raises ModelError if the NPU takes none of its operators."""
    verdicts = support.judge_all(graph, chip)
    if not any(verdict.supported for verdict in verdicts):
        first = verdicts[0].reason if verdicts else "it has no operators"
        raise ModelError(f"{graph.name}: the NPU takes none of its operators; the first: {first}")
    partitions = partitioning.partition(graph, [verdict.supported for verdict in verdicts])
    parts = tuple(
        compile_part(graph, p.operators, chip, schedule, p.inputs, p.outputs)
        for p in partitions
        if p.on_npu
    )
    return Program(chip.name, schedule, graph.name, model_digest, parts)


def compile_model(
    model: str | Path | bytes, chip: str = "a311d", schedule: str = "best"
) -> Program:
    """The program of a .tflite file or its bytes. Raises ModelError, Unsupported, UsageError."""
    from lapilli import tflite

    found, name = chip_named(chip), schedule_named(schedule)
    if isinstance(model, bytes):
        data, source = model, "model"
    else:
        data, source = tflite.read_file(model), Path(model).name
    return compile_graph(tflite.parse(data, source), found, name, tflite.digest(data))
