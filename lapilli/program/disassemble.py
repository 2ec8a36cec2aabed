"""What a program says, as data: fields by name, on-chip memory, coefficients, packets.

Nothing here prints, and nothing raises for a program that ``program_file.load`` lets through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lapilli.hw import commands, nn, tp
from lapilli.hw.bits import Field, Layout
from lapilli.hw.chips import Chip, find_by_name
from lapilli.hw.commands import Opcode, Register
from lapilli.program.core_streams import CoreStreams, core_streams
from lapilli.program.program import Binding, Bytes, Job, Part, Program

COEFFICIENTS = "coefficients"
TOPICS = ("kernels", "input", "output", "tiles", "arithmetic", "on-chip memory", "other")
_NN_TOPICS = (
    ("tiles", ("out_image_tile", "kernels_per_core")),
    (
        "on-chip memory",
        ("image_cach", "kernel_cach", "kernel_pattern", "partial_cache", "kernel_direct"),
    ),
    (
        "arithmetic",
        ("relu", "prelu", "post_", "rounding", "coef_zero", "out_zero", "clamp", "per_"),
    ),
    ("kernels", ("kernel", "layer_type", "depthwise")),
    ("input", ("in_image", "brick")),
    ("output", ("out_image", "pooling", "no_z_offset")),
)
_TP_TOPICS = (
    ("input", ("in_image", "in_window", "in_tile")),
    ("output", ("out_image", "out_loop", "out_tile", "out_brick")),
    ("arithmetic", ("alu_", "in_zp", "out_zp", "coef_zp", "flat_", "integer_")),
)
_ENUMERATIONS: dict[str, type[nn.Pooling] | type[nn.Caching]] = {
    "pooling": nn.Pooling,
    "image_caching_mode": nn.Caching,
    "kernel_caching_mode": nn.Caching,
}
_HEXADECIMAL = ("pattern_low", "pattern_high", "clamp_", "word_28", "cache_start", "cache_end")


# ------------------------------------------------------------------------------------------- facts


@dataclass(frozen=True)
class Place:
    """Byte ``offset`` of buffer ``buffer``."""

    buffer: int
    offset: int

    def __str__(self) -> str:
        return f"buffer {self.buffer}+{self.offset:#x}"


@dataclass(frozen=True)
class FieldLine:
    """One field of an instruction; ``text`` is the value for a reader, ``note`` what it means."""

    topic: str
    name: str
    value: int
    text: str
    note: str
    changed: bool
    where: str


@dataclass(frozen=True)
class SramRange:
    """Bytes ``start`` to ``end`` (not included) of the VIP SRAM."""

    name: str
    mode: str
    start: int
    end: int


@dataclass(frozen=True)
class CoefficientSummary:
    """A job's coefficients. ``size``: all their bytes; ``dense``: bytes of the weights if each took
    one."""

    place: Place
    size: int
    cores: CoreStreams
    dense: int


@dataclass(frozen=True)
class JobListing:
    """One instruction taken apart."""

    number: int
    job: Job
    fields: tuple[FieldLine, ...]
    touches: tuple[tuple[str, Place], ...]
    sram: tuple[SramRange, ...]
    coefficients: CoefficientSummary | None
    stray_bits: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Packet:
    """One packet of the command stream, or one of the registers it loads. ``offset``: bytes."""

    offset: int
    name: str
    register: str
    value: int | None
    note: str


# -------------------------------------------------------------------------------------------- JSON


def to_json(program: Program, numbers: Iterable[int] | None = None) -> dict[str, Any]:
    """The object ``lapilli dump --json`` prints; ``numbers`` chooses parts."""
    chosen = range(len(program.parts)) if numbers is None else numbers
    return {"chip": program.chip, "parts": [_part_json(program.parts[i]) for i in chosen]}


def _part_json(part: Part) -> dict[str, Any]:
    return {
        "inputs": [_binding_json(binding) for binding in part.inputs],
        "outputs": [_binding_json(binding) for binding in part.outputs],
        "commands": part.commands.astype("<u4").tobytes().hex(),
        "jobs": [_job_json(part, job) for job in part.jobs],
    }


def _binding_json(binding: Binding) -> dict[str, Any]:
    return {
        "tensor": binding.tensor,
        "name": binding.name,
        "shape": list(binding.shape),
        "dtype": binding.dtype,
    }


def _job_json(part: Part, job: Job) -> dict[str, Any]:
    stream = coefficient_stream(part, job)
    coefficients = None
    if stream is not None:
        coefficients = {
            "bytes": stream.size,
            "sha256": hashlib.sha256(stream.tobytes()).hexdigest(),
        }
    return {
        "unit": job.unit,
        "operator": job.operator,
        "words": part.job_words(job).tolist(),
        "coefficients": coefficients,
    }


# ------------------------------------------------------------------------------------------ places


def place_of(part: Part, address: int) -> Place | None:
    """Where a default address lies, or None if in no buffer."""
    for i, buffer in enumerate(part.buffers):
        if buffer.address <= address < buffer.address + buffer.size:
            return Place(i, address - buffer.address)
    return None


def coefficient_stream(part: Part, job: Job) -> Bytes | None:
    """Header, core streams and V8's biases of a job; None if it has none."""
    buffer = coefficient_buffer(part)
    if job.coefficients is None or buffer is None:
        return None
    first, size = job.coefficients
    data = part.buffers[buffer].data
    assert data is not None
    return data[first : first + size]


def coefficient_buffer(part: Part) -> int | None:
    """Number of the buffer that holds the coefficients of all jobs."""
    for i, buffer in enumerate(part.buffers):
        if buffer.role == COEFFICIENTS and buffer.data is not None:
            return i
    return None


# -------------------------------------------------------------------------------------------- jobs


def jobs(part: Part, chip: Chip) -> tuple[JobListing, ...]:
    """Every instruction of a part, in stream order."""
    return tuple(_job(part, chip, i, job) for i, job in enumerate(part.jobs))


def chip_of(program: Program) -> Chip:
    """The chip a program was compiled for."""
    chip = find_by_name(program.chip)
    assert chip is not None, "programs name a chip of ours"
    return chip


def layout_of(job: Job, chip: Chip) -> Layout:
    """The instruction layout of a job's unit."""
    return tp.TP if job.unit == "TP" else nn.LAYOUTS[chip.generation]


def _job(part: Part, chip: Chip, number: int, job: Job) -> JobListing:
    declared = layout_of(job, chip)
    words = part.job_words(job).tolist()
    values = declared.decode(words)
    touches = []
    for name in declared.address_words():
        place = place_of(part, values[name])
        if place is not None:
            touches.append((name, place))
    return JobListing(
        number,
        job,
        tuple(_field_lines(part, chip, declared, values)),
        tuple(touches),
        _sram(values) if job.unit == "NN" else (),
        _coefficients(part, chip, job, values),
        tuple(declared.stray_bits(words)),
    )


def _field_lines(
    part: Part, chip: Chip, declared: Layout, values: dict[str, int]
) -> Iterable[FieldLine]:
    topics = _TP_TOPICS if declared is tp.TP else _NN_TOPICS
    for name, field in declared.fields.items():
        value = values[name]
        topic = next((t for t, starts in topics if name.startswith(starts)), "other")
        yield FieldLine(
            topic,
            name,
            value,
            _value_text(part, field, value),
            _note(chip, declared, field, values),
            value != field.default,
            field.where(),
        )


def _value_text(part: Part, field: Field, value: int) -> str:
    if field.address:
        place = place_of(part, value)
        return f"{value:#010x}" + (f" = {place}" if place else " (in no buffer)")
    if field.name in _ENUMERATIONS:
        names = {int(member): member.name for member in _ENUMERATIONS[field.name]}
        return f"{value} {names.get(value, 'unknown').lower().replace('_', ' ')}"
    if any(part_of_name in field.name for part_of_name in _HEXADECIMAL):
        return f"{value:#x}"
    return str(value)


def _note(chip: Chip, declared: Layout, field: Field, values: dict[str, int]) -> str:
    if field.name == "post_shift":
        width = declared.fields["post_multiplier"].width
        fraction = values["post_multiplier"] / (1 << width) + 1
        counted = nn.COUNTED_FRACTION_BITS[chip.generation]
        scale = fraction * 2.0 ** (counted - values["post_shift"])
        return f"{field.note}: times {scale:.6g} in all"
    return "" if field.name in _ENUMERATIONS else field.note


def _sram(values: dict[str, int]) -> tuple[SramRange, ...]:
    """The ranges that the job uses."""
    ranges = []
    for name in ("kernel", "image"):
        mode = values[f"{name}_caching_mode"]
        if mode:
            known = {int(member): member.name.lower() for member in nn.Caching}
            start, end = values[f"{name}_cache_start_address"], values[f"{name}_cache_end_address"]
            ranges.append(SramRange(name, known.get(mode, "unknown"), start, end))
    return tuple(ranges)


def _coefficients(
    part: Part, chip: Chip, job: Job, values: dict[str, int]
) -> CoefficientSummary | None:
    stream, buffer = coefficient_stream(part, job), coefficient_buffer(part)
    if stream is None or buffer is None or job.coefficients is None or job.unit != "NN":
        return None
    planes = 1 if values["depthwise"] else values["kernel_z_size"]
    kernel = values["kernel_x_size"] * values["kernel_y_size"] * planes
    channels = values["out_image_z_size"]
    return CoefficientSummary(
        Place(buffer, job.coefficients[0]),
        stream.size,
        core_streams(stream, chip, channels),
        kernel * channels,
    )


# ----------------------------------------------------------------------------------------- packets


def packets(part: Part) -> tuple[Packet, ...]:
    """The command stream packet by packet; a LOAD_STATE of n registers gives n entries."""
    words = part.commands.tolist()
    starts = {(job.buffer, job.offset): i for i, job in enumerate(part.jobs)}
    found: list[Packet] = []
    at = 0
    while at < len(words):
        fields = commands.PACKET.decode([words[at]])
        if fields["opcode"] == Opcode.LOAD_STATE:
            at = _load_state(part, starts, words, at, found)
        else:
            found.append(_plain_packet(words, at, fields["opcode"], fields["payload"]))
            at += 2
    return tuple(found)


def _plain_packet(words: list[int], at: int, opcode: int, payload: int) -> Packet:
    names = {int(member): member.name for member in Opcode}
    name = names.get(opcode, f"OPCODE_{opcode}")
    value = words[at + 1] if at + 1 < len(words) else None
    note = {
        Opcode.FILLER: "does nothing" if payload == 0 else f"payload {payload:#x}",
        Opcode.END: "ends the stream",
        Opcode.NOP: "does nothing",
        Opcode.WAIT: f"waits {payload} cycles",
        Opcode.LINK: f"goes on at {0 if value is None else value:#x}",
        Opcode.STALL: "waits for a semaphore",
    }
    return Packet(4 * at, name, "", value, note.get(Opcode(opcode), "") if opcode in names else "")


def _load_state(
    part: Part,
    starts: dict[tuple[int, int], int],
    words: list[int],
    at: int,
    found: list[Packet],
) -> int:
    """Append one packet for each register loaded; the position behind, which is even."""
    fields = commands.LOAD_STATE.decode([words[at]])
    count = fields["count"] or 1 << commands.LOAD_STATE.fields["count"].width
    names = {int(member): member.name for member in Register}
    for i in range(count):
        address = fields["address"] + 4 * i
        register = names.get(address, f"{address:#06x}")
        if at + 1 + i >= len(words):
            found.append(Packet(4 * at, "LOAD_STATE", register, None, "truncated"))
            break
        value = words[at + 1 + i]
        note = _register_note(part, starts, address, value)
        found.append(Packet(4 * (at + 1 + i if i else at), "LOAD_STATE", register, value, note))
    return at + (count + 2) // 2 * 2


def _register_note(part: Part, starts: dict[tuple[int, int], int], address: int, value: int) -> str:
    """What writing ``value`` to a register does."""
    if address in (Register.PS_NN_INST_ADDR, Register.PS_TP_INST_ADDR):
        return _start_note(part, starts, value)
    if address == Register.GL_NN_CONFIG:
        fields = commands.NN_CONFIG.decode([value])
        cores = fields["core_count"] or "all"
        more = [name for name, set_ in fields.items() if set_ and name != "core_count"]
        return f"{cores} cores" + "".join(f", {name}" for name in more)
    if address == Register.GL_FLUSH_CACHE:
        flushed = [n for n, set_ in commands.FLUSH_CACHE.decode([value]).items() if set_]
        return "flushes " + ", ".join(flushed)
    if address == Register.GL_UNK3950:
        return "unknown; set for padding on all but the last core" if value else "unknown"
    return _NOTES.get(address, "") if value == 0 else ""


_NOTES: dict[int, str] = {
    Register.GL_OCB_REMAP_START: "no on-chip window",
    Register.GL_OCB_REMAP_END: "no on-chip window",
    Register.GL_TP_CONFIG: "no options",
    Register.PS_UNK10A4: "ends an operation",
}
"""What a zero means. PS_UNK10A4's meaning is a guess from where it is written."""


def _start_note(part: Part, starts: dict[tuple[int, int], int], value: int) -> str:
    fields = commands.INSTRUCTION_ADDRESS.decode([value])
    place = place_of(part, fields["address"])
    number = None if place is None else starts.get((place.buffer, place.offset))
    if number is None:
        return f"starts what lies at {place}" if place else "starts what lies in no buffer"
    job = part.jobs[number]
    after = ", more cores follow" if fields["number"] == commands.TP_MORE_CORES else ""
    return f"starts job {number}: {job.kind}{after}"
