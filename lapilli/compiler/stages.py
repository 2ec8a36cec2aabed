"""From a model to a program: the stages in order. Read this file first.

read -> judge -> partition -> per_channel -> as_unsigned -> fuse -> lower -> realise -> schedule
-> encode -> emit
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lapilli.compiler import memory_plan, program_size, verdict
from lapilli.compiler import partition as partitioning
from lapilli.compiler.blocking import blocking
from lapilli.compiler.cuts import TAKE_ALL, Choice, Cuts, choose, partition_wish
from lapilli.compiler.emit import ScheduledNn, emit
from lapilli.compiler.fusions.registry import fuse
from lapilli.compiler.generations import GENERATIONS, generation_of
from lapilli.compiler.in_groups import in_groups
from lapilli.compiler.jobs import NnJob, PartJobs, TpJob
from lapilli.compiler.lower import lower
from lapilli.compiler.memory_plan import Region
from lapilli.compiler.operators.record import Rule
from lapilli.compiler.operators.rules import divisible_channels, of_kinds
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.per_channel import BEST_WAY, LEFT_ALONE, PerChannel
from lapilli.compiler.realise import realise
from lapilli.compiler.schedule import OnChipMemory, Tiling, best
from lapilli.compiler.schedule.cost import Costs, deciding_constants
from lapilli.compiler.schedule.levers.registry import pulled
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.compiler.units.report import Loss
from lapilli.compiler.units.requantise import Requantised
from lapilli.compiler.unsigned import as_unsigned
from lapilli.compiler.verdict import Verdict
from lapilli.errors import NothingForTheNpu, Unsupported, UsageError
from lapilli.hw.boards import find_chip
from lapilli.hw.chips import CHIPS, Chip
from lapilli.hw.nn import Caching
from lapilli.model.graph import Graph
from lapilli.model.graph_digest import part_digest
from lapilli.program.program import Part, Program

SCHEDULES = ("reference", "best")


@dataclass(frozen=True)
class CompileOptions:
    """What to leave out of a program, to measure what it is worth or to replay a driver's history.

    ``zero_runs``: code runs of zero weights (V7; V8's streams have none). ``image_cache``: keep a
    tile's input in the on-chip memory between superblocks. ``kernel_cache``: keep coefficients
    there between tiles. ``only_divisible_channels``: leave convolutions whose output channels are
    no multiple of 8 to the CPU. ``kinds``: leave operators of other kinds (TFLite's names) to the
    CPU; None for none. The defaults change nothing.

    ``postprocess``: leave to the host what the delegate does there itself, a detector's
    post-processing with what stands in front of it.

    ``memory_reuse``: let tensors share memory that are not needed at the same time; the reference
    schedule gives each its own, as the recorded driver does.

    ``max_program_bytes``: refuse what needs more for coefficients and instructions.

    ``without``: levers of the best schedule that are not pulled, ``experimental``: ones that are
    (docs/schedules.md). ``effort``: 0 keeps to the reference's tiles, 2 looks at more than 1.

    ``per_channel``: what becomes of weights with a scale for each channel.

    ``cuts``: which parts of those that the NPU could take are left to the CPU.
    """

    zero_runs: bool = True
    image_cache: bool = True
    kernel_cache: bool = True
    only_divisible_channels: bool = False
    postprocess: bool = True
    memory_reuse: bool = True
    max_program_bytes: int = program_size.MOST_BYTES
    without: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    effort: int = 1
    per_channel: PerChannel = BEST_WAY
    kinds: frozenset[str] | None = None
    cuts: Cuts = TAKE_ALL

    def searched(self, search: SearchOptions) -> CompileOptions:
        """The same with another search for the best schedule."""
        return replace(
            self,
            without=search.without,
            experimental=search.experimental,
            effort=search.effort,
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Restrictions on top of the chip's."""
        found: list[Rule] = [divisible_channels] if self.only_divisible_channels else []
        return tuple(found if self.kinds is None else [*found, of_kinds(self.kinds)])

    def verdicts(self, graph: Graph, chip: Chip) -> tuple[Verdict, ...]:
        """What the NPU could take."""
        found = verdict.judge_all(self.per_channel.seen(graph), chip, self.rules)
        return verdict.with_host(graph, found) if self.postprocess else found

    def chosen(self, graph: Graph, chip: Chip) -> Choice:
        """What of it goes there."""
        seen = self.per_channel.seen(graph)
        return choose(seen, self.verdicts(graph, chip), chip, self.cuts)


DEFAULT_OPTIONS = CompileOptions()


def chip_named(name: str) -> Chip:
    """The chip called ``name``, if programs can be compiled for it; UsageError or Unsupported."""
    chip = find_chip(name)
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
    options: CompileOptions = DEFAULT_OPTIONS,
) -> Part:
    """One part from operators (positions in ``graph.operators``) that the NPU takes.

    ``inputs`` and ``outputs``: tensors that cross its border; by default those that the rest of the
    graph needs.
    """
    entering, leaving = _borders(graph, operators, inputs, outputs)
    found = schedule_part(graph, operators, chip, schedule, entering, leaving, options)
    part = emit(graph, found.part, found.jobs, chip, found.regions)
    program_size.Budget(options.max_program_bytes).spend(program_size.of_part(part))
    return replace(part, source=part_digest(graph, operators, entering, leaving))


def _borders(
    graph: Graph,
    operators: Sequence[int],
    inputs: Iterable[int] | None,
    outputs: Iterable[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Inputs and outputs as given, else those that the rest of the graph needs; the whole graph is
    looked at only for these."""
    if inputs is not None and outputs is not None:
        return tuple(inputs), tuple(outputs)
    borders = partitioning.with_borders(graph, operators)
    return (
        borders.inputs if inputs is None else tuple(inputs),
        borders.outputs if outputs is None else tuple(outputs),
    )


@dataclass(frozen=True)
class ScheduledPart:
    """A part with everything chosen and no byte of an instruction written: its ``jobs`` in
    order, and the ``regions`` that its tensors have in its storages."""

    part: PartJobs
    jobs: tuple[ScheduledNn | TpJob, ...]
    regions: tuple[Region, ...] = ()


def schedule_part(
    graph: Graph,
    operators: Sequence[int],
    chip: Chip,
    schedule: str = "best",
    inputs: Iterable[int] | None = None,
    outputs: Iterable[int] | None = None,
    options: CompileOptions = DEFAULT_OPTIONS,
) -> ScheduledPart:
    """What ``compile_part`` emits."""
    as_recorded = schedule_named(schedule) == "reference"
    wishes = LoweringOptions(as_recorded, options.zero_runs, options.max_program_bytes)
    cut = partitioning.cut_out(graph, operators, *_borders(graph, operators, inputs, outputs))
    lowered = lower(in_groups(fuse(as_unsigned(cut), chip).graph), chip, wishes)
    lowered = replace(lowered, operators=tuple(operator.index for operator in cut.operators))
    part = realise(lowered, chip, wishes)
    if not wishes.as_recorded and options.image_cache and options.kernel_cache:
        found = _best(part, chip, options)
    else:
        _check_size(part.jobs, chip, options)
        found = ScheduledPart(
            part,
            tuple(
                job if isinstance(job, TpJob) else _schedule(job, chip, options)
                for job in part.jobs
            ),
        )
    return _in_memory(found, options.memory_reuse and not wishes.as_recorded)


def _in_memory(found: ScheduledPart, share: bool) -> ScheduledPart:
    """The same with its tensors' places, in memory that they ``share`` or in buffers of their
    own."""
    plan = memory_plan.shared(found.part) if share else memory_plan.apart(found.part)
    jobs = tuple(map(_with_job, found.jobs, plan.part.jobs))
    return ScheduledPart(plan.part, jobs, plan.regions)


def _with_job(scheduled: ScheduledNn | TpJob, job: NnJob | TpJob) -> ScheduledNn | TpJob:
    """What was chosen for a job, for the same one elsewhere."""
    if isinstance(scheduled, TpJob) or isinstance(job, TpJob):
        assert isinstance(job, TpJob), "jobs keep their order"
        return job
    return replace(scheduled, job=job)


def _best(part: PartJobs, chip: Chip, options: CompileOptions) -> ScheduledPart:
    used = pulled(chip.generation, options.without, options.experimental)
    costs = Costs(chip, deciding_constants(chip))
    search = best.Search(costs, used.levers, used.choices, options.effort)
    part, planned = best.plan(part, search)
    _check_size([found.job for found in planned], chip, options)
    return ScheduledPart(part, tuple(_scheduled(found, chip) for found in planned))


def _check_size(jobs: Sequence[NnJob | TpJob], chip: Chip, options: CompileOptions) -> None:
    """ModelError before coefficients are written that the program may not hold."""
    needed = program_size.of_jobs(jobs, chip, generation_of(chip).bytes_to_code)
    program_size.Budget(options.max_program_bytes).spend(needed)


def _scheduled(found: best.Planned, chip: Chip) -> ScheduledNn | TpJob:
    if isinstance(found.job, TpJob):
        return found.job
    assert found.tiling is not None and found.memory is not None
    coefficients = generation_of(chip).encode(found.job, chip, found.tiling)
    return ScheduledNn(found.job, found.tiling, found.memory, coefficients)


def _schedule(job: NnJob, chip: Chip, options: CompileOptions) -> ScheduledNn:
    generation = generation_of(chip)
    tiles = generation.tiling(job, chip)
    coefficients = generation.encode(job, chip, tiles)
    memory = _memory(job, chip, tiles, coefficients.size.cached, options)
    return ScheduledNn(job, tiles, memory, coefficients)


def _memory(
    job: NnJob, chip: Chip, tiles: Tiling, kernel_bytes: int, options: CompileOptions
) -> OnChipMemory:
    # An image that is read for one superblock only is never given a place.
    seen = tiles if options.image_cache else replace(tiles, superblocks=1)
    memory = generation_of(chip).memory(job, chip, seen, kernel_bytes)
    if options.kernel_cache:
        return memory
    return replace(
        memory,
        kernel_caching_mode=Caching.NONE,
        kernel_pattern_msb=0,
        kernel_pattern_low=0,
        kernel_pattern_high=0,
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A ``model``, and the ``graph`` of it that can be compiled: ``parts`` for the NPU, in which
    every layer has one scale.

    ``loss``: what that costs, None where no layer had more; ``note``: for a reader, why layers with
    per-channel weights stay on the CPU, if they do; ``verdicts``: on each operator.
    """

    model: Graph
    graph: Graph
    parts: tuple[partitioning.Partition, ...]
    verdicts: tuple[Verdict, ...]
    loss: Loss | None = None
    note: str = ""


def prepare(
    graph: Graph,
    chip: Chip,
    options: CompileOptions = DEFAULT_OPTIONS,
    requantise: Callable[[Graph, Sequence[Sequence[int]]], Requantised] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> Prepared:
    """Judge, partition, and see to per-channel weights, by ``requantise`` if somebody else knows
    how; raises NothingForTheNpu if the NPU takes none of the operators. ``verdicts``: what
    ``options`` choose, where that is known already."""
    verdicts = options.chosen(graph, chip).verdicts if verdicts is None else tuple(verdicts)
    if not any(found.supported for found in verdicts):
        blocked = blocking(graph, verdicts)
        reason = f" {blocked.reason}" if blocked is not None else ""
        raise NothingForTheNpu(f"{graph.name}: the NPU takes none of its operators.{reason}")
    partitions = partitioning.partition(graph, [found.supported for found in verdicts])
    parts = tuple(part for part in partitions if part.on_npu)
    try:
        done = requantise or options.per_channel.done
        found = done(graph, [part.operators for part in parts])
    except Unsupported as error:
        without = prepare(graph, chip, replace(options, per_channel=LEFT_ALONE))
        return replace(without, note=f"per-channel weights stay on the CPU: {error}")
    return Prepared(graph, found.graph, parts, verdicts, found.loss)


def compile_prepared(
    prepared: Prepared,
    chip: Chip,
    schedule: str = "best",
    model_digest: str = "",
    options: CompileOptions = DEFAULT_OPTIONS,
) -> Program:
    """All parts of what ``prepare`` gave."""
    graph = prepared.graph
    parts: list[Part] = []
    for p in prepared.parts:
        left = options.max_program_bytes - sum(map(program_size.of_part, parts[-1:]))
        options = replace(options, max_program_bytes=left)
        part = compile_part(graph, p.operators, chip, schedule, p.inputs, p.outputs, options)
        # What a program is compared with is the model, whatever weights were made of it.
        source = part_digest(prepared.model, p.operators, p.inputs, p.outputs)
        parts.append(replace(part, source=source))
    return Program(chip.name, schedule, graph.name, model_digest, tuple(parts))


def compile_graph(
    graph: Graph,
    chip: Chip,
    schedule: str = "best",
    model_digest: str = "",
    options: CompileOptions = DEFAULT_OPTIONS,
) -> Program:
    """All parts of a graph; raises NothingForTheNpu if the NPU takes none of its operators."""
    prepared = prepare(graph, chip, options)
    return compile_prepared(prepared, chip, schedule, model_digest, options)


def compile_model(
    model: str | Path | bytes,
    chip: str = "a311d",
    schedule: str = "best",
    options: CompileOptions | None = None,
) -> Program:
    """The program of a .tflite file or its bytes. Raises ModelError, Unsupported, UsageError.

    Without ``options`` it is what ``lapilli compile`` makes: in the best schedule, parts that are
    modelled to be faster on the CPU are left to it (``compiler/cuts.py``).
    """
    from lapilli.model import tflite

    found, name = chip_named(chip), schedule_named(schedule)
    if isinstance(model, bytes):
        data, source = model, "model"
    else:
        data, source = tflite.read_file(model), Path(model).name
    if options is None:
        options = replace(DEFAULT_OPTIONS, cuts=Cuts(partition_wish(None, name)))
    return compile_graph(tflite.parse(data, source), found, name, tflite.digest(data), options)
