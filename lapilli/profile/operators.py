"""The rows of a profile: operators, with the sums over their jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lapilli.compiler import partition
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator
from lapilli.model.macs import macs
from lapilli.profile.events import (
    JobRecord,
    OperatorRecord,
    Origin,
    Processor,
    bound_of,
    total_coefficients_of,
    total_cycles_of,
    total_traffic_of,
)
from lapilli.profile.stream import limits_of
from lapilli.program.program import Part


def execution_order(graph: Graph, parts: Sequence[Part]) -> list[int | tuple[int, ...]]:
    """Part numbers, and between them the CPU's operators by index, as LiteRT runs them."""
    numbers = {tuple(sorted(part.operators)): n for n, part in enumerate(parts)}
    on_npu = {i for operators in numbers for i in operators}
    flags = [operator.index in on_npu for operator in graph.operators]
    order: list[int | tuple[int, ...]] = []
    for group in partition.partition(graph, flags):
        indices = tuple(graph.operators[i].index for i in group.operators)
        if not group.on_npu:
            order.append(indices)
        elif indices in numbers:
            order.append(numbers.pop(indices))
    # Should a runtime cut in another way, what it made is reported in the order it was made.
    return order + sorted(numbers.values())


@dataclass(frozen=True)
class Row:
    """A row to be: operators by index in the .tflite."""

    processor: Processor
    operators: tuple[int, ...]
    part: int | None = None


def rows_of_graph(
    graph: Graph,
    rows: Sequence[Row],
    jobs: Sequence[JobRecord],
    times: Mapping[tuple[int, ...], float],
    chip: Chip,
) -> tuple[OperatorRecord, ...]:
    by_index = {operator.index: operator for operator in graph.operators}
    clock_hz = limits_of(chip).clock_hz
    of_operator: dict[tuple[int | None, int | None], list[JobRecord]] = {}
    for job in jobs:
        of_operator.setdefault((job.part, job.operator), []).append(job)
    found = []
    for number, row in enumerate(rows):
        members = [by_index[i] for i in row.operators]
        if row.processor is Processor.CPU:
            record = OperatorRecord(
                row=number,
                operators=row.operators,
                processor=Processor.CPU,
                kind=_kinds(members),
                name=_tensor_name(graph, members[-1]),
                shape=_tensor_shape(graph, members[-1]),
                part=None,
                jobs=(),
                seconds=times.get(row.operators),
                origin=Origin.MEASURED,
                macs=sum(macs(graph, member) for member in members),
            )
        else:
            own = of_operator.get((row.part, row.operators[0]), [])
            record = replace(
                npu_row(number, own, row.operators, clock_hz),
                kind=members[0].kind,
                name=_tensor_name(graph, members[0]),
                shape=_tensor_shape(graph, members[0]),
                part=row.part,
                macs=macs(graph, members[0]),
            )
        found.append(record)
    return tuple(found)


def rows_of_jobs(jobs: Sequence[JobRecord], chip: Chip) -> tuple[OperatorRecord, ...]:
    """Rows where no graph is known: by operator in a program, by operation in a recording."""
    found: list[OperatorRecord] = []
    clock_hz = limits_of(chip).clock_hz

    def key(job: JobRecord) -> tuple[int, int]:
        return job.part, job.operation if job.operator is None else job.operator

    for _, group in groupby(sorted(jobs, key=key), key):
        own = list(group)
        number = own[0].operator
        record = npu_row(len(found), own, () if number is None else (number,), clock_hz)
        found.append(replace(record, part=own[0].part))
    return tuple(found)


def npu_row(
    number: int, jobs: Sequence[JobRecord], operators: tuple[int, ...], clock_hz: float
) -> OperatorRecord:
    """The sums over an operator's jobs."""
    cycles = sum(job.cycles.total for job in jobs)
    # The convolution gives the operator its name, not the moves around it.
    telling = next((job for job in jobs if job.unit == "NN"), jobs[0] if jobs else None)
    return OperatorRecord(
        row=number,
        operators=operators,
        processor=Processor.NPU,
        kind=telling.kind if telling else "nothing",
        name="",
        shape=telling.shape if telling else "",
        part=None,
        jobs=tuple(job.number for job in jobs),
        seconds=cycles / clock_hz,
        origin=Origin.MODELLED,
        total_cycles=cycles,
        cycles=total_cycles_of(jobs),
        bound=bound_of(jobs),
        traffic=total_traffic_of(jobs),
        on_chip=sum(job.on_chip for job in jobs),
        macs_dense=sum(job.macs_dense for job in jobs),
        macs_useful=sum(job.macs_useful for job in jobs),
        tiles=sum(job.tiles for job in jobs),
        superblocks=sum(job.superblocks for job in jobs),
        coefficients=total_coefficients_of(jobs),
        kernel_sram=max((job.sram.kernel_bytes for job in jobs), default=0),
        image_sram=max((job.sram.image_bytes for job in jobs), default=0),
    )


def _kinds(operators: Sequence[Operator]) -> str:
    """As in ``RESHAPE x12, LOGISTIC``."""
    counts: dict[str, int] = {}
    for operator in operators:
        counts[operator.kind] = counts.get(operator.kind, 0) + 1
    return ", ".join(kind + (f" x{n}" if n > 1 else "") for kind, n in counts.items())


def _tensor_name(graph: Graph, operator: Operator) -> str:
    outputs = [i for i in operator.outputs if i >= 0]
    return graph.tensors[outputs[0]].name if outputs else ""


def _tensor_shape(graph: Graph, operator: Operator) -> str:
    outputs = [i for i in operator.outputs if i >= 0]
    return "x".join(map(str, graph.tensors[outputs[0]].shape)) if outputs else ""
