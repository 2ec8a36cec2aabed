"""The disassembly of a job with a look-up table: fields by name, entries as numbers."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tp_job import copy, job

from lapilli.cli.dump import dump
from lapilli.compiler.encode import tables
from lapilli.hw.chips import CHIPS, find_by_name
from lapilli.hw.tables import TABLE_BYTES
from lapilli.hw.tp import WORDS
from lapilli.program import disassemble, program_file
from lapilli.program.disassemble import TableSummary
from lapilli.program.lookup_tables import lookup_table
from lapilli.program.places import Place
from lapilli.program.program import BufferSpec, Job, Part, Program

A311D = find_by_name("a311d") or CHIPS[0]
LOGISTIC = tables.recorded_logistic(0.05, 100, 1 / 256, 0)
IMAGE = np.arange(256, dtype=np.uint8)


def part_with(table: np.ndarray | None, fields: dict[str, int]) -> Part:
    """One instruction over 256 bytes."""
    source = job(copy(1, 1, 256) | fields, IMAGE, 256, table=table)
    buffers = tuple(
        BufferSpec(
            b.role, b.size, b.address, b.data if b.role in ("instruction", "table") else None
        )
        for b in source.buffers
    )
    return Part(
        (0,), buffers, (), source.commands, (Job("TP", "logistic", 0, 0, 0, WORDS),), (), ()
    )


def summary_of(part: Part) -> TableSummary | None:
    (listing,) = disassemble.jobs(part, A311D)
    return listing.table


def test_entries_are_shown_as_what_they_stand_for() -> None:
    summary = summary_of(part_with(LOGISTIC.words, LOGISTIC.fields))
    assert summary is not None
    assert (summary.place, summary.size) == (Place(3, 0), TABLE_BYTES)
    assert summary.content.multiplier == 256
    for entry in summary.content.entries:
        exact = 256 / (1 + np.exp(-0.05 * entry.argument))
        assert entry.steps == pytest.approx(exact, rel=2e-4)
        assert LOGISTIC.words[entry.index] == entry.word
    arguments = [entry.argument for entry in summary.content.entries]
    assert (arguments[0], arguments[-1]) == (-100, 152)
    assert set(range(-32, 33)) < set(arguments) and 33 not in arguments
    samples = [entry.argument for entry in summary.content.samples]
    assert samples == [-100, -64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128, 152]


def test_negative_entries_and_the_smallest_ones() -> None:
    words = np.zeros(TABLE_BYTES // 4, "<u4")
    words[240], words[240 + 512] = 1 << 20 | 15 << 15, 0x4000  # of 1 and of -1
    fields = {"in_zp": 1, "alu_output_post_multiplier": 1 << 14, "alu_output_postshift": -1}
    found = lookup_table(words.view(np.uint8), fields)
    assert found.multiplier == 3
    steps = {entry.argument: entry.steps for entry in found.entries}
    assert (steps[1], steps[-1], steps[0]) == (-3, 3 * 2.0**-15, 0)


def test_the_fields_of_a_table_say_what_they_do() -> None:
    (listing,) = disassemble.jobs(part_with(LOGISTIC.words, LOGISTIC.fields), A311D)
    fields = {field.name: field for field in listing.fields}
    assert fields["alu_load_pwl_lut_address"].text.endswith("= buffer 3+0x0")
    assert fields["alu_pwl_enable"].note == "values go through a table"
    assert fields["alu_output_postshift"].text == "-8"
    assert fields["alu_output_postshift"].note == "right shift behind the table: times 256 in all"
    assert ("alu_load_pwl_lut_address", Place(3, 0)) in listing.touches


def test_the_json_has_the_tables_digest_where_there_is_one() -> None:
    part = part_with(LOGISTIC.words, LOGISTIC.fields)
    program = Program("a311d", "best", "m", "", (part, part_with(None, {})))
    with_table, without = (p["jobs"][0] for p in disassemble.to_json(program)["parts"])
    digest = hashlib.sha256(LOGISTIC.data.tobytes()).hexdigest()
    assert with_table["table"] == {"bytes": TABLE_BYTES, "sha256": digest}
    assert set(without) == {"unit", "operator", "words", "coefficients"}


def test_a_table_that_is_not_there_is_left_out() -> None:
    part = part_with(LOGISTIC.words, LOGISTIC.fields | {"alu_load_pwl_lut_address": 0x123000})
    assert summary_of(part) is None
    tensor = dataclasses.replace(part_with(LOGISTIC.words, LOGISTIC.fields), buffers=())
    short = part_with(LOGISTIC.words, LOGISTIC.fields)
    cut = dataclasses.replace(short.buffers[3], data=LOGISTIC.data[:100])
    found = summary_of(dataclasses.replace(short, buffers=(*short.buffers[:3], cut)))
    assert found is not None and found.size == 100 and found.content.entries[-1].steps == 0
    assert not tensor.buffers


def test_dump_prints_it(tmp_path: Path) -> None:
    part = part_with(LOGISTIC.words, LOGISTIC.fields)
    path = tmp_path / "x.lapilli"
    program_file.save(Program("a311d", "best", "m", "", (part,)), path)
    text = CliRunner().invoke(dump, [str(path)], catch_exceptions=False).output
    joined = " ".join(text.split())
    assert "table 4096 bytes at buffer 3+0x0; output steps by difference to in_zp: " in joined
    assert "0 → 128, 1 → 131.2" in joined
    everything = CliRunner().invoke(dump, [str(path), "--all"], catch_exceptions=False).output
    word = int(LOGISTIC.words[240])  # of the argument 1
    assert f"    entry  240  {word:#08x}     1 → 131.199" in everything
