"""Tables on the emulated TP: 21-bit floats, what lies between entries, rounding, refusals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tp_job import Fields, copy, run_counted, transpose

from lapilli.errors import Fault
from lapilli.hw.tables import ENTRIES, NEGATIVE_HALF, TABLE_BYTES

BYTES = np.arange(256, dtype=np.uint8)
SIGN_BIT = 1 << 20
ONE = 15 << 15
"""1.0 as a 21-bit float, and the entry it selects when shifted by 11."""


def identity() -> np.ndarray:
    """Every entry is the float that selects it."""
    return np.arange(ENTRIES, dtype=np.int64) << 11


def apply(table: np.ndarray, fields: Fields | None = None) -> np.ndarray:
    """What becomes of the 256 bytes."""
    return run_counted(copy(1, 1, 256) | (fields or {}), BYTES, 256, table=table)[0]


def value(word: int) -> Fraction:
    """A 21-bit float."""
    exponent, mantissa = word >> 15 & 31, word & 0x7FFF
    scale = Fraction(2) ** ((exponent or 1) - 15)
    magnitude = (Fraction(mantissa, 1 << 15) + (exponent > 0)) * scale
    return -magnitude if word & SIGN_BIT else magnitude


def expected(table: np.ndarray, fields: Fields) -> list[int]:
    """By fractions, one byte after another."""
    found = []
    for byte in range(256):
        argument = byte - fields["in_zp"]
        magnitude = abs(argument)
        exponent = magnitude.bit_length() - 1 if magnitude else 0
        # Sixteen entries an octave: the place in the octave chooses one and what lies behind it.
        place = (Fraction(magnitude, 1 << exponent) - 1) * 16 if magnitude else Fraction(0)
        index = (exponent + 15) * 16 + int(place) if magnitude else 0
        index += NEGATIVE_HALF if argument < 0 else 0
        here, behind = value(int(table[index])), value(int(table[index + 1]))
        result = here + (behind - here) * (place - int(place))
        result *= 1 + Fraction(fields["alu_output_post_multiplier"], 1 << 15)
        result /= Fraction(2) ** fields["alu_output_postshift"]
        rounded = math.floor(result + Fraction(1, 2)) + fields["out_zp"]
        found.append(min(max(rounded, 0), 255))
    return found


@pytest.mark.parametrize("zero_point", [0, 1, 117, 255])
def test_the_identity_gives_every_byte_back(zero_point: int) -> None:
    found = apply(identity(), {"in_zp": zero_point, "out_zp": zero_point})
    assert np.array_equal(found, BYTES)


def test_the_negative_half_is_a_function_of_its_own() -> None:
    table = identity()
    table[NEGATIVE_HALF:] = 0
    found = apply(table, {"in_zp": 100, "out_zp": 100})
    assert np.array_equal(found, np.maximum(BYTES, 100))


def test_integers_between_entries_are_interpolated() -> None:
    """From 32 on every second integer is an entry, from 64 on every fourth."""
    table = np.zeros(ENTRIES, np.int64)
    entry = ((15 + 5) << 4) + 3  # 38 = 32 + 3 * 2
    table[entry] = ONE + (3 << 15)  # 8.0
    found = apply(table)
    assert found[36:42].tolist() == [0, 4, 8, 4, 0, 0]


@pytest.mark.parametrize(
    ("multiplier", "shift", "expected"),
    [(0, 0, 40), (1 << 14, 0, 60), (0, -2, 160), (0, 3, 5), ((1 << 15) - 1, -1, 160), (0, 63, 0)],
)
def test_values_are_multiplied_and_shifted(multiplier: int, shift: int, expected: int) -> None:
    fields = {"alu_output_post_multiplier": multiplier, "alu_output_postshift": shift}
    assert apply(identity(), fields)[40] == expected


def test_halves_are_rounded_up_on_both_sides_of_zero() -> None:
    found = apply(identity(), {"in_zp": 8, "out_zp": 8, "alu_output_postshift": 1})
    assert found[[5, 6, 7, 8, 9, 10, 11]].tolist() == [7, 7, 8, 8, 9, 9, 10]


def test_the_smallest_floats_have_no_hidden_one() -> None:
    table = np.zeros(ENTRIES, np.int64)
    table[ONE >> 11 : (ONE >> 11) + 2] = [1, 0x4000]
    # 2 ** -29 and 2 ** -15 for the argument 1 and for what lies behind it.
    assert apply(table, {"alu_output_postshift": -29})[1] == 1
    table[ONE >> 11] = 0x4000
    assert apply(table, {"alu_output_postshift": -15})[1] == 1


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, Fields]:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    exponents = draw(st.sampled_from([(0, 2), (10, 23), (0, 31)]))
    table = rng.integers(*exponents, ENTRIES) << 15 | rng.integers(0, 1 << 15, ENTRIES)
    table |= rng.integers(0, 2, ENTRIES) << 20
    fields = {
        "in_zp": draw(st.integers(0, 255)),
        "out_zp": draw(st.integers(0, 255)),
        "alu_output_post_multiplier": draw(st.integers(0, (1 << 15) - 1)),
        "alu_output_postshift": draw(st.integers(-64, 63) | st.integers(-8, 8)),
    }
    return table, fields


@settings(max_examples=40)
@given(tables())
def test_any_table_equals_fractions(case: tuple[np.ndarray, Fields]) -> None:
    table, fields = case
    assert apply(table, fields).tolist() == expected(table, fields)


def test_a_table_may_go_with_any_order_of_elements() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    fields = transpose(3, 4, 5) | {"in_zp": 128}
    found, counted = run_counted(fields, image, image.size, table=identity())
    planes = image.transpose(2, 0, 1).reshape(-1)
    assert np.array_equal(found, np.maximum(planes.astype(int) - 128, 0))
    assert counted.table_bytes == TABLE_BYTES == 4096


def test_without_a_table_none_is_counted() -> None:
    assert run_counted(copy(1, 1, 256), BYTES, 256)[1].table_bytes == 0


def changed(index: int, word: int) -> np.ndarray:
    table = identity()
    table[index] = word
    return table


@pytest.mark.parametrize(
    ("table", "fields", "text"),
    [
        (identity(), {"alu_pwl_sign_support": 0}, "alu_pwl_sign_support = 0; recordings have all"),
        (identity(), {"alu_load_pwl_lut": 0}, "alu_load_pwl_lut = 0, .* all of them set, or none"),
        (None, {"alu_pwl_enable": 1}, "alu_pwl_enable = 1, .* all of them set, or none"),
        (None, {"alu_output_postshift": 1}, "alu_output_postshift = 1 .* without a table"),
        (None, {"alu_output_post_multiplier": 9}, "alu_output_post_multiplier = 9 .* a table"),
        (identity(), {"in_window_x_end": 256}, "no recording has both a table and a border"),
        (identity(), {"in_window_z_end_overfetch": 1}, "both a table and a border"),
        (identity(), {"alu_load_pwl_lut_address": 0x40}, "recorded tables lie at multiples of"),
        (changed(0, 1 << 21), {}, "table .*word 0 = 0x00200000; an entry is a float of 21 bits"),
        (changed(ONE >> 11, 31 << 15), {}, "word 240 = 0x000f8000; .* exponent of up to 30"),
        (identity(), {"alu_mult_enable": 1}, "alu_mult_enable"),
        (identity(), {"alu_filter_pwl_swap": 1}, "alu_filter_pwl_swap"),
    ],
)
def test_what_no_recording_shows_is_refused(
    table: np.ndarray | None, fields: Fields, text: str
) -> None:
    with pytest.raises(Fault, match=text):
        run_counted(copy(1, 1, 256) | fields, BYTES, 512, table=table)


def test_an_entry_that_no_byte_reaches_may_hold_anything() -> None:
    table = identity()
    table[496:512] = table[1008:] = (1 << 32) - 1
    assert np.array_equal(apply(table), BYTES)


def test_a_table_has_to_lie_in_a_buffer_of_the_submit() -> None:
    fields = copy(1, 1, 256) | {"alu_load_pwl_lut_address": 0x3000}
    with pytest.raises(Fault, match=r"table \(alu_load_pwl_lut_address\): address 0x3000 is in no"):
        run_counted(fields, BYTES, 256, table=identity())
