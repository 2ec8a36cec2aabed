"""Tables: the recorded ones word for word, and those fitted to a function, byte by byte."""

from __future__ import annotations

import newer_recordings as newer
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import instructions, locate
from table_cases import FUNCTIONS, Case, cases

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode import tables
from lapilli.compiler.encode.requantise import Multiplier
from lapilli.compiler.encode.table_entries import Wanted, entry_arguments, sampled_entries
from lapilli.compiler.encode.tables import Table
from lapilli.emulator.tables import bytes_through
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import LAYOUTS
from lapilli.hw.tables import ENTRIES, TABLE_BYTES
from lapilli.hw.tp import TP
from lapilli.program.recording import Recording

RECORDED = {
    "RELU": tables.recorded_relu,
    "ABS": tables.recorded_abs,
    "LOGISTIC": tables.recorded_logistic,
}
BYTES = np.arange(256, dtype=np.uint8)
SELDOM_TAKEN = {"exp", "hard_swish"}
"""Functions that are too steep for a table with some scales."""


def table_at(recording: Recording, address: int) -> np.ndarray:
    """The words of a recorded table."""
    buffer, offset = locate(recording, address)
    data = np.zeros(TABLE_BYTES, np.uint8)
    found = recording.buffers[buffer].data[offset : offset + TABLE_BYTES]
    data[: len(found)] = found
    return data.view("<u4")


def recorded_table(model: str) -> Table:
    """Ours for the one table operator of a model."""
    interpreter = Interpreter(model)
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    (operator,) = [o for o in interpreter._get_ops_details() if o["op_name"] in RECORDED]
    ends = [details[operator[side][0]] for side in ("inputs", "outputs")]
    scales = [
        (scale, zero_point + 128 * (detail["dtype"] == np.int8))
        for detail in ends
        for scale, zero_point in [detail["quantization"]]
    ]
    return RECORDED[operator["op_name"]](*scales[0], *scales[1])


def model_of(name: str, kind: str) -> str:
    folder = newer.newer() / "models" if kind == "operators" else newer.newer().parent / "models"
    return str(folder / f"{name.partition('.part')[0]}.tflite")


def test_every_recorded_table_and_its_fields_are_met_word_for_word() -> None:
    newer.newer()
    seen, words = 0, set()
    for chip in newer.BOTH:
        record = find_by_name(chip)
        assert record is not None
        for kind in ("operators", "models"):
            for name in newer.names(chip, kind):
                recording, _ = newer.load(name, chip, kind)
                for job in instructions(recording, LAYOUTS[record.generation]):
                    if job.unit == "NN" or not job.fields["alu_pwl_enable"]:
                        continue
                    ours = recorded_table(model_of(name, kind))
                    theirs = table_at(recording, job.fields["alu_load_pwl_lut_address"])
                    assert np.array_equal(ours.words, theirs), name
                    assert ours.fields.items() <= job.fields.items(), name
                    stored = bytes_through(theirs.tolist(), job.fields)
                    assert np.array_equal(tables.evaluate(ours), stored)
                    seen += 1
                    words.add(theirs.tobytes())
    assert (seen, len(words)) == (123, 5)


@st.composite
def any_tables(draw: st.DrawFn) -> Table:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    exponents = draw(st.sampled_from([(0, 2), (10, 23), (0, 31)]))
    words = rng.integers(*exponents, ENTRIES) << 15 | rng.integers(0, 1 << 15, ENTRIES)
    words |= rng.integers(0, 2, ENTRIES) << 20
    shift = draw(st.integers(-64, 63) | st.integers(-8, 8))
    byte = st.integers(0, 255)
    post = Multiplier(draw(st.integers(0, (1 << 15) - 1)), shift)
    return Table(words.astype(np.uint32), post, draw(byte), draw(byte))


def emulated(table: Table) -> np.ndarray:
    return bytes_through(table.words.tolist(), table.fields)


@settings(max_examples=60)
@given(any_tables())
def test_the_compiler_and_the_emulator_agree_on_what_a_table_stores(table: Table) -> None:
    assert np.array_equal(tables.evaluate(table), emulated(table))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fitted_tables_store_the_function_within_one(name: str) -> None:
    judged = []
    for case in cases(FUNCTIONS[name], 40, seed=7):
        table = tables.fit(case.target, case.input_zero_point, case.output_zero_point)
        wanted = tables.wanted_bytes(case.target, case.output_zero_point)
        assert np.array_equal(tables.evaluate(table), emulated(table))
        assert len(table.data) == TABLE_BYTES
        TP.encode(**table.fields)
        judged.append(tables.judge(table, wanted))
    usable = [judgement for judgement in judged if judgement.usable]
    assert len(usable) >= (34 if name in SELDOM_TAKEN else 40)
    assert np.mean([judgement.different for judgement in usable]) < 1


def test_moving_entries_helps_where_a_kink_lies_between_them() -> None:
    case = Case(functions.relu6, 0.0438, 0, 0.0105, 0)  # 6 is byte 137, entries are 136 and 144
    wanted = tables.wanted_bytes(case.target, 0)
    half = Wanted(case.target, wanted.astype(np.int64), 0, 255)
    places, entries = entry_arguments(256), sampled_entries(half)
    line = np.interp(np.arange(256), places, entries)
    assert np.abs(np.clip(np.floor(line + 0.5), 0, 255) - wanted).max() == 0
    narrower = Case(functions.relu6, 0.0438, 0, 0.0245, 0)
    wanted = tables.wanted_bytes(narrower.target, 0)
    half = Wanted(narrower.target, wanted.astype(np.int64), 0, 255)
    line = np.interp(np.arange(256), places, sampled_entries(half))
    assert np.abs(np.floor(line + 0.5) - wanted).max() == 2
    assert tables.judge(tables.fit(narrower.target, 0, 0), wanted).worst == 1


def test_bytes_may_be_given_instead_of_a_function() -> None:
    """Two operators in a row, as the CPU rounds between them."""
    middle = tables.wanted_bytes(functions.target_of(functions.logistic, 0.05, 128, 1 / 256, 0), 0)
    product = (BYTES.astype(float) - 128) * 0.05 * (middle / 256) / 0.03 + 10
    wanted = tables.wanted_bytes(product, 10)
    table = tables.fit(product, 128, 10, wanted)
    judged = tables.judge(table, wanted)
    assert judged.worst <= 1
    assert np.array_equal(
        tables.evaluate(tables.fit(wanted.astype(float), 128, 10, wanted))[100:156],
        wanted[100:156],
    )


def test_what_can_not_be_is_said_with_a_byte() -> None:
    stairs = np.where(BYTES % 2 == 0, 0.0, 200.0)
    judged = tables.judge(tables.fit(stairs, 0, 0), stairs.astype(np.uint8))
    assert not judged.usable
    assert abs(judged.found - judged.wanted) == judged.worst > 1
    assert stairs[judged.byte] == judged.wanted


def test_not_a_number_becomes_the_zero_point_and_infinity_the_largest_byte() -> None:
    target = functions.target_of(functions.rsqrt, 0.1, 3, 0.02, 7)
    assert np.isnan(target[:3]).all()
    assert np.isinf(target[3])
    found = tables.evaluate(tables.fit(target, 3, 7))
    assert found[:4].tolist() == [7, 7, 7, 255]


@pytest.mark.parametrize(("scale", "gives"), [(2.0**80, 255), (2.0**-80, 0)])
def test_multipliers_beyond_the_field_clamp_or_stay_at_zero(scale: float, gives: int) -> None:
    table = tables.recorded_relu(scale, 0, 1.0, 0)
    assert tables.evaluate(table)[1:].tolist() == [gives] * 255
    TP.encode(**table.fields)


def test_halves_are_rounded_away_from_the_zero_point() -> None:
    target = np.array([9.5, 10.5, -3.0, 300.0, np.nan])
    assert tables.wanted_bytes(target, 10).tolist() == [9, 11, 0, 255, 10]
