"""The parts of a model as a schedule leaves them, before they are bytes."""

from __future__ import annotations

from collections.abc import Iterator

from lapilli.compiler import partition, verdict
from lapilli.compiler.stages import CompileOptions, ScheduledPart, schedule_part
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph

DEFAULT = CompileOptions()


def scheduled_parts(
    graph: Graph, on: Chip, schedule: str, options: CompileOptions = DEFAULT
) -> Iterator[ScheduledPart]:
    taken = [found.supported for found in verdict.judge_all(graph, on, options.rules)]
    for part in partition.partition(graph, taken):
        if part.on_npu:
            yield schedule_part(
                graph, part.operators, on, schedule, part.inputs, part.outputs, options
            )
