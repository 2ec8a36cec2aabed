"""The tensors of a ``.tflite``: shapes, types, quantisation, and constants as views of the file."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from lapilli.model.flatbuffer import (
    INT8,
    INT32,
    PLACEHOLDER,
    UINT8,
    UINT32,
    UINT64,
    Field,
    File,
    Table,
    shown,
)
from lapilli.model.graph import Constant, Quantization, Tensor
from lapilli.model.limits import LARGEST_EXTENT, MOST_DIMENSIONS

# In the order of their numbers. Listed here, as older ``tflite`` packages lack the last ones.
TYPES: Final = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16"),
)
_NOT_NUMPY_TYPES: Final = frozenset({"string", "resource", "variant", "int4", "bfloat16"})
_NUMPY_TYPES: Final = frozenset(TYPES) - _NOT_NUMPY_TYPES


SPARSE: Final = "sparse"
"""In front of a type: the constant's bytes are not its elements in their order."""
_BUFFERS: Final = Field(4, "buffers")
_TENSORS: Final = Field(0, "tensors")


class _Fields:
    """Fields of a tensor."""

    SHAPE: Final = Field(0, "shape")
    TYPE: Final = Field(1, "type")
    BUFFER: Final = Field(2, "buffer")
    NAME: Final = Field(3, "name")
    QUANTIZATION: Final = Field(4, "quantization")
    VARIABLE: Final = Field(5, "is_variable")
    SPARSITY: Final = Field(6, "sparsity")


class _Quantization:
    SCALE: Final = Field(2, "scale")
    ZERO_POINT: Final = Field(3, "zero point")
    AXIS: Final = Field(6, "quantized dimension")


class _Buffer:
    DATA: Final = Field(0, "data")
    OFFSET: Final = Field(1, "offset")
    SIZE: Final = Field(2, "size")


def read_tensors(model: Table, main: Table) -> tuple[tuple[Tensor, ...], frozenset[int]]:
    """The tensors, and the indices of those that keep their values between runs."""
    buffers = model.vector(_BUFFERS, 4)
    tensors = []
    variables = []
    for index, table in enumerate(main.elements(_TENSORS, "tensor")):
        name = table.text(_Fields.NAME)
        table.where += f" {shown(name)}"
        number = table.scalar(_Fields.TYPE, INT8)
        if number < 0:
            table.fail(f"type number {number}", "0 and above")
        dtype = TYPES[number] if number < len(TYPES) else f"unknown_{number}"
        shape = _read_shape(table)
        sparse = bool(table.follow(_Fields.SPARSITY))
        if table.scalar(_Fields.VARIABLE, UINT8):
            variables.append(index)
        quantization = _read_quantization(table, shape, dtype)
        if sparse:
            # Stored in a way of its own, which LiteRT undoes for the operators that can't do it.
            dtype = f"{SPARSE} {dtype}"
        data = _read_constant(model, buffers, table, shape, dtype)
        tensors.append(Tensor(index, name, shape, dtype, quantization, data))
    return tuple(tensors), frozenset(variables)


def _read_shape(tensor: Table) -> tuple[int, ...]:
    _, rank = tensor.vector(_Fields.SHAPE, 4)
    if rank > MOST_DIMENSIONS:
        tensor.fail(f"{rank} dimensions", f"up to {MOST_DIMENSIONS}")
    shape = tensor.numbers(_Fields.SHAPE, "<i4")
    if min(shape, default=0) < 0 or math.prod(shape) > LARGEST_EXTENT:
        tensor.fail(
            f"shape {list(shape)}",
            f"extents of 0 and above, up to {LARGEST_EXTENT} elements",
        )
    return shape


def _read_quantization(tensor: Table, shape: tuple[int, ...], dtype: str) -> Quantization | None:
    """The affine quantisation; None without scales, as for TFLite."""
    table = tensor.table(_Fields.QUANTIZATION)
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
    axis = table.scalar(_Quantization.AXIS, INT32)
    if len(shape) == 1:
        # Old converters wrote the weights' dimension for the bias; there is only one it can be.
        axis = 0
    if axis < 0 or (shape and axis >= len(shape)):
        file.fail(where, f"quantized dimension {axis}", f"one of the {len(shape)} dimensions")
    if len(scales) > 1 and shape and len(scales) != shape[axis]:
        allowed = f"1 or dimension {axis} of shape {list(shape)}"
        file.fail(where, f"{len(scales)} scales", allowed)
    # TFLite has 32 bits of what the file has 64 of. Whether they suit the type, the rules decide.
    narrowed = np.array(zero_points, np.int64).astype(np.int32)
    return Quantization(scales, tuple(narrowed.tolist()), axis)


def _read_constant(
    model: Table, buffers: tuple[int, int], tensor: Table, shape: tuple[int, ...], dtype: str
) -> Constant | None:
    """The tensor's values as a read-only view of the file, None if it is no constant."""
    file, where = tensor.file, tensor.where
    start, count = buffers
    index = tensor.scalar(_Fields.BUFFER, UINT32)
    if index == 0:  # by convention the buffer that stays empty
        return None
    if index >= count:
        file.fail(where, f"buffer {index}", f"the model's {count} buffers")
    buffer = model.element(start + 4 * index, f"{where}: buffer {index}")
    position, size = _place(buffer)
    if size == 0:
        return None
    if tensor.scalar(_Fields.VARIABLE, UINT8):
        file.fail(where, "a variable with constant data", "one or the other")
    elements = math.prod(shape)
    expected = _byte_size(elements, dtype)
    if expected is not None and expected > size:
        allowed = f"{expected} bytes for shape {list(shape)} of {dtype}"
        file.fail(buffer.where, f"{size} bytes", allowed)
    if dtype not in _NUMPY_TYPES:
        return _view(file, "uint8", size, position)
    return _view(file, dtype, elements, position).reshape(shape)


def _place(buffer: Table) -> tuple[int, int]:
    """(position in the file, bytes) of a buffer's data: in its table, or where offset and size say,
    which is mostly behind the flatbuffer."""
    position, size = buffer.vector(_Buffer.DATA, 1)
    offset = buffer.scalar(_Buffer.OFFSET, UINT64)
    far = buffer.scalar(_Buffer.SIZE, UINT64)
    if size or offset <= PLACEHOLDER or far <= PLACEHOLDER:
        return position, size
    return buffer.far(offset, far, "data"), far


def _byte_size(elements: int, dtype: str) -> int | None:
    """Bytes that so many elements take; None for types without a fixed size, as strings."""
    if dtype in _NUMPY_TYPES:
        return elements * np.dtype(dtype).itemsize
    if dtype == "int4":
        return (elements + 1) // 2
    return 2 * elements if dtype == "bfloat16" else None


def _view(file: File, dtype: str, count: int, position: int) -> Constant:
    little_endian = np.dtype(dtype).newbyteorder("<")
    values: Constant = np.frombuffer(file.data, little_endian, count, position)
    values.flags.writeable = False
    return values
