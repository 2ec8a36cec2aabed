"""Recordings taken apart into jobs, and what differs between those and a compiled part.

Addresses are compared as (buffer, offset): the recorded buffer that an address lies in must always
be met by the same buffer of the part, and the other way round. Coefficients are compared over the
header and as many bytes behind it as its sizes say: V7's core streams, V8's streams and biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_data import shared_data

from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.hw import commands as packets
from lapilli.hw import nn, tp
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip, find_by_name
from lapilli.hw.commands import Register
from lapilli.program import recording
from lapilli.program.program import Part, Program
from lapilli.program.recording import Recording

FOLDERS = ("ops", "random", "nonsquare", "models")
CHIPS = ("a311d", "imx8mp")
"""Recorded ones."""
RECORDED = CompileOptions(kinds=frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "PAD"}))
"""What the recorded driver takes of the models that are compared."""
NEWER = "newer/"
"""In front of the names of what the newest driver submits."""
HEADER_BYTES = 64
STREAM_BYTES = 64
"""Core streams are filled up to multiples of this."""
SIZES_V8 = slice(7, 16)
"""Words of a V8 header that hold the sizes of the core streams, in bits."""
COEFFICIENTS = "coefficients"
"""Stands for a job's coefficient buffer among the names of fields."""
STARTS = {
    packets.LOAD_STATE.encode(address=Register.PS_NN_INST_ADDR, count=1)[0]: "NN",
    packets.LOAD_STATE.encode(address=Register.PS_TP_INST_ADDR, count=1)[0]: "TP",
}

Differences = dict[str, tuple[Any, Any]]
"""Field name -> (recorded, ours)."""


@dataclass(frozen=True)
class RecordedJob:
    """One instruction: ``unit`` NN or TP, its words, and the coefficients of an NN instruction."""

    unit: str
    words: tuple[int, ...]
    layout: Layout = field(compare=False, repr=False)
    coefficients: bytes = field(default=b"", repr=False)

    @property
    def values(self) -> dict[str, int]:
        """The instruction's fields."""
        return self.layout.decode(self.words)


def chip_of(name: str) -> Chip:
    """The record of a recorded chip."""
    chip = find_by_name(name)
    assert chip is not None
    return chip


def layout_of(unit: str, chip: str = "a311d") -> Layout:
    """A chip's instruction layout."""
    return nn.LAYOUTS[chip_of(chip).generation] if unit == "NN" else tp.TP


def recording_names(chip: str = "a311d") -> list[str]:
    """``ops/mb01``, ``models/x.part0`` ... of every recording, in order; none without test data.

    Called while tests are collected, where nothing can be skipped.
    """
    try:
        folder = shared_data() / "recordings" / chip
    except (pytest.skip.Exception, pytest.fail.Exception):
        return []
    return [
        f"{kind}/{path.stem}" for kind in FOLDERS for path in sorted((folder / kind).glob("*.npz"))
    ]


def newer_names(chip: str) -> list[str]:
    """``newer/c3x3_i8`` ... of the newest driver's single operators and small graphs; one of
    several parts has ``.part<k>`` behind it."""
    try:
        folder = shared_data() / "newer" / "recordings" / chip / "operators"
    except (pytest.skip.Exception, pytest.fail.Exception):
        return []
    return [NEWER + path.stem for path in sorted(folder.glob("*.npz"))]


@cache
def load(name: str, chip: str = "a311d") -> Recording:
    """The recording called ``name``."""
    if name.startswith(NEWER):
        folder = shared_data() / "newer" / "recordings" / chip / "operators"
        return recording.load(folder / f"{name.removeprefix(NEWER)}.npz")
    return recording.load(shared_data() / "recordings" / chip / f"{name}.npz")


def model_of(name: str) -> tuple[Path, int]:
    """The model that a recording was made of, and which of its parts it is."""
    stem, _, part = name.partition(".part")
    if stem.startswith(NEWER):
        return shared_data() / "newer" / "models" / f"{stem[len(NEWER) :]}.tflite", int(part or 0)
    folder = shared_data() / "models"
    stem = stem.removeprefix("models/")
    return folder / f"{stem}.tflite", int(part or 0)


@cache
def program(path: Path, chip: str, schedule: str = "reference") -> Program:
    """The model compiled; of what the newest driver did not record only the kinds of operators
    that the recorded one takes, so that the parts are those that it has."""
    newest = path.parent.parent.name == NEWER.rstrip("/")
    return compile_model(path, chip, schedule, CompileOptions() if newest else RECORDED)


def compiled_part(name: str, chip: str = "a311d") -> Part:
    """Our part for a recording."""
    path, part = model_of(name)
    return program(path, chip).parts[part]


def find(extents: Sequence[tuple[int, int]], address: int) -> tuple[int, int]:
    """(number, offset) of the one (address, size) that ``address`` lies in."""
    found = [(i, address - start) for i, (start, size) in enumerate(extents)]
    found = [(i, offset) for i, offset in found if 0 <= offset < extents[i][1]]
    assert len(found) == 1, f"{address:#x} lies in {len(found)} buffers"
    return found[0]


def extents_of(source: Recording | Part) -> list[tuple[int, int]]:
    """(address, size) of every buffer."""
    return [(buffer.address, buffer.size) for buffer in source.buffers]


def read(source: Recording | Part, address: int, size: int) -> bytes:
    """Memory as it was when the recording was made, or is when a part runs at its default place."""
    number, offset = find(extents_of(source), address)
    buffer = source.buffers[number]
    assert offset + size <= buffer.size
    assert buffer.data is not None
    return buffer.data[offset : offset + size].tobytes().ljust(size, b"\0")


def coefficients_of(
    source: Recording | Part, layout: Layout, words: Sequence[int], chip: str
) -> bytes:
    """What lies where ``kernel_address`` points to, as long as it says itself."""
    values = layout.decode(words)
    start = values["kernel_address"]
    header = np.frombuffer(read(source, start, HEADER_BYTES), "<u4")
    if chip_of(chip).generation == 7:
        return read(source, start, HEADER_BYTES + int(header.sum()))
    blocks = -(-header[SIZES_V8].astype(int) // (8 * STREAM_BYTES))
    biases = 4 * values["out_image_z_size"]
    return read(source, start, HEADER_BYTES + STREAM_BYTES * int(blocks.sum()) + biases)


def jobs_of(source: Recording, chip: str = "a311d") -> tuple[RecordedJob, ...]:
    """The instructions that the command stream starts, in order."""
    words = source.commands.tolist()
    # A packet is two words: each writes one register, or is a filler.
    packets_found = zip(words[::2], words[1::2], strict=True)
    starts = [(STARTS[head], value) for head, value in packets_found if head in STARTS]
    found = []
    for unit, value in starts:
        address = packets.INSTRUCTION_ADDRESS.decode([value])["address"]
        layout = layout_of(unit, chip)
        data = np.frombuffer(read(source, address, 4 * layout.size), "<u4").tolist()
        coefficients = coefficients_of(source, layout, data, chip) if unit == "NN" else b""
        found.append(RecordedJob(unit, tuple(data), layout, coefficients))
    return tuple(found)


def jobs_of_part(part: Part, chip: str = "a311d") -> tuple[RecordedJob, ...]:
    """A part's instructions in the same form."""
    found = []
    for job in part.jobs:
        words, layout = part.job_words(job).tolist(), layout_of(job.unit, chip)
        coefficients = coefficients_of(part, layout, words, chip) if job.unit == "NN" else b""
        found.append(RecordedJob(job.unit, tuple(words), layout, coefficients))
    return tuple(found)


def check_kernel_addresses(
    source: Recording, part: Part, theirs: Sequence[RecordedJob], ours: Sequence[RecordedJob]
) -> None:
    """The driver has a buffer of coefficients for each NN job; ours share one, in which every job
    points to the bytes that are listed as its own."""
    for job in theirs:
        if job.unit == "NN":
            number, offset = find(extents_of(source), job.values["kernel_address"])
            assert (source.buffers[number].role, offset) == (COEFFICIENTS, 0)
    end = 0
    for job, listed in zip(ours, part.jobs, strict=True):
        assert (listed.coefficients is not None) == (job.unit == "NN")
        if listed.coefficients is not None:
            number, offset = find(extents_of(part), job.values["kernel_address"])
            assert part.buffers[number].role == COEFFICIENTS
            assert listed.coefficients == (offset, len(job.coefficients))
            assert offset == end, "streams overlap, or something lies between them"
            end += -(-len(job.coefficients) // STREAM_BYTES) * STREAM_BYTES


class BufferMatch:
    """Grows a one-to-one mapping between the buffers of two sides."""

    def __init__(self, theirs: Sequence[tuple[int, int]], ours: Sequence[tuple[int, int]]) -> None:
        self._theirs, self._ours = theirs, ours
        self._forward: dict[int, int] = {}
        self._back: dict[int, int] = {}

    def places(self, their_address: int, our_address: int) -> tuple[Any, Any]:
        """Both addresses as (buffer as we number it, offset), equal if they mean the same."""
        theirs, their_offset = find(self._theirs, their_address)
        ours, our_offset = find(self._ours, our_address)
        known = self._forward.setdefault(theirs, ours)
        if self._back.setdefault(ours, theirs) != theirs:
            return (f"recorded {theirs}", their_offset), (ours, our_offset)
        return (known, their_offset), (ours, our_offset)

    @property
    def pairs(self) -> dict[int, int]:
        """Recorded buffer -> ours."""
        return dict(self._forward)


def compare_job(theirs: RecordedJob, ours: RecordedJob, match: BufferMatch) -> Differences:
    """Fields of one instruction that differ, and its coefficients if those do."""
    assert theirs.unit == ours.unit
    fields, their_values, our_values = ours.layout.fields, theirs.values, ours.values
    assert not ours.layout.stray_bits(ours.words)
    assert not theirs.layout.stray_bits(theirs.words)
    different: Differences = {}
    for name, value in their_values.items():
        pair: tuple[Any, Any] = (value, our_values[name])
        if name == "kernel_address":
            continue  # what lies there is compared, and see check_kernel_addresses
        if fields[name].address and pair != (0, 0):
            pair = match.places(*pair)
        if pair[0] != pair[1]:
            different[name] = pair
    if theirs.coefficients != ours.coefficients:
        different[COEFFICIENTS] = (theirs.coefficients, ours.coefficients)
    return different


def differences(source: Recording, part: Part, chip: str = "a311d") -> dict[int, Differences]:
    """Number of the job -> what differs. Sequences of jobs must be equal."""
    theirs, ours = jobs_of(source, chip), jobs_of_part(part, chip)
    assert [job.unit for job in theirs] == [job.unit for job in ours], "another sequence of jobs"
    check_kernel_addresses(source, part, theirs, ours)
    match = BufferMatch(extents_of(source), extents_of(part))
    found = {
        number: compare_job(*pair, match)
        for number, pair in enumerate(zip(theirs, ours, strict=True))
    }
    filled = {
        ours for theirs, ours in match.pairs.items() if source.buffers[theirs].role == "input"
    }
    # Inputs of a partition behind another one were zeros; those can look like untouched tensors.
    if any(buffer.role == "input" for buffer in source.buffers):
        assert {binding.buffer for binding in part.inputs} <= filled, "the host fills other buffers"
    return {number: different for number, different in found.items() if different}


def names(different: Mapping[int, Differences]) -> dict[int, set[str]]:
    """Number of the job -> names of the fields that differ."""
    return {number: set(fields) for number, fields in different.items()}


def stream(words: Iterable[int]) -> list[int]:
    """A command stream with instruction addresses cut to the low bits that are no address."""

    found: list[int] = []
    for word in words:
        found.append(
            packets.INSTRUCTION_ADDRESS.decode([word])["number"]
            if len(found) % 2 and found[-1] in STARTS
            else word
        )
    return found
