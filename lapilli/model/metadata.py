"""TFLite metadata: what a model says of its inputs and outputs, and the files packed behind it.

A buffer of the model called ``TFLITE_METADATA`` holds a flatbuffer of its own (schema:
``metadata_schema.fbs`` of TFLite's support library); the files it names are in a zip archive behind
the model. All of it is optional and none of it is needed to run a model, so what is damaged counts
as absent.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lapilli.errors import ModelError
from lapilli.files import decoding
from lapilli.model.flatbuffer import UINT8, UINT32, Field, File, Table

NAME: Final = "TFLITE_METADATA"
IDENTIFIER: Final = b"M001"
LARGEST: Final = 1 << 24
"""Bytes of metadata that are read."""
MOST_FILES: Final = 1 << 10
LARGEST_FILE: Final = 1 << 22
"""Bytes of a packed file that are unpacked."""
NORMALISATION: Final = 1
"""Number of NormalizationOptions among the options of a process unit."""


class _Entry:
    """Fields of the model's own list of metadata."""

    LIST: Final = Field(6, "metadata")
    BUFFERS: Final = Field(4, "buffers")
    NAME: Final = Field(0, "name")
    BUFFER: Final = Field(1, "buffer")
    DATA: Final = Field(0, "data")


class _Schema:
    """Fields of ModelMetadata, SubGraphMetadata, TensorMetadata, AssociatedFile, ProcessUnit and
    NormalizationOptions."""

    SUBGRAPHS: Final = Field(3, "subgraph metadata")
    INPUTS: Final = Field(2, "input tensor metadata")
    OUTPUTS: Final = Field(3, "output tensor metadata")
    TENSOR_NAME: Final = Field(0, "name")
    UNITS: Final = Field(4, "process units")
    FILES: Final = Field(6, "associated files")
    FILE_NAME: Final = Field(0, "name")
    FILE_KIND: Final = Field(2, "type")
    FILE_LOCALE: Final = Field(3, "locale")
    OPTIONS_KIND: Final = Field(0, "options type")
    OPTIONS: Final = Field(1, "options")
    MEAN: Final = Field(0, "mean")
    DEVIATION: Final = Field(1, "std")


class FileKind(Enum):
    """What a packed file is for, as far as it matters here."""

    UNKNOWN = 0
    AXIS_LABELS = 2
    VALUE_LABELS = 3
    OTHER = -1


@dataclass(frozen=True)
class PackedFile:
    """A file that a tensor's metadata name; ``locale`` is its language or ''."""

    name: str
    kind: FileKind
    locale: str


@dataclass(frozen=True)
class TensorMetadata:
    """Of one input or output. ``mean`` and ``deviation`` are empty if nothing is said."""

    name: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    files: tuple[PackedFile, ...]


@dataclass(frozen=True)
class Metadata:
    """Inputs and outputs in the main subgraph's order; empty if the model says nothing."""

    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()


def read(model: bytes) -> Metadata:
    """The metadata of a model's bytes."""
    try:
        data = _buffer(model)
        return _parse(data) if data else Metadata()
    except ModelError:
        return Metadata()


def packed_files(model: bytes) -> dict[str, bytes]:
    """The files behind a model by name, those of up to ``LARGEST_FILE`` bytes."""
    found: dict[str, bytes] = {}
    try:
        with decoding("model", "files"), zipfile.ZipFile(io.BytesIO(model)) as archive:
            for entry in archive.infolist()[:MOST_FILES]:
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    continue
                if sum(map(len, found.values())) + entry.file_size <= LARGEST_FILE:
                    found[entry.filename] = archive.read(entry)
    except ModelError:
        return found
    return found


def _buffer(model: bytes) -> bytes:
    """What is in the model's buffer of that name; empty if there is none."""
    file = File(model, "model")
    table = Table(file, int(UINT32.unpack_from(model, 0)[0]), "model")
    start, count = table.vector(_Entry.BUFFERS, 4)
    for entry in table.elements(_Entry.LIST, "metadata"):
        if entry.text(_Entry.NAME) != NAME:
            continue
        index = entry.scalar(_Entry.BUFFER, UINT32)
        if index < count:
            position, size = table.element(start + 4 * index, "metadata").vector(_Entry.DATA, 1)
            return model[position : position + size] if size <= LARGEST else b""
    return b""


def _parse(data: bytes) -> Metadata:
    if data[4:8] != IDENTIFIER:
        return Metadata()
    table = Table(File(data, "metadata"), int(UINT32.unpack_from(data, 0)[0]), "metadata")
    subgraph = next(table.elements(_Schema.SUBGRAPHS, "subgraph"), None)
    if subgraph is None:
        return Metadata()
    return Metadata(
        tuple(_tensor(t) for t in subgraph.elements(_Schema.INPUTS, "input")),
        tuple(_tensor(t) for t in subgraph.elements(_Schema.OUTPUTS, "output")),
    )


def _tensor(table: Table) -> TensorMetadata:
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    for unit in table.elements(_Schema.UNITS, "process unit"):
        if unit.scalar(_Schema.OPTIONS_KIND, UINT8) != NORMALISATION:
            continue
        options = unit.table(_Schema.OPTIONS)
        if options is not None:
            mean, deviation = options.floats(_Schema.MEAN), options.floats(_Schema.DEVIATION)
    if not mean or len(mean) != len(deviation) or not all(map(math.isfinite, mean)):
        mean = deviation = ()
    if not all(0 < d < math.inf for d in deviation):
        mean = deviation = ()
    files = tuple(_file(each) for each in table.elements(_Schema.FILES, "file"))
    return TensorMetadata(table.text(_Schema.TENSOR_NAME), mean, deviation, files)


def _file(table: Table) -> PackedFile:
    number = table.scalar(_Schema.FILE_KIND, UINT8)
    known = {kind.value: kind for kind in FileKind}
    return PackedFile(
        table.text(_Schema.FILE_NAME),
        known.get(number, FileKind.OTHER),
        table.text(_Schema.FILE_LOCALE),
    )
