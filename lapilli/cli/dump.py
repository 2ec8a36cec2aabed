"""``lapilli dump``: a program's jobs by field and its command stream packet by packet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from lapilli.cli import text
from lapilli.cli.completion import FILE
from lapilli.errors import UsageError
from lapilli.hw.chips import Chip
from lapilli.program import disassemble, program_file
from lapilli.program.core_streams import CoreStreams
from lapilli.program.disassemble import (
    CoefficientSummary,
    FieldLine,
    JobListing,
    SramRange,
    TableSummary,
)
from lapilli.program.packets import Packet, packets
from lapilli.program.places import Place
from lapilli.program.program import Binding, Part, Program

BAR_CELLS = 48
WIDEST_KIND = 24
WIDEST_NAME = 48
WIDEST_VALUE = 14


@click.command()
@click.argument("path", metavar="PROGRAM.lapilli", type=FILE)
@click.option("--part", type=int, metavar="N", help="Only part N, counted from 0.")
@click.option("--all", "everything", is_flag=True, help="Also the fields that have their default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def dump(path: str, part: int | None, everything: bool, as_json: bool) -> None:
    """Disassemble a program: buffers, instructions field by field, command stream."""
    program = program_file.load(path)
    numbers = range(len(program.parts))
    if part is not None:
        if part not in numbers:
            raise UsageError(f"{path} has no part {part}; it has {_parts(program)}")
        numbers = range(part, part + 1)
    if as_json:
        click.echo(json.dumps(disassemble.to_json(program, numbers)))
        return
    lines = _listing(program, numbers, everything, text.width())
    colour = text.colours_wanted(sys.stdout)
    for line in lines:
        click.echo(line, color=colour)


def _parts(program: Program) -> str:
    last = len(program.parts) - 1
    return f"parts 0 to {last}" if last > 0 else "part 0 only" if last == 0 else "no parts"


def _listing(
    program: Program, numbers: Sequence[int], everything: bool, width: int
) -> Iterator[str]:
    chip = disassemble.chip_of(program)
    yield _heading(
        text.clean(f"{program.model}: {program.chip}, schedule {program.schedule}, ")
        + text.count(len(program.parts), "part")
    )
    yield f"digest {program.digest()}"
    for number in numbers:
        yield ""
        yield from _part(program.parts[number], number, chip, everything, width)


def _heading(line: str) -> str:
    return click.style(line, bold=True)


# ------------------------------------------------------------------------------------------- parts


def _part(part: Part, number: int, chip: Chip, everything: bool, width: int) -> Iterator[str]:
    yield _heading(
        f"part {number}: {text.count(len(part.operators), 'operator')}, "
        f"{text.count(len(part.jobs), 'job')}, {text.count(len(part.buffers), 'buffer')}, "
        f"{text.count(len(part.commands), 'command word')}"
    )
    for kind, bindings in (("input", part.inputs), ("output", part.outputs)):
        for binding in bindings:
            yield from text.wrapped(f"  {kind:6}  ", _binding(binding), width)
    yield "  buffer  role          address     bytes       content"
    for i, buffer in enumerate(part.buffers):
        content = "" if buffer.data is None else f"{buffer.data.size} bytes"
        line = f"  {i:6}  {buffer.role:12}  {buffer.address:#010x}  {buffer.size:<10}  {content}"
        yield line.rstrip()
    if part.memory is not None:
        alive = text.size(part.memory.alive)
        found = text.memory(part.memory.taken, part.memory.apart)
        found += f"; the busiest job needs {alive}"
        yield from text.wrapped("  tensors  ", found, width)
        if everything:
            yield from _regions(part)
    for job in disassemble.jobs(part, chip):
        yield ""
        yield from _job(part, job, chip, everything, width)
    yield ""
    yield _heading(f"part {number}: command stream")
    yield from _packets(packets(part), width)


def _regions(part: Part) -> Iterator[str]:
    """What lies where, and which jobs need it."""
    yield "  buffer  offset      bytes       jobs"
    for r in part.regions:
        yield f"  {r.buffer:6}  {r.offset:<10}  {r.size:<10}  {r.first} to {r.last}"


def _binding(binding: Binding) -> str:
    place = Place(binding.buffer, binding.offset)
    return (
        f"{text.clean(binding.name, WIDEST_NAME)}: tensor {binding.tensor}, {binding.dtype} "
        f"{text.shape(binding.shape)}, {place}"
    )


# -------------------------------------------------------------------------------------------- jobs


def _job(
    part: Part, listing: JobListing, chip: Chip, everything: bool, width: int
) -> Iterator[str]:
    job = listing.job
    yield _heading(
        f"job {listing.number}: {job.unit} {text.clean(job.kind, WIDEST_KIND)}, "
        f"operator {job.operator}, instruction at "
        f"{Place(job.buffer, job.offset)}"
    )
    if listing.touches:
        places = (f"{_role(part, place, listing.number)} {place}" for _, place in listing.touches)
        yield from text.wrapped("  touches ", ", ".join(places), width)
    if listing.coefficients is not None:
        yield from text.wrapped("  coefficients ", _coefficients(listing.coefficients), width)
        if everything:
            yield from _core_lines(listing.coefficients.cores)
    if listing.table is not None:
        yield from text.wrapped("  table ", _table(listing.table), width)
        if everything:
            yield from _entry_lines(listing.table)
    if listing.sram:
        yield from _sram(listing.sram, chip)
    shown = [f for f in listing.fields if everything or f.changed]
    yield from _fields(shown, everything, width)
    for word, bits in listing.stray_bits:
        yield f"  word {word} has bits {bits:#010x} set, which no field declares"


def _role(part: Part, place: Place, job: int) -> str:
    """What lies there while the job runs: of a shared buffer, the tensor."""
    for region in part.regions:
        if (
            region.buffer == place.buffer
            and region.offset <= place.offset < region.offset + region.size
            and region.first <= job <= region.last
        ):
            inside = range(region.offset, region.offset + region.size)
            for role, bindings, whole in (
                ("input", part.inputs, region.first == 0),
                ("output", part.outputs, region.last == len(part.jobs) - 1),
            ):
                if whole and any(b.buffer == place.buffer and b.offset in inside for b in bindings):
                    return role
            return "tensor"
    return part.buffers[place.buffer].role


def _coefficients(summary: CoefficientSummary) -> str:
    found, cores = f"{summary.size} bytes at {summary.place}", summary.cores
    if summary.dense:
        share = 100 * summary.size / summary.dense
        found += f", {share:.0f} % of {summary.dense} dense weights"
    if cores.sizes:
        streams = text.count(len(cores.sizes), "core")
        found += f"; {streams}: streams {_span(cores.sizes)} {cores.unit}"
    if cores.kernels:
        found += f", kernels {_span(cores.kernels)}"
    if cores.zero_run_bits:
        found += f", run length {_span(cores.zero_run_bits)} bits"
    if cores.symbol_map:
        lengths = " ".join(map(str, cores.symbol_map))
        found += f"; lengths by symbol {lengths}"
    if cores.biases:
        number = len(cores.biases)
        found += f"; {number} bias{'' if number == 1 else 'es'} {_span(cores.biases)}"
    return found


def _table(summary: TableSummary) -> str:
    """Where it lies, and what it makes of some differences to the input's zero point."""
    samples = (f"{entry.argument} \u2192 {entry.steps:.4g}" for entry in summary.content.samples)
    return (
        f"{summary.size} bytes at {summary.place}; output steps by difference to in_zp: "
        + ", ".join(samples)
    )


def _entry_lines(summary: TableSummary) -> Iterator[str]:
    """The entries that bytes have to themselves, for ``--all``."""
    for entry in summary.content.entries:
        head = f"    entry {entry.index:4}  {entry.word:#08x}"
        yield f"{head}  {entry.argument:4} \u2192 {entry.steps:.6g}"


def _core_lines(cores: CoreStreams) -> Iterator[str]:
    """Core by core, for ``--all``."""
    for core, (size, kernels) in enumerate(zip(cores.sizes, cores.kernels, strict=True)):
        yield f"    core {core}  {size} {cores.unit}, {text.count(kernels, 'kernel')}"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _sram(ranges: Iterable[SramRange], chip: Chip) -> Iterator[str]:
    """The ranges, and a bar of the whole VIP SRAM with K for kernels and I for the image."""
    total = max(chip.vip_sram_bytes, 1)
    cells = ["."] * BAR_CELLS
    found = []
    for each in ranges:
        first = min(each.start * BAR_CELLS // total, BAR_CELLS)
        last = min(-(-each.end * BAR_CELLS // total), BAR_CELLS)
        cells[first:last] = each.name[0].upper() * max(last - first, 0)
        size = text.size(max(each.end - each.start, 0))
        found.append(f"{each.name} {each.start:#x}-{each.end:#x} ({size}, {each.mode})")
    yield f"  VIP SRAM [{''.join(cells)}] of {text.size(chip.vip_sram_bytes)}"
    yield f"           {', '.join(found)}"


def _fields(shown: Sequence[FieldLine], everything: bool, width: int) -> Iterator[str]:
    """The fields by topic: name, value, what it means, and with ``everything`` where it lies."""
    if not shown:
        return
    names = max(len(f.name) for f in shown)
    # Long values, which are addresses, may stick out.
    values = max((len(f.text) for f in shown if len(f.text) <= WIDEST_VALUE), default=0)
    for topic in disassemble.TOPICS:
        chosen = [f for f in shown if f.topic == topic]
        if chosen:
            yield f"  {topic}"
        for f in chosen:
            note = f"{f.note} [{f.where}]".lstrip() if everything else f.note
            head = f"    {f.name:{names}}  {f.text:{values}}  "
            yield from text.wrapped(head, note, width) if note else [head.rstrip()]


# ----------------------------------------------------------------------------------------- packets


def _packets(found: Sequence[Packet], width: int) -> Iterator[str]:
    registers = max((len(p.register) for p in found), default=0)
    at = 0
    while at < len(found):
        packet = found[at]
        same = 1
        if not packet.register:
            while at + same < len(found) and _alike(found[at + same], packet):
                same += 1
        name = packet.name + (f" x{same}" if same > 1 else "")
        value = "" if packet.value is None else f"{packet.value:#010x}"
        if packet.register:
            head = f"  {packet.offset:#06x}  {name:10}  {packet.register:{registers}}  {value:10}  "
        else:
            head = f"  {packet.offset:#06x}  {name:{12 + registers}}  {value:10}  "
        yield from text.wrapped(head, packet.note, width) if packet.note else [head.rstrip()]
        at += same


def _alike(one: Packet, other: Packet) -> bool:
    return (one.name, one.value, one.note) == (other.name, other.value, other.note)
