"""What a job that hung was given, kept so that the emulator can run it."""

from __future__ import annotations

from collections.abc import Sequence

from lapilli.errors import HangError
from lapilli.program.device import DeviceBuffer
from lapilli.program.program import Part, Words
from lapilli.program.recording import RecordedBuffer, Recording


class SubmitHung(HangError):
    """A HangError with the submit: commands, and the buffers as they were when it was noticed."""

    def __init__(self, message: str, recording: Recording, chip: str) -> None:
        super().__init__(message)
        self.recording = recording
        self.chip = chip


def with_recording(
    error: HangError, part: Part, commands: Words, buffers: Sequence[DeviceBuffer], chip: str
) -> SubmitHung:
    """``error`` with what ``part`` submitted as ``commands`` with ``buffers``."""
    recorded = tuple(
        RecordedBuffer(spec.role, buffer.address, buffer.size, buffer.data.copy())
        for spec, buffer in zip(part.buffers, buffers, strict=True)
    )
    return SubmitHung(str(error), Recording(commands.copy(), recorded), chip)
