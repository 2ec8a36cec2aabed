"""``.tflite`` bytes -> ``Graph``; whatever is wrong with a file ends in one ``ModelError``.

    model -> operator codes -> tensors -> operators -> graph

Tables and their bounds: ``flatbuffer``; what they hold: ``tensors``, ``operators``,
``option_tables``; how much of it: ``limits``. Only the operators' names come from the ``tflite``
package. Source of the layout: TensorFlow Lite's ``schema.fbs``; flatbuffers never renumbers a
field. Most of what is refused, TFLite refuses too when it loads or prepares a model.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from lapilli.errors import ModelError
from lapilli.model.flatbuffer import UINT32, Field, File, Table
from lapilli.model.graph import Graph
from lapilli.model.limits import LARGEST_FILE
from lapilli.model.operators import read_codes, read_indices, read_operators
from lapilli.model.order import check_order
from lapilli.model.tensors import read_tensors

_IDENTIFIER: Final = b"TFL3"
_SCHEMA_VERSION: Final = 3
_VERSION: Final = Field(0, "version")
_SUBGRAPHS: Final = Field(2, "subgraphs")
_INPUTS: Final = Field(1, "inputs")
_OUTPUTS: Final = Field(2, "outputs")


def load(path: str | Path) -> Graph:
    """Read a ``.tflite`` file.

    Raises ModelError if it is missing, no regular file, no TFLite model, damaged or contradicts
    itself. The graph's name is the file's name without its folder, its constants are views.
    """
    return parse(read_file(path), Path(path).name, str(path))


def read_file(path: str | Path) -> bytes:
    """The bytes of a file that starts like a TFLite model, for ``parse`` and ``digest``.

    Raises ModelError if it is missing, no regular file, no TFLite model or above 2 GiB.
    """
    try:
        # A pipe would block in open(), so look at what it is first.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelError(f"{path}: found {kind}; allowed: a .tflite file")
        with open(path, "rb") as file:
            start = file.read(8)
            _check_start(File(start, str(path)))
            if status.st_size > LARGEST_FILE:
                raise ModelError(
                    f"{path}: found {status.st_size} bytes; allowed: up to {LARGEST_FILE}"
                )
            return start + file.read(max(0, status.st_size - len(start)))
    except (OSError, ValueError) as error:
        # ValueError: a path with a zero character.
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path}: can't be read: {reason}; allowed: a .tflite file") from error


def digest(data: bytes) -> str:
    """sha256 of a model's bytes, as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes, name: str, source: str | None = None) -> Graph:
    """Read the bytes of a ``.tflite`` file; of several subgraphs the first, which is the main one.

    ``name`` becomes the graph's name; messages start with ``source``, or with ``name``.
    Raises ModelError: which tensor or operator, what was found, what is allowed. Constants are
    read-only views of ``data``.
    """
    file = File(data, source or name)
    _check_start(file)
    position = int(UINT32.unpack_from(data, 0)[0])
    model = Table(file, position, "model")
    version = model.scalar(_VERSION, UINT32)
    if version != _SCHEMA_VERSION:
        model.fail(f"schema version {version}", f"version {_SCHEMA_VERSION}")
    position, count = model.vector(_SUBGRAPHS, 4)
    if count == 0:
        model.fail("no subgraph", "at least one")
    main = model.element(position, "main subgraph")
    codes = read_codes(model)
    tensors, variables = read_tensors(model, main)
    operators = read_operators(main, codes, tensors)
    inputs = read_indices(main, _INPUTS, len(tensors), optional=False)
    outputs = read_indices(main, _OUTPUTS, len(tensors), optional=False)
    graph = Graph(name, tensors, operators, inputs, outputs)
    check_order(file, graph, variables)
    return graph


def _check_start(file: File) -> None:
    """Raise unless the file has the identifier of a TFLite model."""
    if file.size < 8:
        file.fail("", f"{file.size} bytes", "a TFLite model, whose bytes 4 to 7 are 'TFL3'")
    identifier = file.data[4:8]
    if identifier != _IDENTIFIER:
        file.fail("", f"{identifier!r} in bytes 4 to 7", "'TFL3', a TFLite model")
