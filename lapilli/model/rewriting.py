"""A ``.tflite`` with other constants: the file's own bytes behind a few new tables.

Offsets in a flatbuffer are relative and point forward. So new tables go in front of the old bytes
and refer to all that has not changed: options, names, signatures, metadata stay what they were.
Constants of the same size are overwritten in place.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from lapilli.errors import ModelError
from lapilli.model.flatbuffer import UINT32, UINT64, Field, File, Table
from lapilli.model.graph import Graph, Quantization, Tensor
from lapilli.model.tensors import TYPES
from lapilli.model.tflite import parse

_ALIGNMENT: Final = 64
"""The old bytes move by a multiple of this; TFLite wants data at multiples of 16."""
_DATA_ALIGNMENT: Final = 16
_REFERENCE: Final = "<I"
_U32, _I32, _U64, _BYTE = "<I", "<i", "<Q", "<B"

# Fields of a table by number: how they are stored, None for a reference.
_Layout: TypeAlias = "Mapping[int, str | None]"
_MODEL: Final[_Layout] = {0: _U32, **dict.fromkeys(range(1, 8))}
_GRAPH: Final[_Layout] = {**dict.fromkeys(range(5)), 5: _I32}
_TENSOR: Final[_Layout] = {
    0: None,
    1: _BYTE,
    2: _U32,
    3: None,
    4: None,
    5: _BYTE,
    6: None,
    7: None,
    8: _BYTE,
    9: None,
}
_OPERATOR: Final[_Layout] = {
    0: _U32,
    1: None,
    2: None,
    3: _BYTE,
    4: None,
    5: None,
    6: _BYTE,
    7: None,
    8: None,
    9: _U64,
    10: _U64,
    11: _BYTE,
    12: None,
    13: _I32,
}
_SUBGRAPHS, _BUFFERS = Field(2, "subgraphs"), Field(4, "buffers")
_TENSORS, _OPERATORS, _INPUTS = Field(0, "tensors"), Field(3, "operators"), Field(1, "inputs")
_TENSOR_BUFFER, _BUFFER_DATA, _BUFFER_OFFSET = (
    Field(2, "buffer"),
    Field(0, "data"),
    Field(1, "offset"),
)


class _Old(NamedTuple):
    """A place in the old bytes."""

    position: int


class _New(NamedTuple):
    """Something that is yet to be written, by its number."""

    number: int


_Target: TypeAlias = "_Old | _New"
_Value: TypeAlias = "tuple[str, int] | _Target"


class _Front:
    """The new bytes, in which whatever refers to something stands before it."""

    def __init__(self) -> None:
        self.out = bytearray(b"\0\0\0\0TFL3")
        self.places: dict[_New, int] = {}
        self.references: list[tuple[int, _Target]] = [(0, _New(0))]
        self.count = 1

    def later(self) -> _New:
        """Something to be written further behind."""
        self.count += 1
        return _New(self.count - 1)

    def align(self, size: int, ahead: int = 0) -> int:
        """Fill up so that ``ahead`` bytes from here lies on a multiple of ``size``."""
        self.out += bytes(-(len(self.out) + ahead) % size)
        return len(self.out)

    def table(self, what: _New, fields: Mapping[int, _Value]) -> None:
        """A table behind its list of fields; the largest fields come first."""
        order = sorted(fields, key=lambda number: -_width(fields[number]))
        offsets, size = {}, 4
        for number in order:
            width = _width(fields[number])
            size += -size % width
            offsets[number], size = size, size + width
        count = max(fields, default=-1) + 1
        entries = [offsets.get(number, 0) for number in range(count)]
        list_size = 4 + 2 * count
        self.align(8, list_size)
        self.out += struct.pack(f"<{2 + count}H", list_size, size, *entries)
        start = len(self.out)
        self.places[what] = start
        self.out += struct.pack("<i", list_size) + bytes(size - 4)
        for number, value in fields.items():
            at = start + offsets[number]
            if isinstance(value, _Old | _New):
                self.references.append((at, value))
            else:
                struct.pack_into(value[0], self.out, at, value[1])

    def targets(self, what: _New, elements: Sequence[_Target]) -> None:
        """A vector of tables."""
        self.places[what] = self.align(4)
        self.out += struct.pack("<I", len(elements))
        for element in elements:
            self.references.append((len(self.out), element))
            self.out += bytes(4)

    def vector(self, what: _New, data: bytes, count: int, alignment: int = 8) -> None:
        """A vector of numbers, or a string with its closing zero in ``data``."""
        self.places[what] = self.align(alignment, 4)
        self.out += struct.pack("<I", count) + data

    def finish(self, old: bytearray) -> bytes:
        """All bytes, with every reference told its distance."""
        shift = self.align(_ALIGNMENT)
        for at, target in self.references:
            place = self.places[target] if isinstance(target, _New) else target.position + shift
            struct.pack_into(_REFERENCE, self.out, at, place - at)
        return bytes(self.out) + bytes(old)


def _width(value: _Value) -> int:
    return 4 if isinstance(value, _Old | _New) else struct.calcsize(value[0])


def rewritten(data: bytes, graph: Graph) -> bytes:
    """The file ``data`` with the constants, quantisation and operators' inputs of ``graph``, which
    was made from it: the same operators, and the same tensors with perhaps more behind them.

    Raises ModelError if the result would not say what ``graph`` says, as with tables of a crafted
    file that overlap.
    """
    result = _Rewriting(data, graph).run()
    found = parse(result, graph.name)
    if not _same(found, graph):
        raise ModelError(f"{graph.name}: its tables overlap, so it can't be rewritten")
    return result


class _Rewriting:
    """One run: what the file says, and the new bytes so far."""

    def __init__(self, data: bytes, graph: Graph) -> None:
        self.graph = graph
        self.original = parse(data, graph.name)
        self.file = File(data, graph.name)
        self.old = bytearray(data)
        self.front = _Front()
        self.model = Table(self.file, int(UINT32.unpack_from(data, 0)[0]), "model")
        self.main = self.model.element(self.model.vector(_SUBGRAPHS, 4)[0], "main subgraph")
        self.buffers: list[_Target] = [
            _Old(table.position) for table in self.model.elements(_BUFFERS, "buffer")
        ]
        self.uses = Counter(
            tensor.scalar(_TENSOR_BUFFER, UINT32)
            for graph_ in self.model.elements(_SUBGRAPHS, "subgraph")
            for tensor in graph_.elements(_TENSORS, "tensor")
        )
        self.pending: list[tuple[_New, bytes]] = []

    def run(self) -> bytes:
        front = self.front
        graphs, buffers, main = front.later(), front.later(), front.later()
        front.table(_New(0), self._copied(self.model, _MODEL, {2: graphs, 4: buffers}))
        old_graphs = list(self.model.elements(_SUBGRAPHS, "subgraph"))[1:]
        front.targets(graphs, [main, *(_Old(table.position) for table in old_graphs)])
        tensors, operators = front.later(), front.later()
        front.table(main, self._copied(self.main, _GRAPH, {0: tensors, 3: operators}))
        self._write_operators(operators)
        self._write_tensors(tensors)
        front.targets(buffers, self.buffers)
        for what, content in self.pending:
            self._write_buffer(what, content)
        self._move_outside_data()
        return front.finish(self.old)

    def _copied(
        self, table: Table, layout: _Layout, changes: Mapping[int, _Value]
    ) -> dict[int, _Value]:
        """A table's fields, references to where they lead, with changes."""
        fields: dict[int, _Value] = {}
        for number, kind in layout.items():
            field = Field(number, "field")
            position = table.locate(field, 4 if kind is None else struct.calcsize(kind))
            if position == 0:
                continue
            if kind is None:
                fields[number] = _Old(table.follow(field))
            else:
                fields[number] = kind, struct.unpack_from(kind, self.file.data, position)[0]
        return {**fields, **changes}

    def _write_operators(self, what: _New) -> None:
        tables = list(self.main.elements(_OPERATORS, "operator"))
        changed: dict[int, _New] = {
            i: self.front.later()
            for i, (new, old) in enumerate(
                zip(self.graph.operators, self.original.operators, strict=True)
            )
            if new.inputs != old.inputs
        }
        self.front.targets(
            what, [changed.get(i, _Old(table.position)) for i, table in enumerate(tables)]
        )
        for i, handle in changed.items():
            inputs = self.front.later()
            self.front.table(handle, self._copied(tables[i], _OPERATOR, {1: inputs}))
            values = np.array(self.graph.operators[i].inputs, "<i4")
            self.front.vector(inputs, values.tobytes(), len(values))

    def _write_tensors(self, what: _New) -> None:
        tables = list(self.main.elements(_TENSORS, "tensor"))
        targets: list[_Target] = []
        written: list[tuple[_New, Tensor]] = []
        for tensor in self.graph.tensors:
            old = self.original.tensors[tensor.index : tensor.index + 1]
            if old and _says_the_same(tensor, old[0]):
                targets.append(_Old(tables[tensor.index].position))
            else:
                handle = self.front.later()
                targets.append(handle)
                written.append((handle, tensor))
        self.front.targets(what, targets)
        for handle, tensor in written:
            if tensor.index < len(tables):
                self._write_changed(handle, tensor, tables[tensor.index])
            else:
                self._write_new(handle, tensor)

    def _write_changed(self, handle: _New, tensor: Tensor, table: Table) -> None:
        changes: dict[int, _Value] = {}
        quantization = None
        if tensor.quantization != self.original.tensors[tensor.index].quantization:
            quantization = self.front.later()
            changes[4] = quantization
        content = _bytes_of(tensor)
        if content is not None and content != _bytes_of(self.original.tensors[tensor.index]):
            changes.update(self._replace(table, content))
        self.front.table(handle, self._copied(table, _TENSOR, changes))
        if quantization is not None:
            self._write_quantization(quantization, tensor.quantization)

    def _replace(self, table: Table, content: bytes) -> dict[int, _Value]:
        """Put a constant's bytes in the old ones' place, or into a buffer of their own."""
        index = table.scalar(_TENSOR_BUFFER, UINT32)
        target = self.buffers[index]
        if self.uses[index] == 1 and isinstance(target, _Old):
            position, size = Table(self.file, target.position, "buffer").vector(_BUFFER_DATA, 1)
            if size == len(content):
                self.old[position : position + size] = content
                return {}
        return {2: (_U32, self._add_buffer(content))}

    def _add_buffer(self, content: bytes) -> int:
        handle = self.front.later()
        self.buffers.append(handle)
        self.pending.append((handle, content))
        return len(self.buffers) - 1

    def _write_new(self, handle: _New, tensor: Tensor) -> None:
        shape, name, quantization = (self.front.later() for _ in range(3))
        fields: dict[int, _Value] = {
            0: shape,
            1: (_BYTE, TYPES.index(tensor.dtype)),
            2: (_U32, self._add_buffer(_bytes_of(tensor) or b"")),
            3: name,
        }
        if tensor.quantization is not None:
            fields[4] = quantization
        self.front.table(handle, fields)
        extents = np.array(tensor.shape, "<i4")
        self.front.vector(shape, extents.tobytes(), len(extents))
        text = tensor.name.encode()
        self.front.vector(name, text + b"\0", len(text))
        if tensor.quantization is not None:
            self._write_quantization(quantization, tensor.quantization)

    def _write_quantization(self, what: _New, quantization: Quantization | None) -> None:
        found = quantization or Quantization((), ())
        scales, zero_points = self.front.later(), self.front.later()
        self.front.table(what, {2: scales, 3: zero_points, 6: (_I32, found.axis)})
        values = np.array(found.scales, "<f4")
        self.front.vector(scales, values.tobytes(), len(values))
        points = np.array(found.zero_points, "<i8")
        self.front.vector(zero_points, points.tobytes(), len(points))

    def _write_buffer(self, what: _New, content: bytes) -> None:
        data = self.front.later()
        self.front.table(what, {0: data})
        self.front.vector(data, content, len(content), _DATA_ALIGNMENT)

    def _move_outside_data(self) -> None:
        """Data behind the flatbuffer are named by their place in the file, which moves."""
        shift = len(self.front.out) + -len(self.front.out) % _ALIGNMENT
        for table in self.model.elements(_BUFFERS, "buffer"):
            position = table.locate(_BUFFER_OFFSET, 8)
            if position and UINT64.unpack_from(self.old, position)[0] > 1:
                moved = UINT64.unpack_from(self.file.data, position)[0] + shift
                UINT64.pack_into(self.old, position, moved)


def _bytes_of(tensor: Tensor) -> bytes | None:
    return None if tensor.data is None else np.ascontiguousarray(tensor.data).tobytes()


def _says_the_same(first: Tensor, second: Tensor) -> bool:
    same_data = first.data is second.data or _bytes_of(first) == _bytes_of(second)
    return same_data and first.quantization == second.quantization


def _same(first: Graph, second: Graph) -> bool:
    """Whether two graphs say the same."""
    return (
        first.operators == second.operators
        and len(first.tensors) == len(second.tensors)
        and (first.inputs, first.outputs) == (second.inputs, second.outputs)
        and all(
            _says_the_same(a, b) and (a.name, a.shape, a.dtype) == (b.name, b.shape, b.dtype)
            for a, b in zip(first.tensors, second.tensors, strict=True)
        )
    )
