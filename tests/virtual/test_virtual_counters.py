"""The kernel's memory counters move by what the emulated units read and write."""

from __future__ import annotations

import numpy as np
from tp_job import bytes_of, copy, run_counted

from lapilli.emulator import InstructionCounters
from lapilli.hw.tables import ENTRIES, TABLE_BYTES
from lapilli.hw.tp import WORDS
from lapilli.virtual.counters import DOMAINS, Counts

READS, WRITES = "TOTAL_READ_REQ_8B_FROM_PIPELINE", "TOTAL_WRITE_REQ_8B_FROM_PIPELINE"


def value(counts: Counts, signal: str) -> int:
    domain = next(i for i, each in enumerate(DOMAINS) if signal in each.signals)
    return counts.value(domain, DOMAINS[domain].signals.index(signal))


def test_a_table_is_read_before_the_image() -> None:
    identity = np.arange(ENTRIES) << 11
    _, job = run_counted(copy(1, 4, 8), bytes_of(32), 32, table=identity)
    assert job.bytes_read == 4 * WORDS + TABLE_BYTES + 32
    counts = Counts(1000)
    counts.add([job])
    assert value(counts, READS) == 1000 + -(-job.bytes_read // 8)
    assert value(counts, WRITES) == 1000 + 4


def test_coefficients_are_read_too() -> None:
    job = InstructionCounters("NN", 0, instruction_bytes=136, coefficient_bytes=64, input_bytes=8)
    assert job.bytes_read == 208
