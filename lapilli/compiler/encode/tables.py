"""Look-up tables for the TP: a function of one byte as 1024 entries and a multiplier.

``recorded_relu``, ``recorded_abs`` and ``recorded_logistic`` give the recorded driver's tables word
for word. ``fit`` makes a table for any function: its entries are chosen so that what is stored for
the 256 bytes differs least from what is wanted. ``evaluate`` says what a table stores, by this
file's own arithmetic, so that an operator can be left to the CPU where a byte comes out wrong;
``judge`` compares.

Bytes are the NPU's: 0 to 255, with zero points in that range. For int8 tensors both have 128 added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import float21
from lapilli.compiler.encode.requantise import Multiplier
from lapilli.compiler.encode.table_entries import (
    Wanted,
    indices,
    moved_entries,
    sampled_entries,
)
from lapilli.hw.tables import (
    ENTRIES,
    EXPONENT_BIAS,
    FRACTION_BITS,
    MULTIPLIER_FRACTION_BITS,
    NEGATIVE_HALF,
    STEP_BITS,
)
from lapilli.hw.tp import TABLE_FLAGS, TP
from lapilli.program.program import Bytes

BYTES = 256
LARGEST_BYTE = BYTES - 1
LARGEST_DIFFERENCE = 1
"""What a stored byte may be off for a table to be used."""
FIRST = 16
"""Entries in front of it, and as many at each half's end, hold arguments the recorded driver does
not look at: exponents 0 and 31."""
HALF = NEGATIVE_HALF
F32_BIAS = 127
F32_MANTISSA_BITS = 23
SIGN = 1 << 20
UNIT = Multiplier(0, 0)


@dataclass(frozen=True, eq=False)
class Table:
    """``words``: [ENTRIES] of uint32. ``post`` multiplies what is looked up; its shift is signed.
    Zero points are those of the bytes that are read and stored."""

    words: NDArray[np.uint32]
    post: Multiplier
    input_zero_point: int
    output_zero_point: int

    @property
    def data(self) -> Bytes:
        """What belongs in memory."""
        return np.frombuffer(self.words.astype("<u4").tobytes(), np.uint8)

    @property
    def fields(self) -> dict[str, int]:
        """What an instruction says to go through this table, but for the table's address."""
        return dict.fromkeys(TABLE_FLAGS, 1) | {
            "in_zp": self.input_zero_point,
            "out_zp": self.output_zero_point,
            "alu_output_post_multiplier": self.post.fraction,
            "alu_output_postshift": self.post.shift,
        }


@dataclass(frozen=True)
class Judgement:
    """How a table's bytes differ from those wanted: most (of ``byte``, which gives ``found`` where
    ``wanted`` is right), and in how many of the 256."""

    worst: int
    different: int
    byte: int
    found: int
    wanted: int

    @property
    def usable(self) -> bool:
        """No byte is too far off."""
        return self.worst <= LARGEST_DIFFERENCE


# --------------------------------------------------------------------------------------- any table


def evaluate(table: Table) -> Bytes:
    """What is stored for each of the 256 bytes."""
    argument = np.arange(BYTES) - table.input_zero_point
    bits = float21.nearest(argument.astype(np.float64))
    index, fraction = bits >> FRACTION_BITS, bits & ((1 << FRACTION_BITS) - 1)
    entries = float21.steps(table.words.astype(np.int64)).astype(object)
    # Python's integers: products have more than 64 bits.
    value = (entries[index] << FRACTION_BITS) + (entries[index + 1] - entries[index]) * fraction
    value = value * ((1 << MULTIPLIER_FRACTION_BITS) + table.post.fraction)
    point = STEP_BITS + FRACTION_BITS + MULTIPLIER_FRACTION_BITS + table.post.shift
    rounded = (value + (1 << point >> 1) >> point) if point > 0 else value << -point
    stored: Bytes = np.clip(rounded + table.output_zero_point, 0, LARGEST_BYTE).astype(np.uint8)
    return stored


def wanted_bytes(target: NDArray[np.float64], output_zero_point: int) -> Bytes:
    """The bytes for ``target`` (see ``fit``), rounded as LiteRT's own tables are: halves of a step
    away from the zero point."""
    steps = _steps(target, output_zero_point)
    rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5) + output_zero_point
    wanted: Bytes = np.clip(rounded, 0, LARGEST_BYTE).astype(np.uint8)
    return wanted


def _steps(target: NDArray[np.float64], output_zero_point: int) -> NDArray[np.float64]:
    return np.where(np.isnan(target), 0.0, target - output_zero_point)


def judge(table: Table, wanted: Bytes) -> Judgement:
    """``wanted``: the byte that each of the 256 should become."""
    found = evaluate(table)
    off = np.abs(found.astype(int) - wanted)
    byte = int(off.argmax())
    different = int(np.count_nonzero(off))
    return Judgement(int(off.max()), different, byte, int(found[byte]), int(wanted[byte]))


def fit(
    target: NDArray[np.float64],
    input_zero_point: int,
    output_zero_point: int,
    wanted: Bytes | None = None,
) -> Table:
    """The table for a function of bytes. ``target``: for each of the 256 bytes what should be
    stored, before rounding and clamping; not a number counts as the zero point. ``wanted``: the
    bytes that are right; if None those that ``target`` is rounded to.

    The entries hold output steps, so nothing is multiplied. Between entries there is a straight
    line, on which up to seven bytes lie: first the function itself is sampled, then entries are
    moved where that helps those bytes. Of the two tables the better one is returned.
    """
    if wanted is None:
        wanted = wanted_bytes(target, output_zero_point)
    found = []
    for choose in (sampled_entries, moved_entries):
        table = _table(target, wanted, input_zero_point, output_zero_point, choose)
        found.append((judge(table, wanted), table))
        if found[-1][0].different == 0:
            return table
    return min(found, key=lambda pair: (pair[0].worst, pair[0].different))[1]


def sample(target: NDArray[np.float64], input_zero_point: int, output_zero_point: int) -> Table:
    """As ``fit``, with the function itself as entries whatever lies between them."""
    wanted = wanted_bytes(target, output_zero_point)
    return _table(target, wanted, input_zero_point, output_zero_point, sampled_entries)


def _table(
    target: NDArray[np.float64],
    wanted: Bytes,
    input_zero_point: int,
    output_zero_point: int,
    choose: Callable[[Wanted], NDArray[np.float64]],
) -> Table:
    """``choose`` gives the entries of a half."""
    steps, rounded = _steps(target, output_zero_point), wanted.astype(np.int64) - output_zero_point
    low, high = -output_zero_point, LARGEST_BYTE - output_zero_point
    sides = slice(input_zero_point, None), slice(input_zero_point, None, -1)
    halves = [Wanted(steps[side], rounded[side], low, high) for side in sides]
    words = np.concatenate([_half(choose(half), len(half.target)) for half in halves])
    return Table(words, UNIT, input_zero_point, output_zero_point)


def _half(entries: NDArray[np.float64], count: int) -> NDArray[np.uint32]:
    """Words of a half of the table; arguments that no byte has get the entry in front of them."""
    known = indices(count)
    nearest = np.searchsorted(known, np.arange(HALF), side="right") - 1
    found: NDArray[np.uint32] = float21.nearest(entries)[nearest].astype(np.uint32)
    return found


# --------------------------------------------------------------------------------- recorded tables


def recorded_relu(
    input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int
) -> Table:
    """max(x, 0) as recorded: the identity for positive arguments, the multiplier scales."""
    words = np.full(ENTRIES, SIGN, np.uint32)
    words[:HALF] = _identity()
    with np.errstate(over="ignore"):
        post = recorded_multiplier(np.float32(input_scale) / np.float32(output_scale))
    return Table(words, post, input_zero_point, output_zero_point)


def recorded_abs(
    input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int
) -> Table:
    """|x| as recorded: the identity on both halves."""
    words = np.concatenate([_identity(), _identity()])
    words[HALF : HALF + FIRST] = SIGN
    with np.errstate(over="ignore"):
        post = recorded_multiplier(np.float32(input_scale) / np.float32(output_scale))
    return Table(words, post, input_zero_point, output_zero_point)


def recorded_logistic(
    input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int
) -> Table:
    """1 / (1 + exp(-x)) as recorded, sampled in float32; the multiplier is the output's scale."""
    bits = np.arange(ENTRIES, dtype=np.uint32) << np.uint32(FRACTION_BITS)
    with np.errstate(over="ignore"):
        values = _logistic(_as_float32(bits) * np.float32(input_scale))
    words = float21.recorded(values).astype(np.uint32)
    half, one = (int(float21.nearest(np.array([value]))[0]) for value in (0.5, 1.0))
    words[:FIRST], words[HALF - FIRST : HALF] = half, one
    # One entry more: the one behind the negative half's first sixteen is not sampled either.
    words[HALF : HALF + FIRST + 1], words[-FIRST:] = half, 0
    with np.errstate(over="ignore"):
        post = recorded_multiplier(np.float32(1.0 / np.float64(np.float32(output_scale))))
    return Table(words, post, input_zero_point, output_zero_point)


def recorded_multiplier(scale: np.float32) -> Multiplier:
    """The driver's 15 fraction bits and shift: the 8 bits it drops are rounded, halves to even.
    Beyond the shift's field every byte but the zero point is clamped, or none is moved, as at its
    ends."""
    bits = int(np.float32(scale).view(np.uint32))
    if bits & 0x80 and bits & 0x17F:
        bits += 0x100
    fraction = bits >> (F32_MANTISSA_BITS - MULTIPLIER_FRACTION_BITS)
    fraction &= (1 << MULTIPLIER_FRACTION_BITS) - 1
    shift = F32_BIAS - (bits >> F32_MANTISSA_BITS)
    least, most = TP.fields["alu_output_postshift"].limits
    return Multiplier(fraction, min(max(shift, least), most))


def _identity() -> NDArray[np.uint32]:
    """A half whose entries are the floats that select them."""
    words = np.arange(HALF, dtype=np.uint32) << np.uint32(FRACTION_BITS)
    words[:FIRST] = 0
    words[-FIRST:] = words[HALF - FIRST] - 1
    return words


def _as_float32(bits: NDArray[np.uint32]) -> NDArray[np.float32]:
    """21-bit floats with a hidden one as float32."""
    moved = (bits & (SIGN - 1)) << 8 | (bits & SIGN) << 11
    return (moved + np.uint32((F32_BIAS - EXPONENT_BIAS) << F32_MANTISSA_BITS)).view(np.float32)


def _logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.float32(1) / (np.exp(-values) + np.float32(1))
    return found
