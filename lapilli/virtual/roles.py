"""A recording of a job, for which the kernel has to guess what each buffer is for."""

from __future__ import annotations

import numpy as np

from lapilli.emulator.front_end import walk
from lapilli.emulator.generations import generation_of
from lapilli.errors import Fault
from lapilli.hw.chips import Chip
from lapilli.hw.tp import TP
from lapilli.program.program import Words
from lapilli.program.recording import RecordedBuffer, Recording
from lapilli.virtual.objects import BufferObject
from lapilli.virtual.submit import Job


def recording_of(job: Job, chip: Chip) -> Recording:
    """The job with its buffers' contents before it runs. Buffers with instructions, coefficients or
    tables are what the commands say; of the rest those that hold anything are inputs."""
    roles: dict[BufferObject, str] = {}
    for unit, address in _starts(job.commands, chip):
        buffer = _at(job, address)
        if buffer is None:
            continue
        roles[buffer] = "instruction"
        role, where = _loads(buffer, unit, address, chip)
        loaded = _at(job, where) if role else None
        if loaded is not None:
            roles.setdefault(loaded, role)
    recorded = []
    for buffer in job.objects:
        used = np.flatnonzero(buffer.storage.data)
        data = buffer.storage.data[: used[-1] + 1 if len(used) else 0].copy()
        role = roles.get(buffer, "input" if len(used) else "tensor")
        assert buffer.address is not None
        recorded.append(RecordedBuffer(role, buffer.address, buffer.size, data))
    return Recording(job.commands.copy(), tuple(recorded))


def _starts(commands: Words, chip: Chip) -> list[tuple[str, int]]:
    """Unit and address of each instruction, as far as the stream can be read."""
    found = []
    try:
        for start in walk(commands, chip.nn_cores):
            found.append((start.unit, start.address))
    except Fault:
        pass
    return found


def _at(job: Job, address: int) -> BufferObject | None:
    for buffer in job.objects:
        if buffer.address is not None and buffer.address <= address < buffer.end:
            return buffer
    return None


def _loads(buffer: BufferObject, unit: str, address: int, chip: Chip) -> tuple[str, int]:
    """Role and address of what the instruction at ``address`` loads; an empty role for nothing."""
    layout = generation_of(chip).nn if unit == "NN" else TP
    assert buffer.address is not None
    start = address - buffer.address
    words = np.zeros(layout.size, np.uint32)
    raw = buffer.storage.data[start : min(start + 4 * layout.size, buffer.size)]
    words.view(np.uint8)[: len(raw)] = raw
    fields = layout.decode(words.tolist())
    if unit == "NN":
        return "coefficients", fields["kernel_address"]
    return "table" if fields["alu_load_pwl_lut"] else "", fields["alu_load_pwl_lut_address"]
