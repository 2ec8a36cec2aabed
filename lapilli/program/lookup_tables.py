"""What a look-up table of the TP holds, for the disassembler; the rule is in ``hw/tables.py``.

Nothing here raises, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lapilli.hw.tables import (
    EXPONENT_BIAS,
    EXPONENT_BITS,
    FLOAT_BITS,
    FRACTION_BITS,
    MANTISSA_BITS,
    MULTIPLIER_FRACTION_BITS,
    NEGATIVE_HALF,
    STEP_BITS,
    TABLE_BYTES,
)
from lapilli.program.places import place_of
from lapilli.program.program import Bytes, Part

LARGEST_BYTE = 255


@dataclass(frozen=True)
class Entry:
    """Of the argument, a difference of a byte to the input's zero point: its number in the table,
    its word, and the output steps it stands for, multiplied."""

    argument: int
    index: int
    word: int
    steps: float


@dataclass(frozen=True)
class LookupTable:
    """``entries`` are those of bytes, by argument. ``multiplier``: what all are multiplied by."""

    multiplier: float
    entries: tuple[Entry, ...]

    @property
    def samples(self) -> tuple[Entry, ...]:
        """The first and last one, that of 0, and those of powers of two."""
        ends = self.entries[:1] + self.entries[-1:]
        return tuple(
            entry for entry in self.entries if abs(entry.argument).bit_count() <= 1 or entry in ends
        )


def table_bytes(part: Part, values: Mapping[str, int]) -> Bytes | None:
    """The table that an instruction with these fields loads; None if it lies nowhere."""
    place = place_of(part, values["alu_load_pwl_lut_address"])
    if place is None:
        return None
    data = part.buffers[place.buffer].data
    return None if data is None else data[place.offset : place.offset + TABLE_BYTES]


def lookup_table(data: Bytes, values: Mapping[str, int]) -> LookupTable:
    """The entries that the bytes of an instruction's input look up; what is missing counts as 0."""
    whole = np.zeros(TABLE_BYTES, np.uint8)
    whole[: data.size] = data
    words = whole.view("<u4").tolist()
    fraction = values["alu_output_post_multiplier"] / (1 << MULTIPLIER_FRACTION_BITS)
    multiplier = (1 + fraction) * 2.0 ** -values["alu_output_postshift"]
    found = []
    for byte in range(LARGEST_BYTE + 1):
        argument = byte - values["in_zp"]
        index = _index(argument)
        if index is not None:
            steps = _number(words[index]) * multiplier
            found.append(Entry(argument, index, words[index], steps))
    return LookupTable(multiplier, tuple(found))


def _index(argument: int) -> int | None:
    """Number of the entry that an integer has to itself; None for one between two."""
    if argument == 0:
        return 0
    length = abs(argument).bit_length() - 1
    mantissa = (abs(argument) << MANTISSA_BITS >> length) & ((1 << MANTISSA_BITS) - 1)
    index, rest = divmod((length + EXPONENT_BIAS) << MANTISSA_BITS | mantissa, 1 << FRACTION_BITS)
    return None if rest else index + NEGATIVE_HALF * (argument < 0)


def _number(word: int) -> float:
    """What an entry stands for."""
    exponent = word >> MANTISSA_BITS & ((1 << EXPONENT_BITS) - 1)
    mantissa = word & ((1 << MANTISSA_BITS) - 1)
    magnitude = (mantissa | 1 << MANTISSA_BITS) << (exponent - 1) if exponent else mantissa
    number = magnitude / (1 << STEP_BITS)
    return -number if word >> (FLOAT_BITS - 1) & 1 else number
