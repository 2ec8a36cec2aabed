"""Damaged jobs by the thousand: what a command-stream fuzzer gives the emulated NPU.

    sources = recorded_sources() + compiled_sources()
    mutants = choose(sources, 1000, seed=4)
    damaged = mutants[0].apply(sources_by_name[mutants[0].source])

A source is a job that runs: a recorded submit, or a part of ours. Its buffers are spread out so
that other buffers fit between any two. Mutants are made in families, each a list of single changes
worked out systematically; ``choose`` takes from the families in turn, and fills up with random
words and pairs of changes once the lists are used up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from models import ModelBuilder
from oracle import Instruction, instructions, load_recording, locate
from random_graphs import RandomGraph

from lapilli.compiler.stages import compile_model
from lapilli.hw.bits import Field, Layout
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
)
LARGE = ("ops/mb13", "ops/mobiledet16")
LARGE_GRAPHS = (0, 3, 11)
"""Of the long run only: they take ten times as long."""
GRAPHS = (13, 14, 18, 24)
STREAM = -1
"""Stands for the command stream where the number of a buffer is meant."""
FIRST_ADDRESS = 0x1000_0000
GAP = 8 * 4096
"""Room between two buffers."""
PAGE = 4096
HEADER_WORDS = 16
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
    submit does not list.
    """

    source: str
    family: str
    change: str
    words: tuple[Word, ...] = ()
    removed: tuple[int, int] | None = None
    cut: tuple[int, int] | None = None
    exchanged: tuple[int, int] | None = None
    unlisted: int | None = None

    def apply(self, source: Source) -> Recording:
        """The damaged job."""
        commands, buffers = source.recording.commands.copy(), list(source.recording.buffers)
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
        return Recording(commands, tuple(buffers))


def _with_word(buffer: RecordedBuffer, number: int, value: int) -> RecordedBuffer:
    data = np.zeros(max(len(buffer.data), 4 * number + 4), np.uint8)
    data[: len(buffer.data)] = buffer.data
    data[4 * number : 4 * number + 4] = np.array([value], "<u4").view(np.uint8)
    return replace(buffer, data=data[: buffer.size])


# ----------------------------------------------------------------------------------------- sources


def recorded_sources(names: Sequence[str] = RECORDED) -> list[Source]:
    """The recordings ``names`` of both chips; skips the test where there are none."""
    return [
        _source(f"{chip} {name}", chip, _spread(load_recording(name, chip)[0], chip))
        for chip in CHIPS
        for name in names
    ]


def compiled_sources(graphs: Sequence[int] = GRAPHS) -> list[Source]:
    """Parts of small models under both schedules; of random graphs the first part."""
    models = {f"graph-{seed}": RandomGraph(seed).model() for seed in graphs}
    found = []
    for (name, model), chip in itertools.product({"small": _small(), **models}.items(), CHIPS):
        schedule = "best" if len(found) % 3 else "reference"
        part = compile_model(model, chip, schedule).parts[0]
        found.append(_source(f"{chip} {name} ({schedule})", chip, _as_recording(part)))
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
        if buffer.role in ("instruction", "coefficients")
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


def _spread(recording: Recording, chip: str) -> Recording:
    """A recording with its buffers moved apart, and all addresses with them."""
    addresses = _places([buffer.size for buffer in recording.buffers])

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
        }
        words += _stored(source, instruction, changed)
    for at, count in source.packets():
        register = LOAD_STATE.decode([source.word(STREAM, at)])["address"]
        if count == 1 and register in STARTS:
            fields = INSTRUCTION_ADDRESS.decode([source.word(STREAM, at + 1)])
            fields["address"] = moved(fields["address"])
            words.append((STREAM, at + 1, INSTRUCTION_ADDRESS.encode(**fields)[0]))
    done = Mutant("", "", "", tuple(words)).apply(source)
    buffers = zip(done.buffers, addresses, strict=True)
    return Recording(done.commands, tuple(replace(b, address=where) for b, where in buffers))


# ----------------------------------------------------------------------------------------- changes


def _stored(source: Source, instruction: Instruction, stored: Mapping[str, int]) -> list[Word]:
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


def _extremes(width: int) -> list[int]:
    """0, 1, the maximum and one less."""
    return sorted({0, 1, (1 << width) - 2, (1 << width) - 1})


def _bits(field: Field, value: int) -> int:
    """A field's value as it is stored."""
    return (value >> field.shift) & ((1 << field.width) - 1)


def dropped_writes(source: Source) -> Iterator[Mutant]:
    """Each packet in turn is left out."""
    for at, count in source.packets():
        end = at + (count + 2) // 2 * 2
        yield Mutant(source.name, "dropped write", f"without word {at}", removed=(at, end))


def register_values(source: Source) -> Iterator[Mutant]:
    """Each value, and each known field of one, at its ends; likewise the packets' own words."""
    for at, count in source.packets():
        register = LOAD_STATE.decode([source.word(STREAM, at)])["address"]
        yield from _word_fields(source, "packet", at, LOAD_STATE)
        for number in range(at + 1, at + 1 + count):
            for value in _extremes(32):
                if value != source.word(STREAM, number):
                    change = f"word {number} = {value:#x}"
                    yield Mutant(source.name, "register", change, ((STREAM, number, value),))
            if register in REGISTER_FIELDS:
                yield from _word_fields(source, "register", number, REGISTER_FIELDS[register])
            register += 4


def _word_fields(source: Source, family: str, number: int, layout: Layout) -> Iterator[Mutant]:
    old = source.word(STREAM, number)
    for name, field in layout.fields.items():
        (piece,) = field.pieces
        for value in _extremes(field.width):
            word = old & ~piece.mask | value << piece.low
            if word != old:
                change = f"word {number}: {name} = {value:#x}"
                yield Mutant(source.name, family, change, ((STREAM, number, word),))


def field_values(source: Source) -> Iterator[Mutant]:
    """Each field of each instruction at its ends."""
    for job, instruction in enumerate(source.instructions):
        for name, field in source.layout(instruction).fields.items():
            for value in _extremes(field.width):
                if value != _bits(field, instruction.fields[name]):
                    words = tuple(_stored(source, instruction, {name: value}))
                    change = f"job {job} {instruction.unit}: {name} = {value:#x}"
                    yield Mutant(source.name, "field", change, words)


def exchanged_fields(source: Source) -> Iterator[Mutant]:
    """Two sizes, strides, counts or addresses of an instruction have each other's value: start and
    end, base and length, rows and columns."""
    marks = ("size", "stride", "address", "offset", "slice", "count", "inc", "start", "end")
    for job, instruction in enumerate(source.instructions):
        fields = source.layout(instruction).fields
        names = [name for name in fields if any(mark in name for mark in marks)]
        for one, other in itertools.combinations(names, 2):
            new = {
                one: _bits(fields[one], instruction.fields[other]),
                other: _bits(fields[other], instruction.fields[one]),
            }
            if instruction.fields[one] != instruction.fields[other]:
                words = tuple(_stored(source, instruction, new))
                change = f"job {job} {instruction.unit}: {one} <-> {other}"
                yield Mutant(source.name, "exchanged fields", change, words)


def cut_streams(source: Source) -> Iterator[Mutant]:
    """The stream ends early, at every word."""
    total = len(source.recording.commands)
    for length in range(total):
        change = f"{length} of {total} words"
        yield Mutant(source.name, "cut stream", change, removed=(length, total))


def cut_buffers(source: Source) -> Iterator[Mutant]:
    """Each buffer is shorter: ends inside its content, at its start, a byte early."""
    for number, buffer in enumerate(source.recording.buffers):
        used = len(buffer.data)
        sizes = {1, 3, 4, 32, 63, 64, 65, 120, used // 4, used // 2, used - 4, used - 1, used}
        for size in sorted(size for size in sizes if 0 < size < buffer.size):
            change = f"buffer {number} ({buffer.role}): {size} bytes"
            yield Mutant(source.name, "cut buffer", change, cut=(number, size))


def exchanged_buffers(source: Source) -> Iterator[Mutant]:
    """Two buffers have each other's content, or one is not listed."""
    buffers = source.recording.buffers
    for one, other in itertools.combinations(range(len(buffers)), 2):
        change = f"buffers {one} ({buffers[one].role}) and {other} ({buffers[other].role})"
        yield Mutant(source.name, "exchanged buffers", change, exchanged=(one, other))
    for number, buffer in enumerate(buffers):
        change = f"buffer {number} ({buffer.role}) is not listed"
        yield Mutant(source.name, "unlisted buffer", change, unlisted=number)


def coefficient_headers(source: Source) -> Iterator[Mutant]:
    """Each word of the coefficients' headers at its ends."""
    for buffer, first in _coefficients(source):
        for number in range(first, first + HEADER_WORDS):
            old = source.word(buffer, number)
            for value in {*_extremes(32), old + 64, max(old - 64, 0)} - {old}:
                change = f"buffer {buffer} word {number} = {value:#x}"
                yield Mutant(source.name, "stream sizes", change, ((buffer, number, value),))


def _coefficients(source: Source) -> list[tuple[int, int]]:
    """(buffer, first word) of each instruction's coefficients."""
    found = [
        locate(source.recording, instruction.fields["kernel_address"])
        for instruction in source.instructions
        if instruction.unit == "NN"
    ]
    return sorted({(buffer, offset // 4) for buffer, offset in found})


def random_words(source: Source, rng: np.random.Generator) -> Mutant:
    """A random word, or one with a bit flipped, in coefficients, instructions or the stream."""
    buffers = source.recording.buffers
    weights = {"coefficients": 8.0, "instruction": 1.0}
    choice = [i for i, buffer in enumerate(buffers) if weights.get(buffer.role)]
    share = np.array([*(weights[buffers[i].role] for i in choice), 1.0])
    buffer = int(rng.choice([*choice, STREAM], p=share / share.sum()))
    count = len(source.recording.commands if buffer == STREAM else buffers[buffer].data) // 4
    number = int(rng.integers(0, max(count, 1)))
    old = source.word(buffer, number)
    value = int(rng.integers(0, 1 << 32)) if rng.random() < 0.5 else old ^ 1 << rng.integers(32)
    change = f"buffer {buffer} word {number} = {value:#x}"
    return Mutant(source.name, "random word", change, ((buffer, number, int(value)),))


FAMILIES: tuple[Callable[[Source], Iterator[Mutant]], ...] = (
    dropped_writes,
    register_values,
    field_values,
    exchanged_fields,
    cut_streams,
    cut_buffers,
    exchanged_buffers,
    coefficient_headers,
)


def choose(sources: Sequence[Source], count: int, seed: int) -> list[Mutant]:
    """``count`` mutants, always the same ones: a third random words and pairs of changes, the rest
    from the families in turn, and random ones again when those are used up."""
    rng = np.random.default_rng(seed)
    families = [[m for source in sources for m in family(source)] for family in FAMILIES]
    shuffled = [[family[i] for i in rng.permutation(len(family))] for family in families]
    mixed = [m for turn in itertools.zip_longest(*shuffled) for m in turn if m is not None]
    chosen = mixed[: count - count // 3]
    changes = {source.name: list(field_values(source)) for source in sources}
    while len(chosen) < count:
        source = sources[int(rng.integers(len(sources)))]
        chosen.append(random_words(source, rng))
        if len(chosen) < count:
            one, other = rng.choice(len(changes[source.name]), 2, replace=False)
            chosen.append(_both(changes[source.name][one], changes[source.name][other]))
    return chosen


def _both(one: Mutant, other: Mutant) -> Mutant:
    """Two changes at once; the second wins where they share a word."""
    return replace(
        one,
        family="two fields",
        change=f"{one.change}; {other.change}",
        words=one.words + other.words,
    )
