"""Damaged jobs by the thousand: what a command-stream fuzzer gives the emulated NPU.

    mutants = choose(sources, 1000, seed=4)
    damaged = mutants[0].apply(sources_by_name[mutants[0].source])

Mutants are made in families, each a list of single changes worked out systematically; ``choose``
takes from the families in turn, and fills up with random words and pairs of changes once the lists
are used up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from oracle import locate
from stream_sources import REGISTER_FIELDS, ROOMY, STREAM, Mutant, Source, stored_words

from lapilli.hw import coefficients_v8
from lapilli.hw.bits import Field, Layout
from lapilli.hw.coefficients_v7 import ZERO_RUN_WIDTH_BITS
from lapilli.hw.coefficients_v8 import STREAMS
from lapilli.hw.commands import LOAD_STATE
from lapilli.hw.tables import ENTRIES, FLOAT_BITS, MANTISSA_BITS

HEADER_WORDS = 16
SYMBOL_MAP = 0x76543210
"""V8: each symbol once."""
TABLE_STEP = 5
"""Every so many entries of a table are changed."""


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
                    words = tuple(stored_words(source, instruction, {name: value}))
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
                words = tuple(stored_words(source, instruction, new))
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


def coefficient_claims(source: Source) -> Iterator[Mutant]:
    """Large buffers of zeros that claim to hold any number of kernels: what a few bytes of file can
    stand for. Instruction and header agree, so that the decoders have to believe them."""
    if ROOMY not in source.name:
        return
    for job, instruction in enumerate(source.instructions):
        if instruction.unit != "NN":
            continue
        buffer, offset = locate(source.recording, instruction.fields["kernel_address"])
        room = (source.recording.buffers[buffer].size - offset) // 128 * 64
        for channels in (1, 64, 1024, 16383):
            for extra in ({}, {"kernel_x_size": 11, "kernel_y_size": 11}, {"kernels_per_core": 1}):
                fields = {"kernel_z_size": channels, **extra}
                words = tuple(stored_words(source, instruction, fields))
                for claim in _claims(source, offset // 4, room, channels):
                    change = f"job {job}: {fields}, header {[hex(word) for _, word in claim]}"
                    header = tuple((buffer, number, word) for number, word in claim)
                    yield Mutant(
                        source.name, "claimed kernels", change, (*words, *header), blank=buffer
                    )


def _claims(
    source: Source, first: int, room: int, channels: int
) -> Iterator[list[tuple[int, int]]]:
    """(number, word) of a header, and of the head of V7's first stream."""
    if source.chip == "imx8mp":
        header = coefficients_v8.HEADER.fields
        for bits in (8 * room // STREAMS, 64 * channels, 1 << 12):
            sizes = {f"stream_size_{core}": bits for core in range(STREAMS)}
            stored = {"version": 1, "symbol_map": SYMBOL_MAP, **sizes}
            words: dict[int, int] = {}
            for name, value in stored.items():
                (piece,) = header[name].pieces
                words[piece.word] = words.get(piece.word, 0) | value << piece.low
            yield [(first + number, word) for number, word in words.items()]
        return
    for size in (room, 4096, 64):
        for run_bits, kernels in ((0, 1), (5, 127), (16, 127), (16, 16384), (14, 65535)):
            yield [(first, size), (first + HEADER_WORDS, run_bits | kernels << ZERO_RUN_WIDTH_BITS)]


def repeated_streams(source: Source) -> Iterator[Mutant]:
    """The same job over and over: a submit's work has a limit."""
    for times in (2, 17):
        yield Mutant(source.name, "repeated stream", f"{times} times", repeated=times)


def shared_places(source: Source) -> Iterator[Mutant]:
    """An address of one instruction in another one: images, coefficients and tables in common."""
    for one, other in itertools.permutations(range(len(source.instructions)), 2):
        first, second = source.instructions[one], source.instructions[other]
        for name, field in source.layout(first).address_words().items():
            for target, address in second.fields.items():
                if target.endswith("address") and address not in (0, first.fields[name]):
                    words = tuple(stored_words(source, first, {name: _bits(field, address)}))
                    change = f"job {one}: {name} = {target} of job {other}"
                    yield Mutant(source.name, "shared place", change, words)


def table_entries(source: Source) -> Iterator[Mutant]:
    """Entries of tables at their ends, with the highest exponent, and with bits of no float."""
    values = {0, 1, 1 << FLOAT_BITS, (1 << FLOAT_BITS) - 1, 31 << MANTISSA_BITS, (1 << 32) - 1}
    for buffer, recorded in enumerate(source.recording.buffers):
        for entry in range(0, ENTRIES if recorded.role == "table" else 0, TABLE_STEP):
            for value in sorted(values - {source.word(buffer, entry)}):
                change = f"buffer {buffer} entry {entry} = {value:#x}"
                yield Mutant(source.name, "table", change, ((buffer, entry, value),))


def random_words(source: Source, rng: np.random.Generator) -> Mutant:
    """A random word, or one with a bit flipped, in coefficients, tables, instructions, stream."""
    buffers = source.recording.buffers
    weights = {"coefficients": 8.0, "table": 8.0, "instruction": 1.0}
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
    coefficient_claims,
    repeated_streams,
    shared_places,
    table_entries,
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
