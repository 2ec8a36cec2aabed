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
from pathlib import Path
from typing import Final

from lapilli.errors import ModelError
from lapilli.files import check_regular, decoding
from lapilli.model.flatbuffer import UINT32, Field, File, Table
from lapilli.model.graph import Graph
from lapilli.model.input_shapes import Shapes, with_input_shapes
from lapilli.model.kinds import START_BYTES, compiled_for, described
from lapilli.model.limits import LARGEST_FILE
from lapilli.model.operators import read_codes, read_indices, read_operators
from lapilli.model.order import check_order
from lapilli.model.settle import settle
from lapilli.model.shared_constants import check_shared_constants
from lapilli.model.subgraphs import remarks
from lapilli.model.tensors import read_tensors

ALLOWED: Final = "a .tflite file"
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


def read_file(path: str | Path, shapes: Shapes | None = None) -> bytes:
    """The bytes of a file that starts like a TFLite model, for ``parse`` and ``digest``; with
    inputs of the ``shapes`` given for them, by name.

    Raises ModelError if it is missing, no regular file, no TFLite model or above 2 GiB, UsageError
    for an input that it has not.
    """
    if os.path.isdir(path) and os.path.exists(os.path.join(path, "saved_model.pb")):
        raise ModelError(
            f"{path}: found a folder with a TensorFlow SavedModel; allowed: a .tflite file, so "
            "convert it first"
        )
    # A pipe would block in open(), so look at what it is first.
    check_regular(path, ALLOWED)
    with decoding(path, ALLOWED), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(START_BYTES)
        _check_start(File(start, str(path)), size)
        if size > LARGEST_FILE:
            raise ModelError(f"{path}: found {size} bytes; allowed: up to {LARGEST_FILE}")
        data = start + file.read(max(0, size - len(start)))
    return with_input_shapes(data, shapes or {}, str(path))


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
    _check_start(file, len(data))
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
    compiled = compiled_for(kind for kind, _ in codes)
    if compiled:
        raise ModelError(f"{file.name}: found {compiled}")
    tensors, variables = read_tensors(model, main)
    operators, tensors = settle(read_operators(main, codes, tensors), tensors)
    check_shared_constants(file, operators, tensors)
    inputs = read_indices(main, _INPUTS, len(tensors), optional=False)
    outputs = read_indices(main, _OUTPUTS, len(tensors), optional=False)
    more = remarks(model, operators)
    graph = Graph(name, tensors, operators, inputs, outputs, more)
    check_order(file, graph, variables)
    return graph


def _check_start(file: File, size: int) -> None:
    """Raise unless a file of ``size`` bytes has the identifier of a TFLite model; if it is
    something that is known, say what."""
    identifier = file.data[4:8]
    if file.size >= 8 and identifier == _IDENTIFIER:
        return
    known = described(file.data[:START_BYTES], size)
    if known:
        raise ModelError(f"{file.name}: found {known}")
    if file.size < 8:
        file.fail("", f"{file.size} bytes", "a TFLite model, whose bytes 4 to 7 are 'TFL3'")
    file.fail("", f"{identifier!r} in bytes 4 to 7", "'TFL3', a TFLite model")
