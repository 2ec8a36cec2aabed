"""Tables of a flatbuffers file, each read inside its bounds.

The flatbuffers runtime for Python has no verifier, so every offset is checked here against the file
before it is followed. Nothing recurses, and how much is read is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

import numpy as np

from lapilli.errors import ModelError
from lapilli.model.limits import MOST_TABLES, READ_LIMIT

LONGEST_NAME_SHOWN: Final = 80

INT8: Final = struct.Struct("<b")
UINT8: Final = struct.Struct("<B")
UINT16: Final = struct.Struct("<H")
INT32: Final = struct.Struct("<i")
UINT32: Final = struct.Struct("<I")
UINT64: Final = struct.Struct("<Q")
PLACEHOLDER: Final = 1
"""What converters write as offset and size before they know them; TFLite takes it for none."""
FLOAT: Final = struct.Struct("<f")


class Field(NamedTuple):
    """A field of a table: its number in the schema and its name for messages."""

    number: int
    name: str


class File:
    """The bytes, whom to blame in messages, and what may still be read of them."""

    __slots__ = ("data", "name", "remaining", "size")

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.size = len(data)
        self.remaining = READ_LIMIT

    def fail(self, where: str, found: str, allowed: str) -> NoReturn:
        """Raise the one error there is, on one line."""
        place = f"{where}: " if where else ""
        raise ModelError(f"{self.name}: {place}found {found}; allowed: {allowed}")

    def spend(self, count: int, where: str) -> None:
        """Account for ``count`` bytes about to be turned into objects."""
        self.remaining -= count
        if self.remaining < 0:
            self.fail(where, "lists that overlap or never end", f"{READ_LIMIT} bytes of lists")


class Table:
    """One flatbuffers table. Each method checks that what it reads lies inside the file.

    A field that is absent gives its default; ``where`` says in messages what the table describes.
    """

    __slots__ = ("file", "position", "size", "vtable", "vtable_size", "where")

    def __init__(self, file: File, position: int, where: str) -> None:
        self.file = file
        self.position = position
        self.where = where
        if position + 4 > file.size:
            self.outside("the table", position)
        self.vtable = position - int(INT32.unpack_from(file.data, position)[0])
        if not 0 <= self.vtable <= file.size - 4:
            self.outside("the table's field list", self.vtable)
        self.vtable_size = int(UINT16.unpack_from(file.data, self.vtable)[0])
        self.size = int(UINT16.unpack_from(file.data, self.vtable + 2)[0])
        if self.vtable + self.vtable_size > file.size:
            self.outside("the table's field list", self.vtable)
        if position + self.size > file.size:
            self.outside("the table", position)

    def fail(self, found: str, allowed: str) -> NoReturn:
        """Raise: what was found in what the table describes, and what is allowed."""
        self.file.fail(self.where, found, allowed)

    def outside(self, what: str, position: int) -> NoReturn:
        """Raise: ``what`` at byte ``position`` does not lie inside the file."""
        self.fail(
            f"{what} at byte {position}",
            f"bytes 0 to {self.file.size - 1}, the file is damaged or cut off",
        )

    def locate(self, field: Field, width: int) -> int:
        """Position of the ``width`` bytes of a field, 0 if it is absent."""
        entry = 4 + 2 * field.number
        if entry + 2 > self.vtable_size:
            return 0
        offset = int(UINT16.unpack_from(self.file.data, self.vtable + entry)[0])
        if offset == 0:
            return 0
        if offset + width > self.size:
            self.outside(f"the {field.name} beyond the table's end", self.position + offset)
        return self.position + offset

    def scalar(self, field: Field, layout: struct.Struct, default: int = 0) -> int:
        """A number of fixed width."""
        position = self.locate(field, layout.size)
        if position == 0:
            return default
        return int(layout.unpack_from(self.file.data, position)[0])

    def real(self, field: Field) -> float:
        """A single-precision number, 0 if absent."""
        position = self.locate(field, FLOAT.size)
        return float(FLOAT.unpack_from(self.file.data, position)[0]) if position else 0.0

    def far(self, offset: int, size: int, what: str) -> int:
        """``offset``, if so many bytes lie there in the file; converters put large data behind the
        flatbuffer, and what lies there may overlap."""
        if offset + size > self.file.size:
            self.fail(
                f"{what} of {size} bytes at byte {offset}",
                f"what fits into the file's {self.file.size} bytes, it is damaged or cut off",
            )
        return offset

    def follow(self, field: Field) -> int:
        """Position of the table, string or vector a field refers to, 0 if it is absent."""
        position = self.locate(field, 4)
        if position == 0:
            return 0
        target = position + int(UINT32.unpack_from(self.file.data, position)[0])
        if target + 4 > self.file.size:
            self.outside(f"the {field.name}", target)
        return target

    def vector(self, field: Field, width: int) -> tuple[int, int]:
        """(position of the first, number) of a vector's elements of ``width`` bytes each."""
        position = self.follow(field)
        if position == 0:
            return 0, 0
        count = int(UINT32.unpack_from(self.file.data, position)[0])
        position += 4
        if count * width > self.file.size - position:
            self.file.fail(
                f"{self.where}: {field.name}",
                f"{count} elements of {width} bytes at byte {position}",
                f"what fits into the file's {self.file.size} bytes, it is damaged or cut off",
            )
        return position, count

    def numbers(self, field: Field, dtype: str) -> tuple[int, ...]:
        """A vector of numbers; ``dtype`` in NumPy's short form, as in ``<i4``."""
        width = int(dtype[2:])
        position, count = self.vector(field, width)
        if count == 0:
            return ()
        self.file.spend(count * width, f"{self.where}: {field.name}")
        return tuple(np.frombuffer(self.file.data, dtype, count, position).tolist())

    def floats(self, field: Field) -> tuple[float, ...]:
        """A vector of single-precision numbers."""
        return tuple(float(value) for value in self.numbers(field, "<f4"))

    def content(self, field: Field) -> bytes:
        """A vector of bytes, copied."""
        position, count = self.vector(field, 1)
        self.file.spend(count, f"{self.where}: {field.name}")
        return self.file.data[position : position + count]

    def text(self, field: Field) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        return self.content(field).decode(errors="replace")

    def table(self, field: Field) -> Table | None:
        """The table a field refers to."""
        position = self.follow(field)
        return Table(self.file, position, self.where) if position else None

    def element(self, position: int, where: str) -> Table:
        """The table that the element at ``position`` of a vector of tables refers to."""
        target = position + int(UINT32.unpack_from(self.file.data, position)[0])
        return Table(self.file, target, where)

    def elements(self, field: Field, noun: str) -> Iterator[Table]:
        """The tables of a vector, each described as ``noun`` and its index."""
        position, count = self.vector(field, 4)
        if count > MOST_TABLES:
            self.file.fail(f"{self.where}: {field.name}", str(count), f"up to {MOST_TABLES}")
        for index in range(count):
            yield self.element(position + 4 * index, f"{noun} {index}")


def shown(name: str) -> str:
    """A name from the file as messages show it: quoted, on one line, not too long."""
    if len(name) > LONGEST_NAME_SHOWN:
        name = name[:LONGEST_NAME_SHOWN] + "..."
    return repr(name)
