"""Jobs that run, for a command-stream fuzzer to damage, and what a damaged one is.

    sources = recorded_sources() + compiled_sources()

A source is a recorded submit, or a part of ours. Its buffers are spread out so that other buffers
fit between any two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import newer_recordings
import numpy as np
from models import ModelBuilder
from oracle import Instruction, instructions, load_recording, locate
from random_graphs import RandomGraph

from lapilli.compiler.stages import compile_model
from lapilli.hw.bits import Layout
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, NN_CONFIG, Opcode, Register
from lapilli.hw.nn import NN_V7, NN_V8
from lapilli.hw.tp import TP
from lapilli.program.program import Part
from lapilli.program.recording import RecordedBuffer, Recording

CHIPS = ("a311d", "imx8mp")
NN_LAYOUTS = {"a311d": NN_V7, "imx8mp": NN_V8}
RECORDED = (
    "random/r11",
    "random/add4",
    "random/pad0",
    "random/r39",
    "ops/mobiledet76",
    "ops/mobiledet64",
    "nonsquare/d3s2_9x5",
    "newer/relu3x20x8_u8",
    "newer/logistic5x7x3_i8",
    "newer/pad1111_u8",
    "newer/padc20_u8",
    "newer/concatin_i8",
)
NEWER = "newer/"
"""Recordings of the newest driver."""
LARGE = ("ops/mb13", "ops/mobiledet16")
LARGE_GRAPHS = (0, 3, 11)
"""Of the long run only: they take ten times as long."""
GRAPHS = (13, 14, 18, 24)
STREAM = -1
"""Stands for the command stream where the number of a buffer is meant."""
FIRST_ADDRESS = 0x1000_0000
GAP = 8 * 4096
"""Room between two buffers."""
ROOMY = "in large buffers"
ROOM = 1 << 20
PAGE = 4096
LOADED = ("instruction", "coefficients", "table")
"""Roles of what units read beside tensors."""
STARTS = (Register.PS_NN_INST_ADDR, Register.PS_TP_INST_ADDR)
REGISTER_FIELDS = dict.fromkeys(STARTS, INSTRUCTION_ADDRESS) | {Register.GL_NN_CONFIG: NN_CONFIG}

Word = tuple[int, int, int]
"""(buffer or STREAM, number of the word, its new value)."""


@dataclass(frozen=True)
class Source:
    """A job that runs on ``chip``, and its instructions."""

    name: str
    chip: str
    recording: Recording
    instructions: tuple[Instruction, ...]

    def layout(self, instruction: Instruction) -> Layout:
        """Of an instruction of this source."""
        return NN_LAYOUTS[self.chip] if instruction.unit == "NN" else TP

    def word(self, buffer: int, number: int) -> int:
        """A word of a buffer or of the stream."""
        if buffer == STREAM:
            return int(self.recording.commands[number])
        data = self.recording.buffers[buffer].data[4 * number : 4 * number + 4]
        return int.from_bytes(data.tobytes(), "little")

    def packets(self) -> Iterator[tuple[int, int]]:
        """(number of the word, values that follow) of each LOAD_STATE."""
        at, words = 0, self.recording.commands
        while at < len(words):
            packet = LOAD_STATE.decode([int(words[at])])
            count = packet["count"] if packet["opcode"] == Opcode.LOAD_STATE else 1
            if packet["opcode"] == Opcode.LOAD_STATE:
                yield at, count
            at += (count + 2) // 2 * 2


@dataclass(frozen=True)
class Mutant:
    """One damaged job. ``change`` says what was done to ``source``.

    ``words`` are replaced; ``removed``: words [first, end) of the stream go; ``cut``: (buffer, its
    new size); ``exchanged``: two buffers get each other's content; ``unlisted``: a buffer that the
    submit does not list; ``blank``: a buffer that is all zeros before words are replaced;
    ``repeated``: how often the stream comes.
    """

    source: str
    family: str
    change: str
    words: tuple[Word, ...] = ()
    removed: tuple[int, int] | None = None
    cut: tuple[int, int] | None = None
    exchanged: tuple[int, int] | None = None
    unlisted: int | None = None
    blank: int | None = None
    repeated: int = 1

    def apply(self, source: Source) -> Recording:
        """The damaged job."""
        commands, buffers = source.recording.commands.copy(), list(source.recording.buffers)
        if self.blank is not None:
            buffers[self.blank] = replace(buffers[self.blank], data=np.zeros(0, np.uint8))
        for buffer, number, value in self.words:
            if buffer == STREAM:
                commands[number] = value
            else:
                buffers[buffer] = _with_word(buffers[buffer], number, value)
        if self.removed is not None:
            commands = np.delete(commands, slice(*self.removed))
        if self.cut is not None:
            old, size = buffers[self.cut[0]], self.cut[1]
            buffers[self.cut[0]] = replace(old, size=size, data=old.data[:size])
        if self.exchanged is not None:
            one, other = (buffers[i] for i in self.exchanged)
            buffers[self.exchanged[0]] = replace(one, data=other.data[: one.size])
            buffers[self.exchanged[1]] = replace(other, data=one.data[: other.size])
        return Recording(np.tile(commands, self.repeated), tuple(buffers))


def _with_word(buffer: RecordedBuffer, number: int, value: int) -> RecordedBuffer:
    data = np.zeros(max(len(buffer.data), 4 * number + 4), np.uint8)
    data[: len(buffer.data)] = buffer.data
    data[4 * number : 4 * number + 4] = np.array([value], "<u4").view(np.uint8)
    return replace(buffer, data=data[: buffer.size])


# ----------------------------------------------------------------------------------------- sources


def recorded_sources(names: Sequence[str] = RECORDED) -> list[Source]:
    """The recordings ``names`` of both chips; skips the test where there are none."""
    return [
        _source(f"{chip} {name}", chip, _spread(load_source(name, chip), chip))
        for chip in CHIPS
        for name in names
    ]


def load_source(name: str, chip: str) -> Recording:
    """A recording by its name here."""
    if name.startswith(NEWER):
        return newer_recordings.load(name.removeprefix(NEWER), chip)[0]
    return load_recording(name, chip)[0]


def compiled_sources(graphs: Sequence[int] = GRAPHS) -> list[Source]:
    """Parts of small models under both schedules; of random graphs the first part."""
    models = {f"graph-{seed}": RandomGraph(seed).model() for seed in graphs}
    found = []
    for (name, model), chip in itertools.product({"small": _small(), **models}.items(), CHIPS):
        schedule = "best" if len(found) % 3 else "reference"
        part = compile_model(model, chip, schedule).parts[0]
        found.append(_source(f"{chip} {name} ({schedule})", chip, _as_recording(part)))
    return found


def roomy_sources() -> list[Source]:
    """The small part on both chips in buffers that are far too large: a size, stride or count that
    is wrong stays inside them, and the unit has to bear it."""
    found = []
    for chip in CHIPS:
        recording = _as_recording(compile_model(_small(), chip, "reference").parts[0])
        buffers = tuple(replace(b, size=b.size + ROOM) for b in recording.buffers)
        # Spread where they are, then moved apart by their new sizes.
        spread = _spread(recording, chip, [b.size for b in buffers])
        large = tuple(
            replace(b, size=big.size) for b, big in zip(spread.buffers, buffers, strict=True)
        )
        name = f"{chip} small ({ROOMY})"
        found.append(_source(name, chip, Recording(spread.commands, large)))
    return found


def _small() -> bytes:
    """Convolutions of both strides, a depthwise one and an addition."""
    rng = np.random.default_rng(5)
    builder = ModelBuilder()
    image = builder.input((1, 6, 6, 3), 0.02, 128)
    first = rng.integers(0, 256, (4, 3, 3, 3), dtype=np.uint8)
    x = builder.conv(image, first, np.array([5, -7, 0, 3], np.int32), 0.01, 120, 0.05, 3, stride=2)
    x = builder.depthwise(
        x,
        rng.integers(0, 256, (1, 3, 3, 4), dtype=np.uint8),
        np.zeros(4, np.int32),
        0.01,
        120,
        0.05,
        3,
    )
    point = rng.integers(0, 256, (4, 1, 1, 4), dtype=np.uint8)
    y = builder.conv(x, point, np.zeros(4, np.int32), 0.01, 130, 0.05, 3)
    return builder.build([builder.add(x, y, 0.1, 4)])


def _source(name: str, chip: str, recording: Recording) -> Source:
    """With random bytes in all tensors."""
    rng = np.random.default_rng(len(recording.commands))
    filled = tuple(
        buffer
        if buffer.role in LOADED
        else replace(buffer, data=rng.integers(0, 256, buffer.size, dtype=np.uint8))
        for buffer in recording.buffers
    )
    found = Recording(recording.commands, filled)
    return Source(name, chip, found, tuple(instructions(found, NN_LAYOUTS[chip])))


def _places(sizes: Sequence[int]) -> list[int]:
    """Addresses with GAP bytes between the buffers."""
    pages = [-(-size // PAGE) * PAGE + GAP for size in sizes]
    return [FIRST_ADDRESS + sum(pages[:i]) for i in range(len(pages))]


def _as_recording(part: Part) -> Recording:
    """A part as the submit it makes."""
    addresses = _places([buffer.size for buffer in part.buffers])
    commands, contents = part.place(addresses)
    nothing = np.zeros(0, np.uint8)
    buffers = [
        RecordedBuffer(
            spec.role,
            address,
            spec.size,
            contents.get(i, nothing if spec.data is None else spec.data),
        )
        for i, (spec, address) in enumerate(zip(part.buffers, addresses, strict=True))
    ]
    return Recording(commands, tuple(buffers))


def _spread(recording: Recording, chip: str, sizes: Sequence[int] = ()) -> Recording:
    """A recording with its buffers moved apart, and all addresses with them; ``sizes``: those that
    there shall be room for."""
    addresses = _places(sizes or [buffer.size for buffer in recording.buffers])

    def moved(address: int) -> int:
        buffer, offset = locate(recording, address)
        return addresses[buffer] + offset

    source = Source("", chip, recording, tuple(instructions(recording, NN_LAYOUTS[chip])))
    words: list[Word] = []
    for instruction in source.instructions:
        layout = source.layout(instruction)
        changed = {
            name: moved(instruction.fields[name]) // (1 << field.shift)
            for name, field in layout.address_words().items()
            if instruction.fields[name]  # a table's address is 0 where none is loaded
        }
        words += stored_words(source, instruction, changed)
    for at, count in source.packets():
        register = LOAD_STATE.decode([source.word(STREAM, at)])["address"]
        if count == 1 and register in STARTS:
            fields = INSTRUCTION_ADDRESS.decode([source.word(STREAM, at + 1)])
            fields["address"] = moved(fields["address"])
            words.append((STREAM, at + 1, INSTRUCTION_ADDRESS.encode(**fields)[0]))
    done = Mutant("", "", "", tuple(words)).apply(source)
    buffers = zip(done.buffers, addresses, strict=True)
    return Recording(done.commands, tuple(replace(b, address=where) for b, where in buffers))


def stored_words(source: Source, instruction: Instruction, stored: Mapping[str, int]) -> list[Word]:
    """The words of an instruction with other stored bits in some fields."""
    layout, first = source.layout(instruction), instruction.offset // 4
    words: dict[int, int] = {}
    for name, value in stored.items():
        rest = value & ((1 << layout.fields[name].width) - 1)
        for piece in layout.fields[name].pieces:
            old = words.get(piece.word, source.word(instruction.buffer, first + piece.word))
            bits = (rest & ((1 << piece.width) - 1)) << piece.low
            words[piece.word] = old & ~piece.mask | bits
            rest >>= piece.width
    return [(instruction.buffer, first + number, word) for number, word in words.items()]
