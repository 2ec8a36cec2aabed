"""Recordings with other bytes, words and fields, and how running them ends."""

from __future__ import annotations

import numpy as np
from oracle import Instruction
from work import SOON, computing_time

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault
from lapilli.hw.bits import Field
from lapilli.program.recording import RecordedBuffer, Recording


def with_bytes(recording: Recording, buffer: int, data: np.ndarray) -> Recording:
    buffers = list(recording.buffers)
    old = buffers[buffer]
    buffers[buffer] = RecordedBuffer(old.role, old.address, old.size, data)
    return Recording(recording.commands, tuple(buffers))


def with_word(recording: Recording, buffer: int, offset: int, word: int) -> Recording:
    data = np.zeros(recording.buffers[buffer].size, np.uint8)
    data[: len(recording.buffers[buffer].data)] = recording.buffers[buffer].data
    data[offset : offset + 4] = np.array([word], "<u4").view(np.uint8)
    return with_bytes(recording, buffer, data)


def with_field(
    recording: Recording, instruction: Instruction, field: Field, stored: int
) -> Recording:
    """The recording with a field's stored bits replaced."""
    data = recording.buffers[instruction.buffer].data
    full = np.zeros(256, np.uint8)
    full[: len(data[instruction.offset :][:256])] = data[instruction.offset :][:256]
    words = full.view("<u4").tolist()
    for piece in field.pieces:
        bits = (stored & ((1 << piece.width) - 1)) << piece.low
        word = words[piece.word] & ~piece.mask | bits
        at = instruction.offset + 4 * piece.word
        recording = with_word(recording, instruction.buffer, at, word)
        stored >>= piece.width
    return recording


def outcome(recording: Recording, device: EmulatedDevice) -> str:
    """The fault's text, or "" if there was none; fails the test if that took long."""
    text = ""
    with computing_time() as taken:
        try:
            replay(recording, device)
        except Fault as fault:
            text = str(fault)
    assert taken.seconds < SOON
    return text
