"""A recording of a submit says what each buffer is for, as far as the commands tell."""

from __future__ import annotations

import numpy as np
from tp_job import copy, job
from virtual_npu import board

from lapilli.device.replay import replay
from lapilli.hw.tables import ENTRIES
from lapilli.program.recording import Recording


def roles_of(source: Recording) -> list[str]:
    """What a kernel that runs the job takes its buffers for."""
    recorded: list[Recording] = []
    machine = board(record=lambda client, recording: recorded.append(recording))
    with machine.device() as device:
        replay(source, device)
    return [buffer.role for buffer in recorded[0].buffers]


def test_a_table_is_told_from_an_input() -> None:
    image = np.arange(1, 9, dtype=np.uint8)
    table = np.arange(ENTRIES) << 11
    assert roles_of(job(copy(1, 1, 8), image, 8)) == ["instruction", "input", "tensor"]
    assert roles_of(job(copy(1, 1, 8), image, 8, table=table)) == [
        "instruction",
        "input",
        "tensor",
        "table",
    ]
