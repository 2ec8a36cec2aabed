"""Input within all limits that makes the most work: for tests that count it, and for figures."""

from __future__ import annotations

import struct

import numpy as np
from coefficients_v8 import encode_bytes, header_of, pack
from models import ModelBuilder

from lapilli.model import limits


def tensors_alike(tables: int, length: int) -> bytes:
    """A model of ``tables`` tensors that are all one and the same, with a name of ``length``."""
    builder = ModelBuilder()
    builder.tensor((1,), name="x" * length)
    builder.tensor_repeats = tables
    return builder.build([])


def longest_list() -> bytes:
    """A model of one operator with as many inputs as are read of any model: 32 MiB."""
    builder = ModelBuilder()
    image = builder.input((1,), None)
    result = builder.tensor((1,), None)
    builder.operator("PACK", [image] * (limits.READ_LIMIT // 4 - 1000), [result])
    return builder.build([result])


def superblocks_v7(kernels: int) -> bytes:
    """A coefficient buffer of eight cores with so many kernels each, a superblock for every one;
    read it as 1x1 kernels of one channel, one a core, zero point 0."""
    stream = np.zeros(-(-(3 + kernels * 9) // 64) * 64 + 64, np.uint8)
    stream[:3] = 0, kernels & 0xFF, kernels >> 8
    header = struct.pack("<8I", *[stream.size] * 8).ljust(64, b"\0")
    return header + stream.tobytes() * 8


def superblocks_v8(kernels: int) -> bytes:
    """A coefficient buffer of six cores with so many kernels in all, a superblock for every one;
    read it as 3x3 kernels of one channel, one a core, zero point 0."""
    symbols = (0, 1, 2, 3, 4, 5, 6, 7)
    streams = [
        encode_bytes([n & 0xFF, n >> 8] + [0] * (9 * n), symbols)
        for n in (kernels // 6 + (core < kernels % 6) for core in range(6))
    ]
    header = header_of(symbols, [len(bits) for bits in streams])
    return header + b"".join(pack(bits) for bits in streams) + bytes(4 * kernels)
