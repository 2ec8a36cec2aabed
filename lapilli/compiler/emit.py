"""Scheduled jobs to bytes: instruction words, coefficient buffer, command stream, relocations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler import memory_plan, program_size
from lapilli.compiler.generations import Generation, generation_of
from lapilli.compiler.jobs import Coefficients, Crossing, NnJob, PartJobs, TpInstruction, TpJob
from lapilli.compiler.schedule import OnChipMemory, Tiling
from lapilli.hw import commands as packets
from lapilli.hw import nn, tp
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip
from lapilli.hw.commands import Register
from lapilli.model.graph import Graph
from lapilli.program.program import PAGE, Binding, BufferSpec, Job, Part, Region, Relocation, Words

ADDRESS_END = 1 << 32
INSTRUCTIONS, COEFFICIENTS, FIRST_STORAGE = 0, 1, 2
"""Buffer numbers of a part."""
COMMAND_STREAM = -1
MARKED = ("pad", "relu", "abs")
"""Kinds of TP jobs that say so before each instruction that is not their last; what it means is not
known."""


@dataclass(frozen=True)
class ScheduledNn:
    """An NN job with everything chosen."""

    job: NnJob
    tiling: Tiling
    memory: OnChipMemory
    coefficients: Coefficients


def nn_fields(scheduled: ScheduledNn, generation: Generation) -> dict[str, int]:
    """Instruction fields of an NN job, addresses left out."""
    job, kernels = scheduled.job, scheduled.job.kernels
    factor = 2 if job.first_pixel else 1
    scale = generation.multiplier(job.scale)
    per_core = -(-kernels.output_channels // scheduled.coefficients.size.cores)
    source, target = job.input_size, job.output_size
    return {
        "kernel_x_size": kernels.columns,
        "kernel_y_size": kernels.rows,
        "kernel_z_size": source.channels,
        "depthwise": int(job.native_depthwise),
        "kernels_per_core": -(-per_core // scheduled.tiling.superblocks),
        "pooling": nn.Pooling.FIRST_PIXEL if job.first_pixel else nn.Pooling.NONE,
        "pooling_xy_size": 0 if job.first_pixel else 1,
        "in_image_x_size": source.columns,
        "in_image_y_size": source.rows,
        "in_image_x_stride": source.columns,
        "in_image_y_stride": source.rows,
        "in_image_x_offset": job.column_offset,
        "in_image_y_offset": job.row_offset,
        "in_image_border_const": job.input_zero_point,
        "relu": int(job.relu),
        "post_multiplier": scale.fraction,
        "post_shift": scale.shift,
        "out_image_x_size": target.columns * factor,
        "out_image_y_size": target.rows * factor,
        "out_image_z_size": target.channels,
        "out_image_x_stride": target.columns,
        "out_image_y_stride": target.rows,
        "out_image_tile_x_size": scheduled.tiling.columns,
        "out_image_tile_y_size": scheduled.tiling.rows,
        "coef_zero_point": kernels.zero_point,
        "out_zero_point": job.output_zero_point,
        **asdict(scheduled.memory),
    }


@dataclass
class _Assembly:
    """Instructions, coefficients, commands and relocations of a part as they grow."""

    instructions: list[list[int]] = field(default_factory=list)
    coefficients: list[NDArray[np.uint8]] = field(default_factory=list)
    coefficient_bytes: int = 0
    commands: list[int] = field(default_factory=lambda: [0] * packets.LEADING_FILLERS)
    relocations: list[Relocation] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def state(self, register: Register, value: int) -> None:
        """Append a LOAD_STATE of one register."""
        self.commands += [packets.LOAD_STATE.encode(address=register, count=1)[0], value]

    def point(self, layout: Layout, name: str, target: int, addend: int) -> None:
        """Let an address field of the last instruction point into buffer ``target``."""
        declared = layout.fields[name]
        offset = self.offset + 4 * declared.pieces[0].word
        self.relocations.append(Relocation(INSTRUCTIONS, offset, target, addend, declared.shift))

    @property
    def offset(self) -> int:
        """Byte offset of the last instruction."""
        return (len(self.instructions) - 1) * nn.ALIGNMENT

    def start(self, register: Register, number: int) -> None:
        """Append the write that starts the last instruction."""
        self.relocations.append(
            Relocation(
                COMMAND_STREAM, 4 * (len(self.commands) + 1), INSTRUCTIONS, self.offset + number
            )
        )
        self.state(register, number)

    def add_coefficients(self, data: NDArray[np.uint8]) -> int:
        """Append a coefficient buffer, aligned as ``kernel_address`` wants it; its offset."""
        at = self.coefficient_bytes
        padded = np.pad(data, (0, -data.size % nn.COEFFICIENT_ALIGNMENT))
        self.coefficients.append(padded)
        self.coefficient_bytes += padded.size
        return at


def _nn_job(assembly: _Assembly, scheduled: ScheduledNn, generation: Generation) -> None:
    job, layout = scheduled.job, generation.layout
    assembly.instructions.append(layout.encode(**nn_fields(scheduled, generation)))
    at = assembly.add_coefficients(scheduled.coefficients.data)
    assembly.point(layout, "kernel_address", COEFFICIENTS, at)
    _point_images(assembly, layout, ("in_image_address", "out_image_address"), job, 0, 0)
    assembly.jobs.append(
        Job(
            "NN",
            job.kind,
            job.operator,
            INSTRUCTIONS,
            assembly.offset,
            nn.WORDS,
            (at, scheduled.coefficients.data.size),
        )
    )
    assembly.state(Register.GL_OCB_REMAP_START, 0)
    assembly.state(Register.GL_OCB_REMAP_END, 0)
    assembly.state(Register.GL_NN_CONFIG, packets.NN_CONFIG.encode()[0])
    assembly.start(Register.PS_NN_INST_ADDR, 0)
    assembly.state(Register.PS_UNK10A4, 0)


def _point_images(
    assembly: _Assembly,
    layout: Layout,
    names: tuple[str, str],
    job: NnJob | TpJob,
    source_offset: int,
    target_offset: int,
) -> None:
    for name, view, more in zip(
        names, (job.source, job.target), (source_offset, target_offset), strict=True
    ):
        assembly.point(layout, name, FIRST_STORAGE + view.storage, view.offset + more)


def _tp_job(assembly: _Assembly, job: TpJob) -> None:
    last = len(job.instructions) - 1
    for core, instruction in enumerate(job.instructions):
        _tp_instruction(assembly, job, instruction, more=core < last)
    assembly.state(Register.PS_UNK10A4, 0)


def _tp_instruction(
    assembly: _Assembly, job: TpJob, instruction: TpInstruction, more: bool
) -> None:
    """``more``: further cores of the operation follow."""
    assembly.instructions.append(tp.TP.encode(**instruction.fields))
    names = ("in_image_base_address", "out_image_base_address")
    _point_images(assembly, tp.TP, names, job, instruction.source_offset, instruction.target_offset)
    if job.table is not None:
        table = FIRST_STORAGE + job.table.storage
        assembly.point(tp.TP, "alu_load_pwl_lut_address", table, job.table.offset)
    assembly.jobs.append(Job("TP", job.kind, job.operator, INSTRUCTIONS, assembly.offset, tp.WORDS))
    assembly.state(Register.GL_OCB_REMAP_START, 0)
    assembly.state(Register.GL_OCB_REMAP_END, 0)
    assembly.state(Register.GL_TP_CONFIG, 0)
    mark = packets.TP_PAD_MORE_CORES if more and job.kind in MARKED else 0
    assembly.state(Register.GL_UNK3950, mark)
    assembly.start(Register.PS_TP_INST_ADDR, packets.TP_MORE_CORES if more else 0)


def emit(
    graph: Graph,
    unscheduled: PartJobs,
    scheduled: Sequence[ScheduledNn | TpJob],
    chip: Chip,
    regions: Sequence[memory_plan.Region] = (),
) -> Part:
    """The part with default addresses in place; ``regions``: where its tensors lie."""
    assembly = _Assembly()
    for item in scheduled:
        if isinstance(item, TpJob):
            _tp_job(assembly, item)
        else:
            _nn_job(assembly, item, generation_of(chip))
    for _ in range(packets.FLUSHES):
        assembly.state(Register.GL_FLUSH_CACHE, packets.FLUSH_CACHE.encode()[0])
    assembly.commands += [0] * packets.TRAILING_FILLERS
    instructions = np.zeros((len(assembly.instructions), nn.ALIGNMENT // 4), np.uint32)
    for row, words in zip(instructions, assembly.instructions, strict=True):
        row[: len(words)] = words
    coefficients = np.concatenate([*assembly.coefficients, np.zeros(0, np.uint8)])
    part = Part(
        operators=unscheduled.operators,
        buffers=_buffers(unscheduled, instructions.reshape(-1).view(np.uint8), coefficients),
        relocations=tuple(assembly.relocations),
        commands=np.array(assembly.commands, np.uint32),
        jobs=tuple(assembly.jobs),
        inputs=_bindings(graph, unscheduled.inputs),
        outputs=_bindings(graph, unscheduled.outputs),
        regions=_regions(regions, scheduled),
        chip=chip.name,
    )
    return _at_default_addresses(part)


def _buffers(
    unscheduled: PartJobs, instructions: NDArray[np.uint8], coefficients: NDArray[np.uint8]
) -> tuple[BufferSpec, ...]:
    """Buffers with page-aligned sizes, placed from the top of the 32-bit address space down."""
    wanted: list[tuple[str, int, NDArray[np.uint8] | None]] = [
        ("instruction", instructions.size, instructions),
        ("coefficients", max(coefficients.size, 1), coefficients),
        *((storage.role, storage.size, storage.data) for storage in unscheduled.storages),
    ]
    program_size.check_addresses(
        unscheduled.storages, instructions.size + coefficients.size + PAGE * len(wanted)
    )
    specs, top = [], ADDRESS_END
    for role, size, data in wanted:
        rounded = -(-size // PAGE) * PAGE
        top -= rounded
        specs.append(BufferSpec(role, rounded, top, data))
    return tuple(specs)


def _bindings(graph: Graph, crossings: tuple[Crossing, ...]) -> tuple[Binding, ...]:
    found = []
    for crossing in crossings:
        tensor, view = graph.tensors[crossing.tensor], crossing.view
        found.append(
            Binding(
                tensor.index,
                tensor.name,
                tensor.shape,
                tensor.dtype,
                FIRST_STORAGE + view.storage,
                view.offset,
                view.size,
            )
        )
    return tuple(found)


def _regions(
    regions: Sequence[memory_plan.Region], scheduled: Sequence[ScheduledNn | TpJob]
) -> tuple[Region, ...]:
    """The same, with lives counted in instructions."""
    counts = [len(job.instructions) if isinstance(job, TpJob) else 1 for job in scheduled]
    ends = list(accumulate(counts))
    return tuple(
        Region(
            FIRST_STORAGE + region.storage,
            region.offset,
            region.size,
            ends[region.life.first] - counts[region.life.first],
            ends[region.life.last] - 1,
        )
        for region in regions
        if ends
    )


def _at_default_addresses(part: Part) -> Part:
    commands, contents = part.place([buffer.address for buffer in part.buffers])
    buffers = tuple(
        BufferSpec(b.role, b.size, b.address, contents.get(i, b.data))
        for i, b in enumerate(part.buffers)
    )
    return replace(part, buffers=buffers, commands=commands_readonly(commands))


def commands_readonly(commands: Words) -> Words:
    """The same words, write-protected."""
    commands.flags.writeable = False
    return commands
