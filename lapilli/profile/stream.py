"""From a command stream alone to one record for each of its instructions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from lapilli.emulator.memory import ListedMemory
from lapilli.emulator.work import (
    Decoded,
    ReadInstruction,
    SubmittedBuffer,
    WorkReader,
    memory_of,
)
from lapilli.errors import ModelError
from lapilli.hw.chips import Chip
from lapilli.profile.events import Coefficients, JobRecord, Limits, SramUse
from lapilli.program.program import Job, Region, Words
from lapilli.timing.constants import TimingConstants, constants_of
from lapilli.timing.cycles import charge
from lapilli.timing.nn import peak_weights

MOST_DEPENDENCIES = 256
"""Of one instruction; those behind it in the same buffer are the last ones."""
UNNAMED = {"NN": "convolution", "TP": "move"}
"""What a job is called where only its words are known."""


def limits_of(chip: Chip, constants: TimingConstants | None = None) -> Limits:
    """The chip's peaks; raises Unsupported if it has no timing constants.

    Every MAC unit of a core takes a pixel. A weight a cycle for all of them is one MAC a unit;
    NN_XYDP6 makes that six at best, NN_ZDP3 and V8's NN_XYDP0 three.
    """
    chosen = constants_of(chip) if constants is None else constants
    return Limits(
        chosen.clock_hz,
        chip.nn_cores * chip.mads_per_core * peak_weights(chip),
        chosen.bus_bytes,
        chip.vip_sram_bytes,
        chosen.on_chip_bytes,
    )


@dataclass
class _Reader:
    """What is known while a stream is read."""

    memory: ListedMemory
    places: _Places
    writers: dict[Hashable, dict[int, int]] = field(default_factory=dict)
    """Place -> address written to -> operation that did it last."""

    def dependencies(self, instruction: ReadInstruction, operation: int, number: int) -> list[int]:
        """Operations that wrote into the place it reads; notes what it writes."""
        unit, fields = instruction.start.unit, instruction.fields
        source, target = (
            (fields["in_image_address"], fields["out_image_address"])
            if unit == "NN"
            else (fields["in_image_base_address"], fields["out_image_base_address"])
        )
        self.places.advance(number)
        read, written = (
            self.places.find(address) or self.memory.buffer(f"{unit} {what}", address).address
            for what, address in (("input", source), ("output", target))
        )
        found = sorted(set(self.writers.get(read, {}).values()) - {operation})
        writers = self.writers.setdefault(written, {})
        writers.pop(target, None)
        writers[target] = operation
        if len(writers) > MOST_DEPENDENCIES:
            del writers[next(iter(writers))]
        return found


class _Places:
    """Which tensor lies at an address while an instruction runs. Without ``regions`` that is not
    known, and a buffer counts as one."""

    def __init__(self, regions: Sequence[Region], buffers: Sequence[SubmittedBuffer]) -> None:
        self._buffers = buffers
        self._coming = sorted(regions, key=lambda region: region.first, reverse=True)
        self._alive: list[Region] = []

    def advance(self, number: int) -> None:
        """To instruction ``number``, the next one."""
        self._alive = [region for region in self._alive if region.last >= number]
        while self._coming and self._coming[-1].first <= number:
            self._alive.append(self._coming.pop())

    def find(self, address: int) -> Region | None:
        """What lies there now."""
        for region in self._alive:
            start = self._buffers[region.buffer].address + region.offset
            if start <= address < start + region.size:
                return region
        return None


def read_jobs(
    commands: Words,
    buffers: Sequence[SubmittedBuffer],
    chip: Chip,
    named: Sequence[Job] | None = None,
    part: int = 0,
    first_job: int = 0,
    first_operation: int = 0,
    decoded: Decoded | None = None,
    regions: Sequence[Region] = (),
) -> tuple[JobRecord, ...]:
    """The instructions of a stream; ``named`` are the program's jobs, one each.

    ``decoded``: see WorkReader. ``regions``: where tensors lie that share buffers. ``row`` is the
    operation's number: whoever knows operators puts theirs there. Raises Fault for a stream that
    can't be read, ModelError for one that starts more than is named, Unsupported for a chip without
    timing constants.
    """
    constants = constants_of(chip)
    reader = _Reader(memory_of(buffers), _Places(regions, buffers))
    records: list[JobRecord] = []
    clock, operation = 0, first_operation - 1
    for i, instruction in enumerate(WorkReader(chip, decoded).read(commands, reader.memory)):
        work = instruction.work
        operation += work.first
        cycles = charge(work, constants).cycles
        job = None if named is None else _named(named, i)
        records.append(
            JobRecord(
                number=first_job + i,
                part=part,
                operation=operation,
                unit=work.unit,
                kind=UNNAMED[work.unit] if job is None else job.kind,
                shape=_shape(work.unit, instruction.fields),
                operator=None if job is None else job.operator,
                row=operation,
                start=clock,
                cycles=cycles,
                traffic=work.traffic,
                on_chip=work.cached_input,
                macs_dense=work.macs_dense,
                macs_useful=work.macs_useful,
                tiles=work.tiles,
                superblocks=work.superblocks,
                zero_run_bits=work.zero_run_bits,
                coefficients=Coefficients(work.stored_bytes, work.dense_weights),
                sram=SramUse(work.kernel_sram, work.image_sram),
                after=tuple(reader.dependencies(instruction, operation, i)),
            )
        )
        clock += cycles.total
    return tuple(records)


def _named(jobs: Sequence[Job], number: int) -> Job:
    """What the program calls its instruction; ModelError if it lists fewer than it starts."""
    if number >= len(jobs):
        raise ModelError(
            f"the program lists {len(jobs)} jobs; found a stream that starts more instructions"
        )
    return jobs[number]


def _shape(unit: str, fields: Mapping[str, int]) -> str:
    """Rows x columns x channels in and out, as the unit sees them."""
    f = fields
    source = f"{f['in_image_y_size']}x{f['in_image_x_size']}"
    if unit == "TP":
        return f"{source}x{f['in_image_z_size']}"
    kernel = f"{f['kernel_y_size']}x{f['kernel_x_size']}"
    target = f"{f['out_image_y_size']}x{f['out_image_x_size']}x{f['out_image_z_size']}"
    return f"{source}x{f['kernel_z_size']} -> {target}, {kernel}"
