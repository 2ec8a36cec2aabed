"""Twins of models: uint8 tensors as int8, bytes and zero points 128 less, or the other way."""

from __future__ import annotations

import struct

import tflite

TYPE_FIELD, ZERO_POINT_FIELD, DATA_FIELD = 6, 10, 4
"""Offsets in the vtables of a tensor, its quantisation and a buffer."""
MIDDLE = 128


def int8_twin(model: bytes) -> bytes:
    """The .tflite with its uint8 tensors as int8."""
    return _twin(model, tflite.TensorType.UINT8, tflite.TensorType.INT8, -MIDDLE)


def uint8_twin(model: bytes) -> bytes:
    """The .tflite with its int8 tensors as uint8."""
    return _twin(model, tflite.TensorType.INT8, tflite.TensorType.UINT8, MIDDLE)


def _twin(model: bytes, before: int, after: int, more: int) -> bytes:
    """Types, zero points and constants are changed where they lie."""
    data = bytearray(model)
    root = tflite.Model.GetRootAsModel(data, 0)
    constants = set()
    for subgraph in map(root.Subgraphs, range(root.SubgraphsLength())):
        for tensor in map(subgraph.Tensors, range(subgraph.TensorsLength())):
            if tensor.Type() != before:
                continue
            table = tensor._tab
            data[table.Pos + table.Offset(TYPE_FIELD)] = after
            constants.add(tensor.Buffer())
            quantization = tensor.Quantization()
            if quantization is not None and quantization.ZeroPointLength():
                inner = quantization._tab
                start = inner.Vector(inner.Offset(ZERO_POINT_FIELD))
                for i in range(quantization.ZeroPointLength()):
                    at = start + 8 * i
                    (point,) = struct.unpack_from("<q", data, at)
                    struct.pack_into("<q", data, at, point + more)
    for number in constants:
        buffer = root.Buffers(number)
        if buffer.DataLength():
            start = buffer._tab.Vector(buffer._tab.Offset(DATA_FIELD))
            for at in range(start, start + buffer.DataLength()):
                data[at] ^= MIDDLE
    return bytes(data)
