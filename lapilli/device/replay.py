"""Run a recording on a device: the buffers at their recorded addresses, the words as submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lapilli.device.hang import SubmitHung
from lapilli.errors import HangError, ModelError
from lapilli.program.device import Device, DeviceBuffer
from lapilli.program.program import Bytes
from lapilli.program.recording import Recording

MOST_BYTES = 1 << 30
"""Of all buffers together, unless the caller allows more: what a recording declares costs memory
here, and none in its file."""
TENSOR_ROLES = frozenset({"tensor", "input", "output"})


def replay(
    recording: Recording,
    device: Device,
    inputs: Mapping[int, np.ndarray] | None = None,
    most_bytes: int = MOST_BYTES,
) -> dict[int, Bytes]:
    """Content afterwards of every tensor buffer of the recording, by buffer index.

    ``inputs`` are bytes to put into buffers first, from their start on, by buffer index. Raises
    ModelError for inputs that do not fit and for more than ``most_bytes`` of buffers, DeviceError
    for addresses that can't be had, and what ``wait`` raises.
    """
    total = sum(buffer.size for buffer in recording.buffers)
    if total > most_bytes:
        raise ModelError(
            f"the recording's buffers have {total} bytes; allowed: {most_bytes} (--max-bytes)"
        )
    contents = {
        index: _input_bytes(recording, index, array) for index, array in (inputs or {}).items()
    }
    buffers: list[DeviceBuffer] = []
    try:
        for recorded in recording.buffers:
            buffer = device.alloc(recorded.size, recorded.address)
            buffers.append(buffer)
            buffer.data[: len(recorded.data)] = recorded.data
        for index, data in contents.items():
            buffers[index].data[: len(data)] = data
        fence = device.submit(recording.commands, buffers)
        try:
            device.wait(fence)
        except HangError as error:
            chip = device.chip.name
            raise SubmitHung(str(error), with_inputs(recording, contents), chip) from error
        return {
            index: buffer.data[: recorded.size].copy()
            for index, (recorded, buffer) in enumerate(zip(recording.buffers, buffers, strict=True))
            if recorded.role in TENSOR_ROLES
        }
    finally:
        for buffer in buffers:
            buffer.free()


def with_inputs(recording: Recording, contents: Mapping[int, Bytes]) -> Recording:
    """The recording with ``contents`` put in from the start of their buffers on."""
    buffers = list(recording.buffers)
    for index, data in contents.items():
        changed = data
        if len(data) < len(buffers[index].data):
            changed = buffers[index].data.copy()
            changed[: len(data)] = data
        buffers[index] = replace(buffers[index], data=changed)
    return replace(recording, buffers=tuple(buffers))


def _input_bytes(recording: Recording, index: int, array: np.ndarray) -> Bytes:
    if not 0 <= index < len(recording.buffers):
        raise ModelError(
            f"input for buffer {index}; the recording has buffers 0 to {len(recording.buffers) - 1}"
        )
    data: Bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if len(data) > recording.buffers[index].size:
        raise ModelError(
            f"input for buffer {index} has {len(data)} bytes; the buffer has "
            f"{recording.buffers[index].size}"
        )
    return data
