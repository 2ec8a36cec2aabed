"""``.tflite`` bytes -> ``Graph``; whatever is wrong with a file ends in one ``ModelError``.

The flatbuffers runtime for Python has no verifier, so the tables are read here, with every offset
checked against the file before it is followed. Nothing recurses, and how much is read is limited,
so a crafted file can't cost more time and memory than a large honest one. Only the operators'
names come from the ``tflite`` package. Source of the layout: TensorFlow Lite's ``schema.fbs``;
flatbuffers never renumbers a field. Most of what is refused, TFLite refuses too when it loads or
prepares a model.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import numpy as np

from lapilli.errors import ModelError
from lapilli.model.graph import (
    DETECTION_POSTPROCESS,
    Activation,
    Addition,
    Constant,
    Convolution,
    Custom,
    Graph,
    Operator,
    Options,
    Padding,
    Quantization,
    Tensor,
)
from lapilli.model.option_fields import OPTION_TABLES, Kind

LARGEST_FILE: Final = 2**31 - 1
"""Bytes; flatbuffers' own limit."""
MOST_TABLES: Final = 1 << 14
"""Tensors, operators and operator codes a model may have, each."""
MOST_DIMENSIONS: Final = 16
LARGEST_EXTENT: Final = 2**31 - 1
"""Of a dimension, and of a tensor's number of elements."""
READ_LIMIT: Final = 32 << 20
"""Bytes of names, shapes, scales and index lists (not of weights) that are read from one model.
Honest models have less than 1 MiB; crafted ones let every table point to the same long list."""

_IDENTIFIER: Final = b"TFL3"
_SCHEMA_VERSION: Final = 3
_CUSTOM: Final = 32
_LONGEST_NAME_SHOWN: Final = 80

_INT8: Final = struct.Struct("<b")
_UINT8: Final = struct.Struct("<B")
_UINT16: Final = struct.Struct("<H")
_INT32: Final = struct.Struct("<i")
_UINT32: Final = struct.Struct("<I")
_UINT64: Final = struct.Struct("<Q")

# In the order of their numbers. Listed here, as older ``tflite`` packages lack the last ones.
_TYPES: Final = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16"),
)
_NOT_NUMPY_TYPES: Final = frozenset({"string", "resource", "variant", "int4", "bfloat16"})
_NUMPY_TYPES: Final = frozenset(_TYPES) - _NOT_NUMPY_TYPES
_ACTIVATIONS: Final = (
    Activation.NONE,
    Activation.RELU,
    Activation.RELU_N1_TO_1,
    Activation.RELU6,
)
_PADDINGS: Final = (Padding.SAME, Padding.VALID)


class _Field(NamedTuple):
    """A field of a table: its number in the schema and its name for messages."""

    number: int
    name: str


class _Model:
    VERSION: Final = _Field(0, "version")
    OPERATOR_CODES: Final = _Field(1, "operator codes")
    SUBGRAPHS: Final = _Field(2, "subgraphs")
    BUFFERS: Final = _Field(4, "buffers")


class _OperatorCode:
    OLD_CODE: Final = _Field(0, "deprecated builtin code")
    CUSTOM: Final = _Field(1, "custom code")
    VERSION: Final = _Field(2, "version")
    CODE: Final = _Field(3, "builtin code")


class _Subgraph:
    TENSORS: Final = _Field(0, "tensors")
    INPUTS: Final = _Field(1, "inputs")
    OUTPUTS: Final = _Field(2, "outputs")
    OPERATORS: Final = _Field(3, "operators")


class _Tensor:
    SHAPE: Final = _Field(0, "shape")
    TYPE: Final = _Field(1, "type")
    BUFFER: Final = _Field(2, "buffer")
    NAME: Final = _Field(3, "name")
    QUANTIZATION: Final = _Field(4, "quantization")
    VARIABLE: Final = _Field(5, "is_variable")
    SPARSITY: Final = _Field(6, "sparsity")


class _Quantization:
    SCALE: Final = _Field(2, "scale")
    ZERO_POINT: Final = _Field(3, "zero point")
    AXIS: Final = _Field(6, "quantized dimension")


class _Buffer:
    DATA: Final = _Field(0, "data")
    OFFSET: Final = _Field(1, "offset")
    SIZE: Final = _Field(2, "size")


class _Operator:
    CODE: Final = _Field(0, "operator code")
    INPUTS: Final = _Field(1, "inputs")
    OUTPUTS: Final = _Field(2, "outputs")
    OPTIONS_TYPE: Final = _Field(3, "options type")
    OPTIONS: Final = _Field(4, "options")
    CUSTOM_OPTIONS: Final = _Field(5, "custom options")


class _ConvolutionOptions(NamedTuple):
    """Where CONV_2D and DEPTHWISE_CONV_2D keep their options; ``kind`` is the union's number."""

    kind: int
    activation: _Field
    dilation_columns: _Field
    dilation_rows: _Field
    padding: _Field = _Field(0, "padding")
    stride_columns: _Field = _Field(1, "stride of the columns")
    stride_rows: _Field = _Field(2, "stride of the rows")


_DEPTH_MULTIPLIER: Final = _Field(3, "depth multiplier")
_CONVOLUTIONS: Final = {
    "CONV_2D": _ConvolutionOptions(
        1,
        _Field(3, "activation"),
        _Field(4, "dilation of the columns"),
        _Field(5, "dilation of the rows"),
    ),
    "DEPTHWISE_CONV_2D": _ConvolutionOptions(
        2,
        _Field(4, "activation"),
        _Field(5, "dilation of the columns"),
        _Field(6, "dilation of the rows"),
    ),
}
_ADDITIONS: Final = {"ADD": 11, "SUB": 28}
"""Operators with the options of an addition, and the union's number for each."""
_ADDITION_ACTIVATION: Final = _Field(0, "activation")


class _File:
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


class _Table:
    """One flatbuffers table. Each method checks that what it reads lies inside the file.

    A field that is absent gives its default; ``where`` says in messages what the table describes.
    """

    __slots__ = ("file", "position", "size", "vtable", "vtable_size", "where")

    def __init__(self, file: _File, position: int, where: str) -> None:
        self.file = file
        self.position = position
        self.where = where
        if position + 4 > file.size:
            self.outside("the table", position)
        self.vtable = position - int(_INT32.unpack_from(file.data, position)[0])
        if not 0 <= self.vtable <= file.size - 4:
            self.outside("the table's field list", self.vtable)
        self.vtable_size = int(_UINT16.unpack_from(file.data, self.vtable)[0])
        self.size = int(_UINT16.unpack_from(file.data, self.vtable + 2)[0])
        if self.vtable + self.vtable_size > file.size:
            self.outside("the table's field list", self.vtable)
        if position + self.size > file.size:
            self.outside("the table", position)

    def outside(self, what: str, position: int) -> NoReturn:
        """Raise: ``what`` at byte ``position`` does not lie inside the file."""
        self.file.fail(
            self.where,
            f"{what} at byte {position}",
            f"bytes 0 to {self.file.size - 1}, the file is damaged or cut off",
        )

    def locate(self, field: _Field, width: int) -> int:
        """Position of the ``width`` bytes of a field, 0 if it is absent."""
        entry = 4 + 2 * field.number
        if entry + 2 > self.vtable_size:
            return 0
        offset = int(_UINT16.unpack_from(self.file.data, self.vtable + entry)[0])
        if offset == 0:
            return 0
        if offset + width > self.size:
            self.outside(f"the {field.name} beyond the table's end", self.position + offset)
        return self.position + offset

    def scalar(self, field: _Field, layout: struct.Struct, default: int = 0) -> int:
        """A number of fixed width."""
        position = self.locate(field, layout.size)
        if position == 0:
            return default
        return int(layout.unpack_from(self.file.data, position)[0])

    def follow(self, field: _Field) -> int:
        """Position of the table, string or vector a field refers to, 0 if it is absent."""
        position = self.locate(field, 4)
        if position == 0:
            return 0
        target = position + int(_UINT32.unpack_from(self.file.data, position)[0])
        if target + 4 > self.file.size:
            self.outside(f"the {field.name}", target)
        return target

    def vector(self, field: _Field, width: int) -> tuple[int, int]:
        """(position of the first, number) of a vector's elements of ``width`` bytes each."""
        position = self.follow(field)
        if position == 0:
            return 0, 0
        count = int(_UINT32.unpack_from(self.file.data, position)[0])
        position += 4
        if count * width > self.file.size - position:
            self.file.fail(
                f"{self.where}: {field.name}",
                f"{count} elements of {width} bytes at byte {position}",
                f"what fits into the file's {self.file.size} bytes, it is damaged or cut off",
            )
        return position, count

    def numbers(self, field: _Field, dtype: str) -> tuple[int, ...]:
        """A vector of numbers; ``dtype`` in NumPy's short form, as in ``<i4``."""
        width = int(dtype[2:])
        position, count = self.vector(field, width)
        if count == 0:
            return ()
        self.file.spend(count * width, f"{self.where}: {field.name}")
        return tuple(np.frombuffer(self.file.data, dtype, count, position).tolist())

    def floats(self, field: _Field) -> tuple[float, ...]:
        """A vector of single-precision numbers."""
        return tuple(float(value) for value in self.numbers(field, "<f4"))

    def bytes(self, field: _Field) -> bytes:
        """A vector of bytes, copied."""
        position, count = self.vector(field, 1)
        self.file.spend(count, f"{self.where}: {field.name}")
        return self.file.data[position : position + count]

    def text(self, field: _Field) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        position, count = self.vector(field, 1)
        self.file.spend(count, f"{self.where}: {field.name}")
        return self.file.data[position : position + count].decode(errors="replace")

    def table(self, field: _Field) -> _Table | None:
        """The table a field refers to."""
        position = self.follow(field)
        return _Table(self.file, position, self.where) if position else None

    def element(self, position: int, where: str) -> _Table:
        """The table that the element at ``position`` of a vector of tables refers to."""
        target = position + int(_UINT32.unpack_from(self.file.data, position)[0])
        return _Table(self.file, target, where)

    def elements(self, field: _Field, noun: str) -> Iterator[_Table]:
        """The tables of a vector, each described as ``noun`` and its index."""
        position, count = self.vector(field, 4)
        if count > MOST_TABLES:
            self.file.fail(f"{self.where}: {field.name}", str(count), f"up to {MOST_TABLES}")
        for index in range(count):
            yield self.element(position + 4 * index, f"{noun} {index}")


def _operator_names() -> dict[int, str]:
    # Imported when a model is read: the package imports each of its 180 modules.
    from tflite.BuiltinOperator import BuiltinOperator

    return {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}


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
            _check_start(_File(start, str(path)))
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
    file = _File(data, source or name)
    _check_start(file)
    position = int(_UINT32.unpack_from(data, 0)[0])
    model = _Table(file, position, "model")
    version = model.scalar(_Model.VERSION, _UINT32)
    if version != _SCHEMA_VERSION:
        file.fail("model", f"schema version {version}", f"version {_SCHEMA_VERSION}")
    position, count = model.vector(_Model.SUBGRAPHS, 4)
    if count == 0:
        file.fail("model", "no subgraph", "at least one")
    main = model.element(position, "main subgraph")
    codes = _read_codes(model)
    tensors, variables = _read_tensors(model, main)
    operators = _read_operators(main, codes, tensors)
    inputs = _read_indices(main, _Subgraph.INPUTS, len(tensors), optional=False)
    outputs = _read_indices(main, _Subgraph.OUTPUTS, len(tensors), optional=False)
    graph = Graph(name, tensors, operators, inputs, outputs)
    _check_order(file, graph, variables)
    return graph


def _check_start(file: _File) -> None:
    """Raise unless the file has the identifier of a TFLite model."""
    if file.size < 8:
        file.fail("", f"{file.size} bytes", "a TFLite model, whose bytes 4 to 7 are 'TFL3'")
    identifier = file.data[4:8]
    if identifier != _IDENTIFIER:
        file.fail("", f"{identifier!r} in bytes 4 to 7", "'TFL3', a TFLite model")


def _read_codes(model: _Table) -> tuple[tuple[str, int], ...]:
    """(kind, version) of each operator code."""
    names = _operator_names()
    codes = []
    for table in model.elements(_Model.OPERATOR_CODES, "operator code"):
        # Files from before code 127 have the first field only, later ones both.
        code = max(
            table.scalar(_OperatorCode.CODE, _INT32), table.scalar(_OperatorCode.OLD_CODE, _INT8)
        )
        if code < 0:
            table.file.fail(table.where, f"number {code}", "0 and above")
        kind = names.get(code, f"UNKNOWN_{code}")
        if code == _CUSTOM:
            custom = table.text(_OperatorCode.CUSTOM)
            if not custom:
                table.file.fail(table.where, "a custom operator without a name", "a name")
            kind = f"CUSTOM:{custom}"
        codes.append((kind, table.scalar(_OperatorCode.VERSION, _INT32, 1)))
    return tuple(codes)


def _shown(name: str) -> str:
    """A name from the file as messages show it: quoted, on one line, not too long."""
    if len(name) > _LONGEST_NAME_SHOWN:
        name = name[:_LONGEST_NAME_SHOWN] + "..."
    return repr(name)


def _read_tensors(model: _Table, main: _Table) -> tuple[tuple[Tensor, ...], frozenset[int]]:
    """The tensors, and the indices of those that keep their values between runs."""
    buffers = model.vector(_Model.BUFFERS, 4)
    tensors = []
    variables = []
    for index, table in enumerate(main.elements(_Subgraph.TENSORS, "tensor")):
        name = table.text(_Tensor.NAME)
        table.where += f" {_shown(name)}"
        number = table.scalar(_Tensor.TYPE, _INT8)
        if number < 0:
            table.file.fail(table.where, f"type number {number}", "0 and above")
        dtype = _TYPES[number] if number < len(_TYPES) else f"unknown_{number}"
        shape = _read_shape(table)
        if table.follow(_Tensor.SPARSITY):
            table.file.fail(table.where, "a sparse tensor", "dense tensors")
        if table.scalar(_Tensor.VARIABLE, _UINT8):
            variables.append(index)
        quantization = _read_quantization(table, shape, dtype)
        data = _read_constant(model, buffers, table, shape, dtype)
        tensors.append(Tensor(index, name, shape, dtype, quantization, data))
    return tuple(tensors), frozenset(variables)


def _read_shape(tensor: _Table) -> tuple[int, ...]:
    _, rank = tensor.vector(_Tensor.SHAPE, 4)
    if rank > MOST_DIMENSIONS:
        tensor.file.fail(tensor.where, f"{rank} dimensions", f"up to {MOST_DIMENSIONS}")
    shape = tensor.numbers(_Tensor.SHAPE, "<i4")
    if min(shape, default=0) < 0 or math.prod(shape) > LARGEST_EXTENT:
        tensor.file.fail(
            tensor.where,
            f"shape {list(shape)}",
            f"extents of 0 and above, up to {LARGEST_EXTENT} elements",
        )
    return shape


def _read_quantization(tensor: _Table, shape: tuple[int, ...], dtype: str) -> Quantization | None:
    """The affine quantisation; None without scales, as for TFLite."""
    table = tensor.table(_Tensor.QUANTIZATION)
    if table is None:
        return None
    file, where = tensor.file, tensor.where
    scales = table.floats(_Quantization.SCALE)
    if not scales:
        return None
    zero_points = table.numbers(_Quantization.ZERO_POINT, "<i8")
    if len(zero_points) != len(scales):
        counts = f"{len(scales)} scales and {len(zero_points)} zero points"
        file.fail(where, counts, "as many zero points as scales")
    axis = table.scalar(_Quantization.AXIS, _INT32)
    if axis < 0 or (shape and axis >= len(shape)):
        file.fail(where, f"quantized dimension {axis}", f"one of the {len(shape)} dimensions")
    if len(scales) > 1 and (not shape or len(scales) != shape[axis]):
        allowed = f"1 or dimension {axis} of shape {list(shape)}"
        file.fail(where, f"{len(scales)} scales", allowed)
    if dtype in ("uint8", "int8", "int16", "int32"):
        limits = np.iinfo(dtype)
        for value in (min(zero_points), max(zero_points)):
            if not limits.min <= value <= limits.max:
                allowed = f"{limits.min} to {limits.max} for {dtype}"
                file.fail(where, f"zero point {value}", allowed)
    return Quantization(scales, zero_points, axis)


def _read_constant(
    model: _Table, buffers: tuple[int, int], tensor: _Table, shape: tuple[int, ...], dtype: str
) -> Constant | None:
    """The tensor's values as a read-only view of the file, None if it is no constant."""
    file, where = tensor.file, tensor.where
    start, count = buffers
    index = tensor.scalar(_Tensor.BUFFER, _UINT32)
    if index == 0:  # by convention the buffer that stays empty
        return None
    if index >= count:
        file.fail(where, f"buffer {index}", f"the model's {count} buffers")
    buffer = model.element(start + 4 * index, f"{where}: buffer {index}")
    # 1 is what TFLite writes before it knows the place.
    if buffer.scalar(_Buffer.OFFSET, _UINT64) > 1 or buffer.scalar(_Buffer.SIZE, _UINT64) > 1:
        file.fail(buffer.where, "data behind the model, as above 2 GB", "data inside the model")
    position, size = buffer.vector(_Buffer.DATA, 1)
    if size == 0:
        return None
    if tensor.scalar(_Tensor.VARIABLE, _UINT8):
        file.fail(where, "a variable with constant data", "one or the other")
    elements = math.prod(shape)
    expected = _byte_size(elements, dtype)
    if expected is not None and expected != size:
        allowed = f"{expected} bytes for shape {list(shape)} of {dtype}"
        file.fail(buffer.where, f"{size} bytes", allowed)
    if dtype not in _NUMPY_TYPES:
        return _view(file, "uint8", size, position)
    return _view(file, dtype, elements, position).reshape(shape)


def _byte_size(elements: int, dtype: str) -> int | None:
    """Bytes that so many elements take; None for types without a fixed size, as strings."""
    if dtype in _NUMPY_TYPES:
        return elements * np.dtype(dtype).itemsize
    if dtype == "int4":
        return (elements + 1) // 2
    return 2 * elements if dtype == "bfloat16" else None


def _view(file: _File, dtype: str, count: int, position: int) -> Constant:
    little_endian = np.dtype(dtype).newbyteorder("<")
    values: Constant = np.frombuffer(file.data, little_endian, count, position)
    values.flags.writeable = False
    return values


def _read_indices(table: _Table, field: _Field, count: int, *, optional: bool) -> tuple[int, ...]:
    """A list of tensor indices; ``optional``: -1 stands for an absent tensor."""
    indices = table.numbers(field, "<i4")
    lowest = -1 if optional else 0
    if indices and (min(indices) < lowest or max(indices) >= count):
        bad = next(index for index in indices if not lowest <= index < count)
        allowed = f"0 to {count - 1}" + (", or -1 if absent" if optional else "")
        table.file.fail(f"{table.where}: {field.name}", f"tensor {bad}", allowed)
    return indices


def _read_operators(
    main: _Table, codes: tuple[tuple[str, int], ...], tensors: tuple[Tensor, ...]
) -> tuple[Operator, ...]:
    operators = []
    for index, table in enumerate(main.elements(_Subgraph.OPERATORS, "operator")):
        code = table.scalar(_Operator.CODE, _UINT32)
        if code >= len(codes):
            table.file.fail(table.where, f"operator code {code}", f"the model's {len(codes)} codes")
        kind, version = codes[code]
        table.where += f" {kind}" if not kind.startswith("CUSTOM:") else f" {_shown(kind)}"
        operator = Operator(
            index,
            kind,
            _read_indices(table, _Operator.INPUTS, len(tensors), optional=True),
            _read_indices(table, _Operator.OUTPUTS, len(tensors), optional=False),
            version=version,
        )
        options: Options = None
        if kind in _CONVOLUTIONS:
            options = _read_convolution(table, operator, tensors)
        elif kind in _ADDITIONS:
            options = _read_addition(table, operator, tensors)
        elif kind in OPTION_TABLES:
            options = _read_plain(table, kind)
        elif kind == DETECTION_POSTPROCESS:
            options = Custom(table.bytes(_Operator.CUSTOM_OPTIONS))
        operators.append(operator if options is None else replace(operator, options=options))
    return tuple(operators)


def _read_options(operator: _Table, kind: int) -> _Table | None:
    """The options, which must be of union member ``kind``; None if there are none."""
    found = operator.scalar(_Operator.OPTIONS_TYPE, _UINT8)
    if found == 0:
        return None
    if found != kind:
        operator.file.fail(operator.where, f"options type {found}", f"type {kind} or none")
    return operator.table(_Operator.OPTIONS)


def _read_plain(table: _Table, kind: str) -> Options:
    """Options of an operator whose tensors are left to who computes with them; None if it has
    none."""
    declared = OPTION_TABLES[kind]
    options = _read_options(table, declared.union)
    if options is None:
        return None
    values: dict[str, object] = {}
    for declaration in declared.fields:
        field = _Field(declaration.number, declaration.name)
        if declaration.kind is Kind.ACTIVATION:
            values[declaration.attribute] = _read_activation(options, field)
        elif declaration.kind is Kind.PADDING:
            values[declaration.attribute] = _read_padding(options, field)
        elif declaration.kind is Kind.BOOL:
            values[declaration.attribute] = bool(options.scalar(field, _UINT8))
        else:
            layout = _INT8 if declaration.kind is Kind.BYTE else _INT32
            values[declaration.attribute] = options.scalar(field, layout)
    return declared.make(**values)


def _read_padding(options: _Table, field: _Field) -> Padding:
    padding = options.scalar(field, _INT8)
    if not 0 <= padding < len(_PADDINGS):
        options.file.fail(options.where, f"padding {padding}", "0 (SAME) or 1 (VALID)")
    return _PADDINGS[padding]


def _read_activation(options: _Table, field: _Field) -> Activation:
    number = options.scalar(field, _INT8)
    return _ACTIVATIONS[number] if 0 <= number < len(_ACTIVATIONS) else Activation.OTHER


def _read_convolution(
    table: _Table, operator: Operator, tensors: tuple[Tensor, ...]
) -> Convolution:
    """Options of CONV_2D and DEPTHWISE_CONV_2D, checked against the operator's tensors."""
    file, where = table.file, table.where
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    fields = _CONVOLUTIONS[operator.kind]
    options = _read_options(table, fields.kind)
    if options is None:
        # TFLite would take the schema's defaults, and the default stride is 0.
        file.fail(where, "no options", f"options of type {fields.kind} with a stride above 0")

    def positive(field: _Field, default: int) -> int:
        value = options.scalar(field, _INT32, default)
        if value < 1:
            file.fail(where, f"{field.name} {value}", "1 and above")
        return value

    padding = _read_padding(options, fields.padding)
    if depthwise:
        positive(_DEPTH_MULTIPLIER, 0)
    convolution = Convolution(
        padding,
        positive(fields.stride_rows, 0),
        positive(fields.stride_columns, 0),
        positive(fields.dilation_rows, 1),
        positive(fields.dilation_columns, 1),
        _read_activation(options, fields.activation),
    )
    image, kernel, result, bias = _convolution_tensors(file, where, operator, tensors)
    _check_channels(file, where, image, kernel, result, bias, depthwise=depthwise)
    _check_window(file, where, convolution, image, kernel, result, depthwise=depthwise)
    if not depthwise:
        return convolution
    # As TFLite since 2.1: the shapes count, whatever the option says.
    return replace(convolution, depth_multiplier=kernel.shape[3] // image.shape[3])


def _convolution_tensors(
    file: _File, where: str, operator: Operator, tensors: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Input, kernel, output and bias (None if absent)."""
    count = len(operator.inputs)
    if count not in (2, 3) or len(operator.outputs) != 1 or -1 in operator.inputs[:2]:
        found = f"inputs {_some(operator.inputs)} and outputs {_some(operator.outputs)}"
        file.fail(where, found, "input, kernel and optional bias; one output")
    bias = operator.inputs[2] if count == 3 else -1
    main = [tensors[i] for i in (*operator.inputs[:2], operator.outputs[0])]
    for tensor in main:
        if len(tensor.shape) != 4 or 0 in tensor.shape:
            found = f"shape {list(tensor.shape)} of {_described(tensor)}"
            file.fail(where, found, "four dimensions, none of them 0")
    used = main if bias < 0 else [*main, tensors[bias]]
    _check_scales(file, where, used)
    return main[0], main[1], main[2], tensors[bias] if bias >= 0 else None


def _some(indices: Sequence[int]) -> str:
    """A list of indices that may be long."""
    return str(list(indices)) if len(indices) <= 8 else f"{len(indices)} tensors"


def _described(tensor: Tensor) -> str:
    return f"tensor {tensor.index} {_shown(tensor.name)}"


def _check_scales(file: _File, where: str, tensors: Sequence[Tensor]) -> None:
    """Raise for a scale that can't be computed with; other operators' may be anything."""
    for tensor in tensors:
        if tensor.quantization is None or tensor.dtype.startswith("float"):
            continue
        scales = tensor.quantization.scales
        # Many operators may share one tensor with many scales.
        file.spend(4 * len(scales), where)
        for scale in scales:
            if not 0 < scale < math.inf:
                file.fail(where, f"scale {scale} of {_described(tensor)}", "finite, above 0")


def _check_channels(
    file: _File,
    where: str,
    image: Tensor,
    kernel: Tensor,
    result: Tensor,
    bias: Tensor | None,
    *,
    depthwise: bool,
) -> None:
    """Raise unless the numbers of channels of a convolution's tensors fit one another."""
    axis = 3 if depthwise else 0
    channels = kernel.shape[axis]
    if depthwise:
        fits = kernel.shape[0] == 1 and channels % image.shape[3] == 0
    else:
        fits = image.shape[3] % kernel.shape[3] == 0
    if not fits:
        found = f"kernel {list(kernel.shape)} for {image.shape[3]} input channels"
        allowed = "a kernel [1, rows, columns, whole multiple of the input channels]"
        if not depthwise:
            allowed = "a kernel [outputs, rows, columns, input channels or a divisor of them]"
        file.fail(where, found, allowed)
    if result.shape[3] != channels:
        file.fail(where, f"{result.shape[3]} output channels", f"the kernel's {channels}")
    if bias is not None and bias.size != channels:
        file.fail(where, f"{bias.size} values of bias", f"one for each of {channels} channels")
    scales = kernel.quantization
    if scales is not None and len(scales.scales) > 1 and scales.axis != axis:
        file.fail(where, f"scales along dimension {scales.axis} of the kernel", f"{axis}")


def _check_window(
    file: _File,
    where: str,
    options: Convolution,
    image: Tensor,
    kernel: Tensor,
    result: Tensor,
    *,
    depthwise: bool,
) -> None:
    """Raise unless a convolution's output has the shape that its options give."""
    rows = (image.shape[1], kernel.shape[1], options.stride_rows, options.dilation_rows)
    columns = (image.shape[2], kernel.shape[2], options.stride_columns, options.dilation_columns)
    expected = [image.shape[0]]
    for extent, size, stride, dilation in (rows, columns):
        lost = (size - 1) * dilation if options.padding is Padding.VALID else 0
        expected.append(max(0, -(-(extent - lost) // stride)))
    if list(result.shape[:3]) != expected:
        file.fail(
            where,
            f"output {list(result.shape[:3])} (batch, rows, columns)",
            f"{expected}, as input {list(image.shape)}, kernel {list(kernel.shape)}, "
            f"{options.padding.value} padding, stride and dilation give",
        )


def _read_addition(table: _Table, operator: Operator, tensors: tuple[Tensor, ...]) -> Addition:
    """Options of ADD and SUB, checked against the operator's tensors."""
    file, where = table.file, table.where
    if len(operator.inputs) != 2 or -1 in operator.inputs or len(operator.outputs) != 1:
        found = f"inputs {_some(operator.inputs)} and outputs {_some(operator.outputs)}"
        file.fail(where, found, "two inputs, one output")
    first, second, result = (tensors[i] for i in (*operator.inputs, *operator.outputs))
    _check_scales(file, where, (first, second, result))
    rank = max(len(first.shape), len(second.shape))
    expected = []
    for one, other in zip(_padded(first.shape, rank), _padded(second.shape, rank), strict=True):
        if one != other and 1 not in (one, other):
            found = f"inputs of shape {list(first.shape)} and {list(second.shape)}"
            file.fail(where, found, "shapes that are equal or broadcast")
        expected.append(other if one == 1 else one)
    if list(result.shape) != expected:
        file.fail(where, f"output of shape {list(result.shape)}", f"{expected}")
    options = _read_options(table, _ADDITIONS[operator.kind])
    return Addition(_read_activation(options, _ADDITION_ACTIVATION)) if options else Addition()


def _padded(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


def _check_order(file: _File, graph: Graph, variables: frozenset[int]) -> None:
    """Raise unless the operators can run in their order, each tensor written once at most."""
    # TFLite gives tensors without elements no data, so nobody writes them.
    ready = {t.index for t in graph.tensors if t.data is not None or t.size == 0}
    written = {t.index for t in graph.tensors if t.data is not None} | set(graph.inputs)
    ready.update(variables, graph.inputs)
    ready.add(-1)
    for operator in graph.operators:
        where = f"operator {operator.index} {_shown(operator.kind)}"
        for index in operator.inputs:
            if index not in ready:
                found = f"input {_described(graph.tensors[index])}, which nothing has written"
                file.fail(
                    where, found, "constants, graph inputs, variables, outputs of operators before"
                )
        for index in operator.outputs:
            if index in written:
                found = f"output {_described(graph.tensors[index])}, which has a value already"
                file.fail(where, found, "a tensor nothing else writes")
            written.add(index)
            ready.add(index)
    for index in graph.outputs:
        if index not in ready:
            found = f"output {_described(graph.tensors[index])}, which nothing has written"
            file.fail("graph", found, "tensors that an operator writes, or its inputs")
