"""Recordings of submits as .npz files: what a driver gave the kernel, and what was in its buffers.

Keys: ``commands`` (uint32), ``address`` and ``size`` (uint32, one for each buffer object), ``role``
(text) and ``data_<i>`` (uint8, content of buffer i at submit time without trailing zeros; absent
means all zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from lapilli.arrays import load_npz
from lapilli.errors import ModelError
from lapilli.files import replacing
from lapilli.hw.drm import ADDRESS_END, PAGE, SOFTPIN_START
from lapilli.program.program import Bytes, Words

LARGEST_WORD = (1 << 32) - 1
ROLES = ("instruction", "coefficients", "input", "tensor", "output", "table")


@dataclass(frozen=True)
class RecordedBuffer:
    """One buffer object of the submit; ``data`` may be shorter than ``size``."""

    role: str
    address: int
    size: int
    data: Bytes = field(repr=False)


@dataclass(frozen=True)
class Recording:
    """One submit."""

    commands: Words = field(repr=False)
    buffers: tuple[RecordedBuffer, ...]


def load(path: str | Path) -> Recording:
    """Read a recording; raises ModelError naming what is missing or does not fit."""
    arrays = load_npz(path)

    def take(name: str, kinds: str) -> np.ndarray:
        if name not in arrays:
            raise ModelError(f"{path}: not a recording, it has no {name!r}")
        array = arrays[name]
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise ModelError(
                f"{path}: {name!r} is {array.dtype} of shape {array.shape}, "
                f"expected one dimension of {'text' if kinds == 'U' else 'integers'}"
            )
        return array

    address, size, role = take("address", "ui"), take("size", "ui"), take("role", "U")
    if not len(address) == len(size) == len(role):
        raise ModelError(f"{path}: {len(address)} addresses, {len(size)} sizes, {len(role)} roles")
    buffers = []
    for i in range(len(address)):
        where, extent = int(address[i]), int(size[i])
        _check_buffer(f"{path}: buffer {i}", where, extent, str(role[i]))
        data = np.zeros(0, np.uint8)
        if f"data_{i}" in arrays:
            data = take(f"data_{i}", "u")
        if data.dtype != np.uint8 or len(data) > extent:
            raise ModelError(
                f"{path}: data_{i} has {len(data)} {data.dtype}, expected at most {extent} bytes"
            )
        buffers.append(RecordedBuffer(str(role[i]), where, extent, data))
    _check_apart(buffers, path)
    commands = take("commands", "u")
    if commands.size and int(commands.max()) > LARGEST_WORD:
        raise ModelError(f"{path}: found a command word {int(commands.max()):#x}; allowed: 32 bits")
    return Recording(commands.astype(np.uint32), tuple(buffers))


def _check_buffer(what: str, address: int, size: int, role: str) -> None:
    """ModelError unless a kernel could have had it."""
    if not SOFTPIN_START <= address < ADDRESS_END or address % PAGE:
        raise ModelError(
            f"{what}: found address {address:#x}; allowed: multiples of {PAGE}, from "
            f"{SOFTPIN_START:#x} to {ADDRESS_END - PAGE:#x}"
        )
    if not 0 < size <= ADDRESS_END - address:
        raise ModelError(
            f"{what}: found {size} bytes at {address:#x}; allowed: 1 to {ADDRESS_END - address}"
        )
    if role not in ROLES:
        raise ModelError(f"{what}: found role {role[:40]!r}; allowed: {', '.join(ROLES)}")


def _check_apart(buffers: Sequence[RecordedBuffer], path: str | Path) -> None:
    """ModelError if two buffers share a page."""
    ordered = sorted(buffers, key=lambda buffer: buffer.address)
    for first, second in pairwise(ordered):
        if first.address + first.size > second.address:
            raise ModelError(
                f"{path}: found {first.size} bytes at {first.address:#x} and a buffer at "
                f"{second.address:#x}; allowed: buffers that don't overlap"
            )


def save(path: str | Path, recording: Recording) -> None:
    """Write a recording that ``load`` reads, all of it or nothing. Raises ModelError."""
    arrays: dict[str, np.ndarray] = {
        "commands": recording.commands,
        "address": np.array([b.address for b in recording.buffers], np.uint32),
        "size": np.array([b.size for b in recording.buffers], np.uint32),
        "role": np.array([b.role for b in recording.buffers], np.str_),
    }
    for i, buffer in enumerate(recording.buffers):
        used = np.flatnonzero(buffer.data)
        if len(used):
            arrays[f"data_{i}"] = buffer.data[: used[-1] + 1]
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
