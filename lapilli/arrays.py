"""Arrays from strangers, and NumPy's files: no pickled objects, nothing unpacked beyond a limit.

What an array takes is known from its header, so it is compared with what the file has before any
memory is asked for.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from lapilli.errors import ModelError
from lapilli.files import check_regular, decoding

Array = np.ndarray[Any, np.dtype[Any]]

MAXIMUM_BYTES = 1 << 31
"""Bound on what an .npz file may unpack to, whatever its reader allows."""
MOST_DIMENSIONS = 32
KINDS = "biufcSU"
"""NumPy's letters for numbers and text; others are structures, objects and points in time."""
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes. Others ask for memory before they are looked at."""
NPY = "an .npy file of plain numbers"
NPZ = "an .npz file of plain arrays"


def same_layout(first: Sequence[int], second: Sequence[int]) -> bool:
    """Equal shapes, but for ones in front: any other difference is another order of the values."""
    one, other = list(first), list(second)
    for shape in (one, other):
        while shape and shape[0] == 1:
            shape.pop(0)
    return one == other


def load_npy(path: str | Path, most: int = MAXIMUM_BYTES) -> Array:
    """The array of an .npy file of up to ``most`` bytes of values. Raises ModelError."""
    check_regular(path, NPY)
    with decoding(path, NPY), open(path, "rb") as file:
        _check_start(file, path)
        left = os.fstat(file.fileno()).st_size
        return _read(file, str(path), left, most)


def load_npz(path: str | Path, most: int = MAXIMUM_BYTES) -> dict[str, Array]:
    """The arrays of an .npz file by name, of up to ``most`` bytes together. Raises ModelError."""
    check_regular(path, NPZ)
    found: dict[str, Array] = {}
    with decoding(path, NPZ), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > most:
            raise ModelError(f"{path}: unpacks to {total} bytes; at most {most} are read")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            where = f"{path}: {name}"
            if name in found:
                raise ModelError(f"{where}: found twice; allowed: each name once")
            if entry.compress_type not in COMPRESSIONS:
                raise ModelError(
                    f"{where}: found compression {entry.compress_type}; allowed: none and deflate"
                )
            with archive.open(entry) as file:
                found[name] = _read(file, where, entry.file_size, most)
    return found


def _check_start(file: IO[bytes], path: str | Path) -> None:
    """Say what a file is that has the right name and something else in it."""
    start = file.read(len(npy.MAGIC_PREFIX))
    file.seek(0)
    if start[:2] == b"PK":
        raise ModelError(f"{path}: holds several arrays (.npz); give one .npy file an input")


def _read(file: IO[bytes], where: str, size: int, most: int) -> Array:
    """One array of a file, or member, of ``size`` bytes with its header."""
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ModelError(f"{where}: found .npy format {version}; allowed: 1.0 and 2.0")
    shape, column_major, dtype = readers[version](file)
    if dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype is not None:
        raise ModelError(f"{where}: found values of type {dtype}; allowed: plain numbers or text")
    if len(shape) > MOST_DIMENSIONS or any(extent < 0 for extent in shape):
        raise ModelError(
            f"{where}: found shape {str(list(shape))[:100]}; allowed: up to {MOST_DIMENSIONS} "
            "dimensions of 0 and above"
        )
    elements = math.prod(shape)
    needed = elements * dtype.itemsize
    if needed > min(size, most):
        raise ModelError(
            f"{where}: found shape {list(shape)} of {dtype}, {needed} bytes; allowed: what the "
            f"file's {size} bytes hold, up to {most}"
        )
    data = file.read(needed)
    if len(data) != needed:
        raise ModelError(f"{where}: found {len(data)} of {needed} bytes; it is cut off")
    values: Array = np.frombuffer(data, dtype, elements) if needed else np.zeros(elements, dtype)
    ordered = values.reshape(shape, order="F" if column_major else "C")
    # In this machine's byte order, so that the type compares as its name says.
    return ordered.astype(dtype.newbyteorder("="), order="C", copy=False)
