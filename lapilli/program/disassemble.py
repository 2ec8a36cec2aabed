"""What a program's jobs say, as data: fields by name, on-chip memory, coefficients, tables.

Nothing here prints, and nothing raises for a program that ``program_file.load`` lets through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lapilli.hw import nn, tp
from lapilli.hw.bits import Field, Layout
from lapilli.hw.chips import Chip, find_by_name
from lapilli.program.core_streams import CoreStreams, core_streams
from lapilli.program.lookup_tables import LookupTable, lookup_table, table_bytes
from lapilli.program.places import Place, place_of
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
_SCALES = {"post_shift": "post_multiplier", "alu_output_postshift": "alu_output_post_multiplier"}
"""Shift -> the fraction that goes with it."""
_HEXADECIMAL = ("pattern_low", "pattern_high", "clamp_", "word_28", "cache_start", "cache_end")


# ------------------------------------------------------------------------------------------- facts


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
class TableSummary:
    """The look-up table that a job loads."""

    place: Place
    size: int
    content: LookupTable


@dataclass(frozen=True)
class JobListing:
    """One instruction taken apart."""

    number: int
    job: Job
    fields: tuple[FieldLine, ...]
    touches: tuple[tuple[str, Place], ...]
    sram: tuple[SramRange, ...]
    coefficients: CoefficientSummary | None
    table: TableSummary | None
    stray_bits: tuple[tuple[int, int], ...]


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
        "memory": _memory_json(part),
    }


def _memory_json(part: Part) -> dict[str, Any] | None:
    """None for programs that don't tell."""
    if part.memory is None:
        return None
    return {
        "bytes": part.memory.taken,
        "bytes_apart": part.memory.apart,
        "bytes_alive": part.memory.alive,
        "regions": [
            {
                "buffer": region.buffer,
                "offset": region.offset,
                "bytes": region.size,
                "first_job": region.first,
                "last_job": region.last,
            }
            for region in part.regions
        ],
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
    found = {
        "unit": job.unit,
        "operator": job.operator,
        "words": part.job_words(job).tolist(),
        "coefficients": coefficients,
    }
    values = tp.TP.decode(found["words"]) if job.unit == "TP" else {}
    table = table_bytes(part, values) if values.get("alu_load_pwl_lut") else None
    if table is not None:
        found["table"] = {
            "bytes": table.size,
            "sha256": hashlib.sha256(table.tobytes()).hexdigest(),
        }
    return found


# ------------------------------------------------------------------------------------------ places


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
        _table(part, values) if job.unit == "TP" else None,
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
    if field.name in _SCALES:
        fraction_field = _SCALES[field.name]
        width = declared.fields[fraction_field].width
        fraction = values[fraction_field] / (1 << width) + 1
        counted = 0 if declared is tp.TP else nn.COUNTED_FRACTION_BITS[chip.generation]
        scale = fraction * 2.0 ** (counted - values[field.name])
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


def _table(part: Part, values: dict[str, int]) -> TableSummary | None:
    """What the instruction loads, if it does and that is there."""
    if not values["alu_load_pwl_lut"]:
        return None
    place = place_of(part, values["alu_load_pwl_lut_address"])
    data = table_bytes(part, values)
    if place is None or data is None:
        return None
    return TableSummary(place, data.size, lookup_table(data, values))


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
