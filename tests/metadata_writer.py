"""Writes TFLite metadata as TFLite's support library lays them out, and packs files behind models.

    model = with_files(builder.build([y]), {"labels.txt": b"cat"})

Field numbers are those of ``metadata_schema.fbs``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

NORMALIZATION_OPTIONS = 1
AXIS_LABELS, VALUE_LABELS = 2, 3


@dataclass(frozen=True)
class TensorSaid:
    """What is said of a tensor. ``files``: name, type and locale."""

    mean: Sequence[float] = ()
    deviation: Sequence[float] = ()
    files: Sequence[tuple[str, int, str]] = ()


def metadata(inputs: Sequence[TensorSaid], outputs: Sequence[TensorSaid]) -> bytes:
    """The bytes of the metadata buffer."""
    out = flatbuffers.Builder(256)
    tensors = [[_tensor(out, each) for each in side] for side in (inputs, outputs)]
    lists = {number: _tables(out, side) for number, side in enumerate(tensors, start=2)}
    subgraphs = _tables(out, [_table(out, lists)])
    out.Finish(_table(out, {0: out.CreateString("net"), 3: subgraphs}), b"M001")
    return bytes(out.Output())


def with_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """A model with a zip archive behind it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return model + packed.getvalue()


def _tensor(out: Any, said: TensorSaid) -> int:
    units = None
    if said.mean:
        options = _table(out, {0: _floats(out, said.mean), 1: _floats(out, said.deviation)})
        out.StartObject(2)
        out.PrependUint8Slot(0, NORMALIZATION_OPTIONS, 0)
        out.PrependUOffsetTRelativeSlot(1, options, 0)
        units = _tables(out, [out.EndObject()])
    files = _tables(out, [_file(out, *each) for each in said.files])
    return _table(out, {0: out.CreateString("tensor"), 4: units, 6: files})


def _file(out: Any, name: str, kind: int, locale: str) -> int:
    texts = {0: out.CreateString(name), 3: out.CreateString(locale)}
    out.StartObject(5)
    out.PrependUint8Slot(2, kind, 0)
    for number, text in texts.items():
        out.PrependUOffsetTRelativeSlot(number, text, 0)
    return int(out.EndObject())


def _table(out: Any, fields: Mapping[int, int | None]) -> int:
    """A table of texts, tables and lists that are written already."""
    out.StartObject(max(fields) + 1)
    for number, value in fields.items():
        if value is not None:
            out.PrependUOffsetTRelativeSlot(number, value, 0)
    return int(out.EndObject())


def _tables(out: Any, tables: Sequence[int]) -> int:
    out.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        out.PrependUOffsetTRelative(table)
    return int(out.EndVector())


def _floats(out: Any, values: Sequence[float]) -> int:
    out.StartVector(4, len(values), 4)
    for value in reversed(values):
        out.PrependFloat32(value)
    return int(out.EndVector())
