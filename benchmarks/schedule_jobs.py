"""What scheduled models have to do: the work of every job, timed as often as one likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lapilli.compiler import partition
from lapilli.compiler.emit import ScheduledNn
from lapilli.compiler.schedule.levers.registry import NAMES
from lapilli.compiler.schedule.work import nn_task, nn_work, tp_work
from lapilli.compiler.stages import CompileOptions, chip_named, schedule_part
from lapilli.hw.chips import Chip
from lapilli.hw.limits import ACCUMULATOR_LINE_PIXELS
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.timing.work import Work


@dataclass(frozen=True)
class Job:
    """An instruction's work, and what other assumptions than the model's would ask of it.

    ``patched``: its kernels are larger than 1x1, so their weights are taken in patches.
    ``lines``: rows of pixels if narrow ones shared a line of the unit. ``operator``: in the graph.
    """

    work: Work
    operator: int
    patched: bool = False
    lines: int = 0


@dataclass(frozen=True)
class Scheduled:
    """All jobs of a model's parts, and the tensors of operators that have any.

    ``operators``: how many have. ``least_bytes``: tensors into them and out of them, and their
    coefficients, once.
    """

    jobs: tuple[Job, ...]
    operators: int
    least_bytes: int


@cache
def graph_of(path: Path) -> Graph:
    """A model of the shared data."""
    return tflite.load(path)


def options(levers: Iterable[str], effort: int = 1) -> CompileOptions:
    """Of the levers and choices of the best schedule only these."""
    return CompileOptions(without=frozenset(NAMES) - frozenset(levers), effort=effort)


@cache
def scheduled(path: Path, chip_name: str, schedule: str, chosen: CompileOptions) -> Scheduled:
    """A model's jobs; none if the NPU takes none of its operators."""
    graph, chip = graph_of(path), chip_named(chip_name)
    taken = [found.supported for found in chosen.verdicts(graph, chip)]
    jobs: list[Job] = []
    for found in partition.partition(graph, taken):
        if found.on_npu:
            part = schedule_part(
                graph, found.operators, chip, schedule, found.inputs, found.outputs, chosen
            )
            for item in part.jobs:
                jobs += _jobs(item, chip)
    stored: dict[int, int] = {}
    for job in jobs:
        stored[job.operator] = stored.get(job.operator, 0) + job.work.stored_bytes
    least = sum(least_bytes(graph, operator, size) for operator, size in stored.items())
    return Scheduled(tuple(jobs), len(stored), least)


def _jobs(item: object, chip: Chip) -> Iterator[Job]:
    if not isinstance(item, ScheduledNn):
        for work in tp_work(item, chip):  # type: ignore[arg-type]
            yield Job(work, item.operator)  # type: ignore[attr-defined]
        return
    job, counted = item.job, item.coefficients.size.statistics
    task = nn_task(job, item.tiling, item.memory, chip)
    pixels = task.rows.size * task.columns.size
    yield Job(
        nn_work(job, item.tiling, item.memory, counted, chip),
        job.operator,
        job.kernels.rows * job.kernels.columns > 1,
        -(-pixels // ACCUMULATOR_LINE_PIXELS),
    )


def least_bytes(graph: Graph, number: int, stored: int) -> int:
    """Bytes of an operator's tensors and of its coefficients: the ``stored`` ones of its streams,
    or a byte for each weight and four for each bias where that is less (V7's depthwise streams)."""
    operator = next(each for each in graph.operators if each.index == number)
    tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
    constants = [tensor for tensor in tensors if tensor.data is not None]
    moved = [tensor.size for tensor in tensors if tensor.data is None]
    moved += [graph.tensors[index].size for index in operator.outputs]
    plain = sum(t.size * (4 if t.dtype == "int32" else 1) for t in constants)
    return sum(moved) + min(stored, plain)
