"""The records of a profile: jobs, operators, segments of execution, and sums over them.

NPU times come from the timing model ("modelled"); what the CPU does, and on a board the time from
submit to fence, from a clock ("measured"). The two are never added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from lapilli.compiler.blocking import Blocking
from lapilli.device.counters import Counters
from lapilli.program.program import MemoryUse
from lapilli.timing.cycles import Bound, Cycles
from lapilli.timing.work import Traffic

NO_CYCLES = Cycles(0, 0, 0, 0)
NO_TRAFFIC = Traffic(0, 0, 0, 0)


class Origin(Enum):
    """Where a time is from."""

    MODELLED = "modelled"
    MEASURED = "measured"


class Processor(Enum):
    """Who runs an operator."""

    NPU = "NPU"
    CPU = "CPU"


@dataclass(frozen=True)
class Coefficients:
    """``stored``: bytes of header and streams; ``dense``: bytes if each weight took one."""

    stored: int
    dense: int

    @property
    def compression(self) -> float:
        """Dense bytes for each stored one; 0 if nothing is stored."""
        return self.dense / self.stored if self.stored else 0.0


NO_COEFFICIENTS = Coefficients(0, 0)


@dataclass(frozen=True)
class SramUse:
    """Bytes [start, end) of the on-chip memory that kernels and image have, or None."""

    kernels: tuple[int, int] | None = None
    image: tuple[int, int] | None = None

    @property
    def kernel_bytes(self) -> int:
        """For kernels."""
        return self.kernels[1] - self.kernels[0] if self.kernels else 0

    @property
    def image_bytes(self) -> int:
        """For the image."""
        return self.image[1] - self.image[0] if self.image else 0


@dataclass(frozen=True)
class JobRecord:
    """One instruction. TP instructions of one ``operation`` run side by side, each charged its
    share, so that times add up.

    ``start``: cycles since its part began. ``operator``: index in the .tflite, or None.
    ``row``: which OperatorRecord it belongs to. ``on_chip``: bytes read of an image cached on chip.
    ``after``: operations of the same part that made what it reads, by memory.
    """

    number: int
    part: int
    operation: int
    unit: str
    kind: str
    shape: str
    operator: int | None
    row: int
    start: int
    cycles: Cycles
    traffic: Traffic
    on_chip: int
    macs_dense: int
    macs_useful: int
    tiles: int
    superblocks: int
    zero_run_bits: int
    coefficients: Coefficients
    sram: SramUse
    after: tuple[int, ...]

    @property
    def end(self) -> int:
        """Cycles since its part began."""
        return self.start + self.cycles.total


@dataclass(frozen=True)
class PartRecord:
    """One submit. ``executing``: measured seconds from submit to fence, on a board only;
    ``copying``: measured seconds of copying in and out, None if it was not run.
    ``counters``: what the kernel counted meanwhile, on a board that can. ``memory``: what its
    tensors take, None if that is not known."""

    number: int
    jobs: range
    cycles: int
    executing: float | None = None
    copying: float | None = None
    counters: Counters | None = None
    memory: MemoryUse | None = None


@dataclass(frozen=True)
class OperatorRecord:
    """One row of the table: an operator of the NPU, or what the CPU did between two parts.

    ``operators``: indices in the .tflite; several only for the CPU, whose operators are measured
    together where no NPU node lies between them. ``seconds`` is None if nothing is known.
    ``cycles``: sum of the terms of its jobs. ``bound``: what most of its time waits for.
    ``macs``: by the operator's definition (0 if only the stream is known); ``output``: the tensor.
    """

    row: int
    operators: tuple[int, ...]
    processor: Processor
    kind: str
    name: str
    shape: str
    part: int | None
    jobs: tuple[int, ...]
    seconds: float | None
    origin: Origin
    total_cycles: int = 0
    cycles: Cycles = NO_CYCLES
    bound: Bound | None = None
    traffic: Traffic = NO_TRAFFIC
    on_chip: int = 0
    macs: int = 0
    macs_dense: int = 0
    macs_useful: int = 0
    tiles: int = 0
    superblocks: int = 0
    coefficients: Coefficients = NO_COEFFICIENTS
    kernel_sram: int = 0
    image_sram: int = 0


@dataclass(frozen=True)
class Limits:
    """What the chip can do: MACs a cycle with every multiplier busy, bytes a cycle beyond the
    on-chip memory, bytes of the on-chip memory, and bytes a cycle out of that."""

    clock_hz: float
    macs_per_cycle: int
    bytes_per_cycle: float
    sram_bytes: int
    on_chip_bytes_per_cycle: float = 0.0

    @property
    def macs_per_second(self) -> float:
        """Peak."""
        return self.macs_per_cycle * self.clock_hz

    @property
    def bytes_per_second(self) -> float:
        """Peak."""
        return self.bytes_per_cycle * self.clock_hz


@dataclass(frozen=True)
class Segment:
    """What happens without a change of processor, in execution order: a part or a CPU row.
    ``start`` and ``end``: seconds, modelled for parts and measured for the CPU, one behind the
    other."""

    processor: Processor
    number: int
    start: float
    end: float


@dataclass(frozen=True)
class Profile:
    """One model on one chip. ``edges``: (row, row) from producer to consumer. ``blocking``: what
    stays on the CPU and why, if operators are known."""

    model: str
    source: str
    chip: str
    device: str
    schedule: str
    limits: Limits
    jobs: tuple[JobRecord, ...]
    parts: tuple[PartRecord, ...]
    operators: tuple[OperatorRecord, ...]
    segments: tuple[Segment, ...]
    edges: tuple[tuple[int, int], ...]
    output_names: Mapping[int, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    blocking: Blocking | None = None

    def seconds(self, cycles: int) -> float:
        """Of the NPU's clock."""
        return cycles / self.limits.clock_hz

    @cached_property
    def npu_cycles(self) -> int:
        """Modelled time of all parts. Summed once: every row asks for its share."""
        return sum(job.cycles.total for job in self.jobs)

    @property
    def npu_seconds(self) -> float:
        """Modelled time of all parts."""
        return self.seconds(self.npu_cycles)

    @property
    def cpu_seconds(self) -> float | None:
        """Measured time of CPU operators; None if some is unknown."""
        return _sum(op.seconds for op in self.operators if op.processor is Processor.CPU)

    @property
    def copying_seconds(self) -> float | None:
        """Measured time of copying in and out."""
        return _sum(part.copying for part in self.parts)

    @property
    def executing_seconds(self) -> float | None:
        """Measured time from submit to fence, on a board."""
        return _sum(part.executing for part in self.parts)

    def share(self, row: OperatorRecord) -> float | None:
        """Of the NPU's modelled time; None for the CPU's rows."""
        if row.processor is Processor.CPU:
            return None
        return row.total_cycles / self.npu_cycles if self.npu_cycles else 0.0

    def utilisation(self, macs: int, cycles: int) -> float:
        """Share of the peak that ``macs`` in ``cycles`` are."""
        return macs / (cycles * self.limits.macs_per_cycle) if cycles else 0.0

    def bandwidth(self, traffic: Traffic, cycles: int) -> float:
        """Bytes a second beyond the on-chip memory."""
        return traffic.total * self.limits.clock_hz / cycles if cycles else 0.0


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def total_cycles_of(jobs: Iterable[JobRecord]) -> Cycles:
    """The terms summed; their own ``total`` means nothing, as terms of different jobs don't
    overlap."""
    found = [job.cycles for job in jobs]
    return Cycles(
        memory=sum(each.memory for each in found),
        coefficients=sum(each.coefficients for each in found),
        tp=sum(each.tp for each in found),
        start_up=sum(each.start_up for each in found),
    )


def total_traffic_of(jobs: Iterable[JobRecord]) -> Traffic:
    """Bytes summed by kind."""
    found = [job.traffic for job in jobs]
    return Traffic(
        instruction=sum(each.instruction for each in found),
        coefficients=sum(each.coefficients for each in found),
        input=sum(each.input for each in found),
        output=sum(each.output for each in found),
    )


def total_coefficients_of(jobs: Iterable[JobRecord]) -> Coefficients:
    """Bytes summed."""
    found = [job.coefficients for job in jobs]
    return Coefficients(sum(each.stored for each in found), sum(each.dense for each in found))


def bound_of(jobs: Sequence[JobRecord]) -> Bound | None:
    """What most of the jobs' time waits for."""
    spent: dict[Bound, int] = {}
    for job in jobs:
        spent[job.cycles.bound] = spent.get(job.cycles.bound, 0) + job.cycles.total
    return max(spent, key=lambda bound: spent[bound]) if spent else None
