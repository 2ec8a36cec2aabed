"""Profiles of a model, a program or a recording: streams timed, CPU and board measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lapilli.compiler import explanation, partition
from lapilli.device.open import EMULATOR_PREFIX
from lapilli.emulator.timing import Decoded
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip, find_by_name
from lapilli.litert.node_times import NodeTimes
from lapilli.model.graph import Graph, Operator
from lapilli.profile.events import (
    JobRecord,
    OperatorRecord,
    Origin,
    PartRecord,
    Processor,
    Profile,
    Segment,
    bound_of,
    total_coefficients_of,
    total_cycles_of,
    total_traffic_of,
)
from lapilli.profile.stream import limits_of, read_jobs
from lapilli.program.program import Part, Program
from lapilli.program.recording import Recording

MODELLED_NOTE = (
    "NPU times are modelled from the command stream for {chip} at {clock:.0f} MHz, not measured."
)
BOARD_NOTE = (
    "NPU time from submit to fence was measured for each part; within a part the operators' times "
    "are modelled."
)
COUNTED_NOTE = "Cycles and bytes of each part were also measured, by the kernel's counters."
UNCOUNTED_NOTE = "The kernel's counters of cycles and bytes are not available: {reason}."
CPU_NOTE = (
    "CPU times were measured on this machine between the NPU's nodes; they are no part of the "
    "NPU's time."
)
UNMEASURED_NOTE = "CPU operators were not measured, as the model was not run."


@dataclass(frozen=True)
class Measured:
    """One inference in LiteRT, seconds of ``time.perf_counter``, None where not known.
    ``on_board``: the device is a real one, so that the nodes' times mean something."""

    start: float | None
    end: float | None
    nodes: tuple[NodeTimes, ...]
    on_board: bool


@dataclass(frozen=True)
class Subject:
    """What is profiled, for the head of the report."""

    model: str
    source: str
    device: str
    schedule: str


def is_emulator(device: str) -> bool:
    """Whether the device called so is no board."""
    return device.startswith(EMULATOR_PREFIX)


def measured_between(
    nodes: Sequence[NodeTimes], device: str, start: float | None = None, end: float | None = None
) -> Measured:
    """What was measured of an inference from ``start`` to ``end``, None if that is not known."""
    return Measured(start, end, tuple(nodes), not is_emulator(device))


def profile_graph(
    graph: Graph,
    chip: Chip,
    parts: Sequence[Part],
    subject: Subject,
    measured: Measured | None = None,
    known: tuple[JobRecord, ...] | None = None,
    decoded: Decoded | None = None,
) -> Profile:
    """The profile of a model compiled to ``parts``, with the CPU's operators between them.

    ``known``: the jobs of an earlier profile of the same parts, which saves reading the streams;
    ``decoded``: see WorkReader.
    Raises Unsupported for a chip without timing constants.
    """
    order = _execution_order(graph, parts)
    times = _gaps(order, measured)
    jobs = _jobs_of(parts, chip, decoded) if known is None else known
    rows: list[_Row] = []
    for group in order:
        if isinstance(group, tuple):
            rows.append(_Row(Processor.CPU, group))
        else:
            rows += [_Row(Processor.NPU, (i,), group) for i in sorted(parts[group].operators)]
    operators = _rows_of_graph(graph, rows, jobs, times, chip)
    jobs = _with_rows(jobs, operators)
    notes = [_modelled_note(chip)]
    if any(row.processor is Processor.CPU for row in rows):
        notes.append(UNMEASURED_NOTE if measured is None else CPU_NOTE)
    if measured is not None and measured.on_board:
        notes[0] = BOARD_NOTE
        notes.insert(1, _counting_note(measured))
    return _assemble(subject, chip, jobs, operators, measured, graph, tuple(notes))


def profile_program(program: Program, device: str) -> Profile:
    """The profile of a program file, which knows operators by number only."""
    chip = find_by_name(program.chip)
    if chip is None:
        raise Unsupported(f"the program is for {program.chip}, which is not known")
    jobs = _jobs_of(program.parts, chip)
    operators = _rows_of_jobs(jobs, chip)
    subject = Subject(program.model, "program", device, program.schedule)
    notes = (_modelled_note(chip), "A program has no operators of the CPU, and no tensor names.")
    return _assemble(subject, chip, _with_rows(jobs, operators), operators, None, None, notes)


def profile_recording(recording: Recording, chip: Chip, name: str) -> Profile:
    """The profile of a recorded submit: a row for each operation, in stream order."""
    jobs = read_jobs(recording.commands, recording.buffers, chip)
    operators = _rows_of_jobs(jobs, chip)
    subject = Subject(name, "recording", f"emulator:{chip.name}", "as recorded")
    notes = (_modelled_note(chip), "A recording knows no operators: each row is one operation.")
    return _assemble(subject, chip, jobs, operators, None, None, notes)


def by_operation(profile: Profile) -> tuple[OperatorRecord, ...]:
    """The rows taken apart into NN and TP operations in stream order, as a recording has them; the
    CPU's are left out. ``shape`` is then the instruction's."""
    found: list[OperatorRecord] = []
    for _, group in groupby(profile.jobs, lambda job: job.operation):
        jobs = list(group)
        op = profile.operators[jobs[0].row]
        row = _npu_row(len(found), jobs, op.operators, profile.limits.clock_hz)
        found.append(replace(row, kind=jobs[0].kind, name=op.name, part=jobs[0].part))
    return tuple(found)


def _modelled_note(chip: Chip) -> str:
    return MODELLED_NOTE.format(chip=chip.name, clock=limits_of(chip).clock_hz / 1e6)


def _counting_note(measured: Measured) -> str:
    if measured.nodes and all(node.counters is not None for node in measured.nodes):
        return COUNTED_NOTE
    reasons = [node.uncounted for node in measured.nodes if node.uncounted]
    return UNCOUNTED_NOTE.format(reason=reasons[0] if reasons else "nothing was counted")


# -------------------------------------------------------------------------------------------- jobs


def _jobs_of(
    parts: Sequence[Part], chip: Chip, decoded: Decoded | None = None
) -> tuple[JobRecord, ...]:
    """All parts' instructions, numbered through."""
    jobs: list[JobRecord] = []
    for number, part in enumerate(parts):
        operation = jobs[-1].operation + 1 if jobs else 0
        jobs += read_jobs(
            part.commands, part.buffers, chip, part.jobs, number, len(jobs), operation, decoded
        )
    return tuple(jobs)


def _with_rows(
    jobs: Sequence[JobRecord], operators: Sequence[OperatorRecord]
) -> tuple[JobRecord, ...]:
    """The jobs with the row of their operator."""
    rows = {number: op.row for op in operators for number in op.jobs}
    return tuple(replace(job, row=rows[job.number]) for job in jobs)


# -------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class _Row:
    """A row to be: operators by index in the .tflite."""

    processor: Processor
    operators: tuple[int, ...]
    part: int | None = None


def _rows_of_graph(
    graph: Graph,
    rows: Sequence[_Row],
    jobs: Sequence[JobRecord],
    times: Mapping[tuple[int, ...], float],
    chip: Chip,
) -> tuple[OperatorRecord, ...]:
    by_index = {operator.index: operator for operator in graph.operators}
    clock_hz = limits_of(chip).clock_hz
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
                macs=sum(explanation.macs(graph, member) for member in members),
            )
        else:
            own = [job for job in jobs if job.part == row.part and job.operator == row.operators[0]]
            record = replace(
                _npu_row(number, own, row.operators, clock_hz),
                kind=members[0].kind,
                name=_tensor_name(graph, members[0]),
                shape=_tensor_shape(graph, members[0]),
                part=row.part,
                macs=explanation.macs(graph, members[0]),
            )
        found.append(record)
    return tuple(found)


def _rows_of_jobs(jobs: Sequence[JobRecord], chip: Chip) -> tuple[OperatorRecord, ...]:
    """Rows where no graph is known: by operator in a program, by operation in a recording."""
    found: list[OperatorRecord] = []
    clock_hz = limits_of(chip).clock_hz

    def key(job: JobRecord) -> tuple[int, int]:
        return job.part, job.operation if job.operator is None else job.operator

    for _, group in groupby(sorted(jobs, key=key), key):
        own = list(group)
        number = own[0].operator
        record = _npu_row(len(found), own, () if number is None else (number,), clock_hz)
        found.append(replace(record, part=own[0].part))
    return tuple(found)


def _npu_row(
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


# ---------------------------------------------------------------------------------- order and time


def _execution_order(graph: Graph, parts: Sequence[Part]) -> list[int | tuple[int, ...]]:
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


def _gaps(
    order: Sequence[int | tuple[int, ...]], measured: Measured | None
) -> dict[tuple[int, ...], float]:
    """Seconds of each group of CPU operators: from one NPU node's end to the next one's start."""
    if measured is None or len(measured.nodes) != sum(isinstance(g, int) for g in order):
        return {}
    nodes = iter(measured.nodes)
    following = next(nodes, None)
    clock: float | None = measured.start
    found: dict[tuple[int, ...], float] = {}
    for group in order:
        if isinstance(group, tuple):
            until = measured.end if following is None else following.start
            if until is not None and clock is not None:
                found[group] = max(until - clock, 0.0)
        else:
            assert following is not None
            clock, following = following.end, next(nodes, None)
    return found


def _assemble(
    subject: Subject,
    chip: Chip,
    jobs: tuple[JobRecord, ...],
    operators: tuple[OperatorRecord, ...],
    measured: Measured | None,
    graph: Graph | None,
    notes: tuple[str, ...],
) -> Profile:
    parts = _parts(jobs, operators, measured)
    names = {} if graph is None else _output_names(graph)
    return Profile(
        model=subject.model,
        source=subject.source,
        chip=chip.name,
        device=subject.device,
        schedule=subject.schedule,
        limits=limits_of(chip),
        jobs=jobs,
        parts=parts,
        operators=operators,
        segments=_segments(parts, operators, chip),
        edges=_graph_edges(graph, operators) if graph is not None else _job_edges(jobs),
        output_names=names,
        notes=notes,
    )


def _parts(
    jobs: Sequence[JobRecord], operators: Sequence[OperatorRecord], measured: Measured | None
) -> tuple[PartRecord, ...]:
    nodes = {} if measured is None else {tuple(sorted(n.operators)): n for n in measured.nodes}
    found = []
    for number, group in groupby(jobs, lambda job: job.part):
        own = list(group)
        rows = [op.operators for op in operators if op.part == number]
        node = nodes.get(tuple(sorted(i for row in rows for i in row)))
        found.append(
            PartRecord(
                number,
                range(own[0].number, own[-1].number + 1),
                sum(job.cycles.total for job in own),
                node.executing if node and measured and measured.on_board else None,
                node.copying if node else None,
                node.counters if node and measured and measured.on_board else None,
            )
        )
    return tuple(found)


def _segments(
    parts: Sequence[PartRecord], operators: Sequence[OperatorRecord], chip: Chip
) -> tuple[Segment, ...]:
    clock_hz, by_number = limits_of(chip).clock_hz, {part.number: part for part in parts}
    found: list[Segment] = []
    clock, seen = 0.0, set()
    for op in operators:
        if op.part is None:
            seconds, number = op.seconds or 0.0, op.row
        elif op.part in seen or op.part not in by_number:
            continue
        else:
            seen.add(op.part)
            seconds, number = by_number[op.part].cycles / clock_hz, op.part
        found.append(Segment(op.processor, number, clock, clock + seconds))
        clock += seconds
    return tuple(found)


def _output_names(graph: Graph) -> dict[int, tuple[str, ...]]:
    """Operator's index -> names of the tensors it makes."""
    return {
        operator.index: tuple(graph.tensors[i].name for i in operator.outputs if i >= 0)
        for operator in graph.operators
    }


def _graph_edges(graph: Graph, operators: Sequence[OperatorRecord]) -> tuple[tuple[int, int], ...]:
    row_of = {index: op.row for op in operators for index in op.operators}
    makers = {t: o.index for o in graph.operators for t in o.outputs}
    edges = {
        (row_of[makers[t]], row_of[o.index])
        for o in graph.operators
        for t in o.inputs
        if t in makers and makers[t] in row_of and o.index in row_of
    }
    return tuple(sorted(edge for edge in edges if edge[0] != edge[1]))


def _job_edges(jobs: Sequence[JobRecord]) -> tuple[tuple[int, int], ...]:
    row_of = {job.operation: job.row for job in jobs}
    edges = {(row_of[before], job.row) for job in jobs for before in job.after}
    return tuple(sorted(edge for edge in edges if edge[0] != edge[1]))
