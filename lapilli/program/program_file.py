"""Programs on disk.

A ``.lapilli`` file is a fixed head, a JSON header and the raw bytes it counts::

    magic (8 bytes)   version (u32)   file size (u64)   header size (u64)   sha256 (32 bytes)
    header: JSON, ASCII, sorted keys
    zero bytes up to a multiple of 64
    for each part: its command words, then each buffer's data, each up to a multiple of 64

All numbers are little-endian. The sha256 covers everything in the file but itself, so damage is
found before anything is looked at; what is looked at is checked all the same, because a digest can
be made to fit. There is no time stamp: the same program gives the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lapilli.errors import ModelError
from lapilli.files import check_regular, decoding, replacing
from lapilli.hw import nn, tp
from lapilli.hw.chips import find_by_name
from lapilli.program.program import (
    PAGE,
    Binding,
    BufferSpec,
    Bytes,
    Job,
    Part,
    Program,
    Region,
    Relocation,
)

MAGIC = b"LAPILLI\n"
VERSION = 1
HEAD = struct.Struct("<8sIQQ32s")
DIGEST_BYTES = 32
ALIGNMENT = 64
LARGEST_FILE = 1 << 31
LARGEST_HEADER = 1 << 24
LARGEST_TOTAL = 1 << 32
"""Bytes that all buffers of a program may need together: the NPU's address space."""
ROLES = ("instruction", "coefficients", "input", "output", "tensor", "table")
DTYPES = ("uint8", "int8")
JOB_WORDS = {"NN": nn.WORDS, "TP": tp.WORDS}
COMMAND_STREAM = -1
LARGEST_SHIFT = PAGE.bit_length() - 1
"""Of an address: buffers lie at multiples of a page, so more would be lost."""
LARGEST_INDEX = (1 << 31) - 1
MOST_DIMENSIONS = 8
LONGEST_TEXT = 1 << 16
LONGEST_SHOWN = 200
"""Letters of a wrong value in a message."""

# ------------------------------------------------------------------------------------------ saving


def save(program: Program, path: str | Path) -> None:
    """Write ``program`` to ``path``, all of it or nothing. Raises ModelError."""
    with replacing(path) as file:
        for piece in _pieces(program, path):
            file.write(piece)


def to_bytes(program: Program) -> bytes:
    """What ``save`` writes."""
    return b"".join(_pieces(program, program.model))


def _pieces(program: Program, path: str | Path) -> list[bytes]:
    header = json.dumps(_header(program), sort_keys=True, separators=(",", ":")).encode("ascii")
    body = [header, _filling(HEAD.size + len(header))]
    for part in program.parts:
        for blob in _blobs(part):
            body += [blob, _filling(len(blob))]
    size = HEAD.size + sum(map(len, body))
    if len(header) > LARGEST_HEADER or size > LARGEST_FILE:
        raise ModelError(
            f"{path}: the program takes {size} bytes, {len(header)} of them in the header; "
            f"allowed: {LARGEST_FILE} and {LARGEST_HEADER}"
        )
    start = HEAD.pack(MAGIC, VERSION, size, len(header), bytes(DIGEST_BYTES))[:-DIGEST_BYTES]
    total = hashlib.sha256(start)
    for piece in body:
        total.update(piece)
    return [start, total.digest(), *body]


def _filling(size: int) -> bytes:
    return bytes(-size % ALIGNMENT)


def _blobs(part: Part) -> Iterator[bytes]:
    yield part.commands.astype("<u4").tobytes()
    for buffer in part.buffers:
        if buffer.data is not None:
            yield buffer.data.tobytes()


def _header(program: Program) -> dict[str, Any]:
    return {
        "chip": program.chip,
        "schedule": program.schedule,
        "model": program.model,
        "model_digest": program.model_digest,
        "parts": [_part_header(part) for part in program.parts],
    }


def _part_header(part: Part) -> dict[str, Any]:
    return {
        "operators": list(part.operators),
        "source": part.source,
        "regions": [[r.buffer, r.offset, r.size, r.first, r.last] for r in part.regions],
        "commands": len(part.commands),
        "buffers": [
            [b.role, b.size, b.address, None if b.data is None else len(b.data)]
            for b in part.buffers
        ],
        "relocations": [
            [r.buffer, r.offset, r.target, r.addend, r.shift] for r in part.relocations
        ],
        "jobs": [
            [
                j.unit,
                j.kind,
                j.operator,
                j.buffer,
                j.offset,
                j.words,
                None if j.coefficients is None else list(j.coefficients),
            ]
            for j in part.jobs
        ],
        "inputs": [_binding_header(b) for b in part.inputs],
        "outputs": [_binding_header(b) for b in part.outputs],
    }


def _binding_header(binding: Binding) -> list[Any]:
    b = binding
    return [b.tensor, b.name, list(b.shape), b.dtype, b.buffer, b.offset, b.size]


# ----------------------------------------------------------------------------------------- loading


def load(path: str | Path) -> Program:
    """Read what ``save`` wrote. Raises ModelError: what was found and what is allowed."""
    return from_bytes(_read(path), str(path))


def from_bytes(data: bytes, source: str) -> Program:
    """The program in ``data``; messages start with ``source``. Raises ModelError."""
    header_size = _check_head(data, source)
    try:
        header = json.loads(
            data[HEAD.size : HEAD.size + header_size].decode("ascii"), parse_constant=_no_constant
        )
    except Exception as error:  # among them RecursionError and MemoryError
        raise ModelError(f"{source}: the header is no JSON ({error})") from error
    return _Reader(data, source, HEAD.size + header_size).program(header)


def _read(path: str | Path) -> bytes:
    check_regular(path, "a .lapilli file")
    with decoding(path, "a .lapilli file"), open(path, "rb") as file:
        start = file.read(HEAD.size)
        _check_magic(start, str(path))
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise ModelError(f"{path}: found {size} bytes; allowed: up to {LARGEST_FILE}")
        return start + file.read(max(0, size - len(start)))


def _check_magic(start: bytes, source: str) -> None:
    if start[:8] == MAGIC:
        return
    if start[4:8] == b"TFL3":
        hint = "a .tflite model; make a program of it first: lapilli compile MODEL.tflite"
    elif start[:4] == b"PK\x03\x04":
        hint = "a .zip or .npz file; recordings go to: lapilli replay RECORDING.npz"
    else:
        hint = f"a file that starts with {start[:8].hex(' ') or 'nothing'}"
    raise ModelError(f"{source}: found {hint}; allowed: a program that lapilli compile wrote")


def _check_head(data: bytes, source: str) -> int:
    """The header's size, if head and digest are right."""
    _check_magic(data[:8], source)
    if len(data) < HEAD.size:
        raise ModelError(f"{source}: truncated: {len(data)} bytes, the head alone has {HEAD.size}")
    _, version, size, header, digest = HEAD.unpack_from(data)
    if version != VERSION:
        raise ModelError(
            f"{source}: found program format {version}; this version of lapilli reads {VERSION}"
        )
    if size != len(data):
        kind = "truncated" if size > len(data) else "too long"
        raise ModelError(f"{source}: {kind}: found {len(data)} bytes, the head says {size}")
    if header > min(LARGEST_HEADER, size - HEAD.size):
        raise ModelError(
            f"{source}: the head says {header} bytes of header; "
            f"allowed: {min(LARGEST_HEADER, size - HEAD.size)}"
        )
    total = hashlib.sha256(memoryview(data)[: HEAD.size - DIGEST_BYTES])
    total.update(memoryview(data)[HEAD.size :])
    if total.digest() != digest:
        raise ModelError(
            f"{source}: damaged: its sha256 is {total.hexdigest()[:16]}…, "
            f"the head says {digest.hex()[:16]}…"
        )
    return int(header)


def _no_constant(name: str) -> None:
    raise ValueError(f"found {name}")


class _Reader:
    """Checks and turns into objects what the header says; raises ModelError where it is wrong."""

    def __init__(self, data: bytes, source: str, position: int) -> None:
        self.data = data
        self.source = source
        self.position = position
        self.where = "header"
        self.coefficients = 0
        """Bytes of the present part's coefficients."""

    def fail(self, found: str, allowed: str) -> NoReturn:
        """Raise the ModelError for the place that is being read."""
        shown = found if len(found) <= LONGEST_SHOWN else found[:LONGEST_SHOWN] + "…"
        raise ModelError(f"{self.source}: {self.where}: found {shown}; allowed: {allowed}")

    def need(self, holds: bool, found: str, allowed: str) -> None:
        """ModelError unless ``holds``; for texts that cost little."""
        if not holds:
            self.fail(found, allowed)

    def number(self, value: object, low: int, high: int, what: str) -> int:
        """``value`` as an integer from ``low`` to ``high``, both included."""
        # bool is a kind of int, so compare the type itself.
        if type(value) is not int or not low <= value <= high:
            self.fail(f"{what} {value!r}", f"{low} to {high}" if low <= high else "none here")
        return value

    def text(self, value: object, what: str, choices: tuple[str, ...] = ()) -> str:
        """``value`` as a text, one of ``choices`` if there are any."""
        if not isinstance(value, str):
            self.fail(f"{what} {value!r}", "a text")
        if choices and value not in choices:
            self.fail(f"{what} {value!r}", ", ".join(choices))
        if len(value) > LONGEST_TEXT:
            self.fail(f"{what} of {len(value)} letters", f"up to {LONGEST_TEXT}")
        return value

    def items(self, value: object, what: str, count: int | None = None) -> list[Any]:
        """``value`` as a list, of ``count`` elements if that is given."""
        if not isinstance(value, list):
            self.fail(f"{what} {value!r}", "a list")
        if count is not None and len(value) != count:
            self.fail(f"{what} of {len(value)} values", str(count))
        return value

    def entry(self, table: object, name: str) -> object:
        """``table[name]``."""
        if not isinstance(table, dict):
            self.fail(f"{table!r}", f"an object with {name!r}")
        if name not in table:
            self.fail(f"keys {sorted(table)}", f"one called {name!r}")
        return table[name]

    def blob(self, size: int) -> Bytes:
        """The next ``size`` bytes, a read-only view."""
        end = self.position + size
        left = len(self.data) - self.position
        self.need(end <= len(self.data), f"{size} bytes of data", f"the {left} left in the file")
        view = np.frombuffer(self.data, np.uint8, size, self.position)
        self.position = end
        self.align()
        return view

    def align(self) -> None:
        """Skip the filling up to the next blob."""
        # The first blob's place follows from the header's end; later ones start aligned.
        end = -(-self.position // ALIGNMENT) * ALIGNMENT
        filling = self.data[self.position : end]
        self.need(not any(filling), "filling that is not zero", "zeros")
        self.position = min(end, len(self.data))

    def program(self, header: object) -> Program:
        """The whole program."""
        chip = self.text(self.entry(header, "chip"), "chip")
        self.need(find_by_name(chip) is not None, f"chip {chip!r}", "a chip lapilli knows")
        schedule = self.text(self.entry(header, "schedule"), "schedule")
        model = self.text(self.entry(header, "model"), "model")
        digest = self.text(self.entry(header, "model_digest"), "model_digest")
        self.align()
        parts, total = [], 0
        for i, table in enumerate(self.items(self.entry(header, "parts"), "parts")):
            self.where = f"part {i}"
            parts.append(replace(self.part(table, i), chip=chip))
            self.where = f"part {i}"
            total += sum(buffer.size for buffer in parts[-1].buffers)
            self.need(total <= LARGEST_TOTAL, f"buffers of {total} bytes", f"{LARGEST_TOTAL}")
        self.where = "end"
        left = len(self.data) - self.position
        self.need(left == 0, f"{left} bytes behind the last part", "0")
        return Program(chip, schedule, model, digest, tuple(parts))

    def part(self, table: object, index: int) -> Part:
        """One part, with its data."""
        operators = self.items(self.entry(table, "operators"), "operators")
        words = self.number(self.entry(table, "commands"), 0, len(self.data) // 4, "command words")
        self.need(words % 2 == 0, f"{words} command words", "an even number")
        commands = self.blob(4 * words).view("<u4")
        buffers = self.buffers(self.entry(table, "buffers"), index)
        stored = (b.data.size for b in buffers if b.role == "coefficients" and b.data is not None)
        self.coefficients = next(stored, 0)
        sections: dict[str, list[Any]] = {
            "relocations": [],
            "jobs": [],
            "inputs": [],
            "outputs": [],
        }
        readers = {"relocations": self.relocation, "jobs": self.job}
        for name, found in sections.items():
            read = readers.get(name, self.binding)
            for i, row in enumerate(self.items(self.entry(table, name), name)):
                self.where = f"part {index}, {name} {i}"
                found.append(read(row, buffers, words))
        for name in ("inputs", "outputs"):
            self.where = f"part {index}, {name}"
            tensors = [binding.tensor for binding in sections[name]]
            self.need(len(set(tensors)) == len(tensors), f"tensors {tensors}", "each one once")
        self.where = f"part {index}, operators"
        return Part(
            tuple(self.number(value, 0, LARGEST_INDEX, "operator") for value in operators),
            buffers,
            tuple(sections["relocations"]),
            commands,
            tuple(sections["jobs"]),
            tuple(sections["inputs"]),
            tuple(sections["outputs"]),
            # Programs of the first version have neither.
            self.text(self.optional(table, "source", ""), "source"),
            self.regions(
                self.optional(table, "regions", []), buffers, len(sections["jobs"]), index
            ),
        )

    def optional(self, table: object, name: str, absent: object) -> object:
        """``table[name]`` if it is there."""
        return table.get(name, absent) if isinstance(table, dict) else absent

    def regions(
        self, value: object, buffers: tuple[BufferSpec, ...], jobs: int, index: int
    ) -> tuple[Region, ...]:
        """Where the tensors of part ``index`` lie."""
        found = []
        for i, row in enumerate(self.items(value, "regions")):
            self.where = f"part {index}, region {i}"
            buffer, offset, size, first, last = self.items(row, "region", 5)
            buffer = self.number(buffer, 0, len(buffers) - 1, "buffer")
            size = self.number(size, 1, buffers[buffer].size, "size")
            offset = self.number(offset, 0, buffers[buffer].size - size, "offset")
            last = self.number(last, 0, jobs - 1, "last job")
            first = self.number(first, 0, last, "first job")
            found.append(Region(buffer, offset, size, first, last))
        return tuple(found)

    def buffers(self, value: object, index: int) -> tuple[BufferSpec, ...]:
        """The buffers of part ``index`` with their data."""
        found = []
        for i, row in enumerate(self.items(value, "buffers")):
            self.where = f"part {index}, buffer {i}"
            role, size, address, length = self.items(row, "buffer", 4)
            size = self.number(size, 1, LARGEST_TOTAL, "size")
            address = self.number(address, 0, LARGEST_TOTAL - size, "address")
            self.need(address % PAGE == 0, f"address {address:#x}", f"multiples of {PAGE}")
            data = None
            if length is not None:
                data = self.blob(self.number(length, 0, size, "data bytes"))
            found.append(BufferSpec(self.text(role, "role", ROLES), size, address, data))
        self.where = f"part {index}, buffers"
        ranges = sorted((buffer.address, buffer.size) for buffer in found)
        for (first, size), (second, _) in pairwise(ranges):
            self.need(
                first + size <= second,
                f"buffers at {first:#x} and {second:#x}, the first of {size} bytes",
                "buffers that don't overlap",
            )
        return tuple(found)

    def relocation(self, row: object, buffers: tuple[BufferSpec, ...], words: int) -> Relocation:
        """An address inside the data of a buffer, or in the ``words`` of the command stream."""
        buffer, offset, target, addend, shift = self.items(row, "relocation", 5)
        buffer = self.number(buffer, COMMAND_STREAM, len(buffers) - 1, "buffer")
        length = 4 * words
        if buffer != COMMAND_STREAM:
            data = buffers[buffer].data
            length = 0 if data is None else data.size
            self.need(length % 4 == 0, f"{length} bytes of data to patch", "whole words")
        offset = self.number(offset, 0, length - 4, "offset")
        self.need(offset % 4 == 0, f"offset {offset}", "multiples of 4")
        target = self.number(target, 0, len(buffers) - 1, "target")
        addend = self.number(addend, 0, buffers[target].size - 1, "addend")
        shift = self.number(shift, 0, LARGEST_SHIFT, "shift of the address")
        self.need(addend % (1 << shift) == 0, f"addend {addend}", f"multiples of {1 << shift}")
        return Relocation(buffer, offset, target, addend, shift)

    def job(self, row: object, buffers: tuple[BufferSpec, ...], words: int) -> Job:
        """An instruction inside the data of a buffer."""
        unit, kind, operator, buffer, offset, count, coefficients = self.items(row, "job", 7)
        unit = self.text(unit, "unit", tuple(JOB_WORDS))
        kind = self.text(kind, "kind")
        count = self.number(count, JOB_WORDS[unit], JOB_WORDS[unit], f"{unit} words")
        buffer = self.number(buffer, 0, len(buffers) - 1, "buffer")
        data = buffers[buffer].data
        length = 0 if data is None else data.size
        offset = self.number(offset, 0, length - 4 * count, "offset")
        self.need(offset % 4 == 0, f"offset {offset}", "multiples of 4")
        if coefficients is not None:
            at, size = self.items(coefficients, "coefficients", 2)
            length = self.coefficients
            at = self.number(at, 0, length, "coefficient offset")
            coefficients = (at, self.number(size, 1, length - at, "coefficient bytes"))
        operator = self.number(operator, 0, LARGEST_INDEX, "operator")
        return Job(unit, kind, operator, buffer, offset, count, coefficients)

    def binding(self, row: object, buffers: tuple[BufferSpec, ...], words: int) -> Binding:
        """A tensor inside a buffer."""
        tensor, name, shape, dtype, buffer, offset, size = self.items(row, "binding", 7)
        buffer = self.number(buffer, 0, len(buffers) - 1, "buffer")
        size = self.number(size, 1, buffers[buffer].size, "size")
        extents = self.items(shape, "shape")
        self.need(len(extents) <= MOST_DIMENSIONS, f"{len(extents)} dimensions", "up to 8")
        elements = 1
        for extent in extents:
            elements *= self.number(extent, 1, LARGEST_INDEX, "extent")
        self.need(elements == size, f"{size} bytes for shape {shape}", f"{elements}")
        return Binding(
            self.number(tensor, 0, LARGEST_INDEX, "tensor"),
            self.text(name, "name"),
            tuple(extents),
            self.text(dtype, "type", DTYPES),
            buffer,
            self.number(offset, 0, buffers[buffer].size - size, "offset"),
            size,
        )
