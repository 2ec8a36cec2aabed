"""Profiles of a model, a program or a recording: streams timed, CPU and board measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lapilli.emulator.work import Decoded
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model.graph import Graph
from lapilli.profile.events import (
    JobRecord,
    OperatorRecord,
    PartRecord,
    Processor,
    Profile,
    Segment,
)
from lapilli.profile.measured import Measured, gaps
from lapilli.profile.operators import Row, execution_order, npu_row, rows_of_graph, rows_of_jobs
from lapilli.profile.stream import limits_of, read_jobs
from lapilli.program.program import Part, Program
from lapilli.program.recording import Recording
from lapilli.timing.evidence import evidence_of

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
MOST_MAKERS = 8
"""Of an operator without a job, of those that are shown as makers of what it passes on."""
UNMEASURED_NOTE = "CPU operators were not measured, as the model was not run."


@dataclass(frozen=True)
class Subject:
    """What is profiled, for the head of the report."""

    model: str
    source: str
    device: str
    schedule: str


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
    order = execution_order(graph, parts)
    times = gaps(order, measured)
    jobs = _jobs_of(parts, chip, decoded) if known is None else known
    rows: list[Row] = []
    for group in order:
        if isinstance(group, tuple):
            rows.append(Row(Processor.CPU, group))
        else:
            rows += [Row(Processor.NPU, (i,), group) for i in sorted(parts[group].operators)]
    operators = rows_of_graph(graph, rows, jobs, times, chip)
    jobs = _with_rows(jobs, operators)
    notes = [_modelled_note(chip), evidence_of(chip).sentence]
    if any(row.processor is Processor.CPU for row in rows):
        notes.append(UNMEASURED_NOTE if measured is None else CPU_NOTE)
    if measured is not None and measured.on_board:
        notes[0] = BOARD_NOTE
        notes.insert(1, _counting_note(measured))
    found = _assemble(subject, chip, jobs, operators, measured, graph, tuple(notes))
    return _with_memory(found, parts)


def profile_program(program: Program, device: str) -> Profile:
    """The profile of a program file, which knows operators by number only."""
    chip = find_by_name(program.chip)
    if chip is None:
        raise Unsupported(f"the program is for {program.chip}, which is not known")
    jobs = _jobs_of(program.parts, chip)
    operators = rows_of_jobs(jobs, chip)
    subject = Subject(program.model, "program", device, program.schedule)
    notes = (
        _modelled_note(chip),
        evidence_of(chip).sentence,
        "A program has no operators of the CPU, and no tensor names.",
    )
    jobs = _with_rows(jobs, operators)
    found = _assemble(subject, chip, jobs, operators, None, None, notes)
    return _with_memory(found, program.parts)


def profile_recording(recording: Recording, chip: Chip, name: str) -> Profile:
    """The profile of a recorded submit: a row for each operation, in stream order."""
    jobs = read_jobs(recording.commands, recording.buffers, chip)
    operators = rows_of_jobs(jobs, chip)
    subject = Subject(name, "recording", f"emulator:{chip.name}", "as recorded")
    notes = (
        _modelled_note(chip),
        evidence_of(chip).sentence,
        "A recording knows no operators: each row is one operation.",
    )
    return _assemble(subject, chip, jobs, operators, None, None, notes)


def by_operation(profile: Profile) -> tuple[OperatorRecord, ...]:
    """The rows taken apart into NN and TP operations in stream order, as a recording has them; the
    CPU's are left out. ``shape`` is then the instruction's."""
    found: list[OperatorRecord] = []
    for _, group in groupby(profile.jobs, lambda job: job.operation):
        jobs = list(group)
        op = profile.operators[jobs[0].row]
        row = npu_row(len(found), jobs, op.operators, profile.limits.clock_hz)
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
            part.commands,
            part.buffers,
            chip,
            part.jobs,
            number,
            len(jobs),
            operation,
            decoded,
            part.regions,
        )
    return tuple(jobs)


def _with_rows(
    jobs: Sequence[JobRecord], operators: Sequence[OperatorRecord]
) -> tuple[JobRecord, ...]:
    """The jobs with the row of their operator."""
    rows = {number: op.row for op in operators for number in op.jobs}
    return tuple(replace(job, row=rows[job.number]) for job in jobs)


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


def _with_memory(profile: Profile, parts: Sequence[Part]) -> Profile:
    """What the tensors of each part take."""
    found = (replace(record, memory=parts[record.number].memory) for record in profile.parts)
    return replace(profile, parts=tuple(found))


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
    """Rows that wait for one another. An operator that needs no job, such as a change of shape,
    makes nothing: who reads its output waits for those that made its inputs, if they are few."""
    row_of = {index: op.row for op in operators for index in op.operators}
    idle = {
        index for op in operators if op.part is not None and not op.jobs for index in op.operators
    }
    makers: dict[int, frozenset[int]] = {}
    edges = set()
    for operator in graph.operators:
        before = frozenset[int]().union(*(makers.get(t, ()) for t in operator.inputs))
        edges |= {
            (row_of[maker], row_of[operator.index])
            for maker in before
            if maker in row_of and operator.index in row_of
        }
        through = operator.index in idle and 0 < len(before) <= MOST_MAKERS
        made = before if through else frozenset({operator.index})
        makers |= dict.fromkeys(operator.outputs, made)
    return tuple(sorted(edge for edge in edges if edge[0] != edge[1]))


def _job_edges(jobs: Sequence[JobRecord]) -> tuple[tuple[int, int], ...]:
    row_of = {job.operation: job.row for job in jobs}
    edges = {(row_of[before], job.row) for job in jobs for before in job.after}
    return tuple(sorted(edge for edge in edges if edge[0] != edge[1]))
