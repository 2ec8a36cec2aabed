"""A TP job that looks values up: the table is a buffer of its own, and the instruction points
there."""

from __future__ import annotations

from pathlib import Path

import hand_graphs as by_hand
import numpy as np
from rule_checks import chip

from lapilli.compiler.emit import FIRST_STORAGE, emit
from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import Crossing, PartJobs, Storage, TpJob, View
from lapilli.hw import tp
from lapilli.program import program_file
from lapilli.program.program import Program


def test_a_table_is_a_buffer_with_content(tmp_path: Path) -> None:
    entries = np.arange(4096).astype(np.uint8)
    source, target, table = View(0, 0, 12), View(2, 0, 12), View(1, 0, 4096)
    job = TpJob(0, "table", source, target, moves.copy(12), table)
    part = PartJobs(
        operators=(0,),
        jobs=(job,),
        storages=(Storage("input", 12), Storage("table", 4096, entries), Storage("output", 12)),
        inputs=(Crossing(0, source),),
        outputs=(Crossing(1, target),),
    )
    made = emit(by_hand.addition((12,)), part, (job,), chip())
    held = made.buffers[FIRST_STORAGE + table.storage]
    assert held.role == "table"
    assert held.data is not None and np.array_equal(held.data[:4096], entries)
    words = made.buffers[0].data
    assert words is not None
    fields = tp.TP.decode(words.view(np.uint32)[: tp.WORDS])
    assert fields["alu_load_pwl_lut_address"] == held.address

    program = Program("a311d", "best", "by hand", "", (made,))
    path = tmp_path / "table.lapilli"
    program_file.save(program, path)
    assert program_file.load(path).digest() == program.digest()
