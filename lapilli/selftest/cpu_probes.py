"""Models that ask one thing of the CPU many times over, written as .tflite files.

Each is int8, as present converters make them, with as much work in an operator as in the models
that people have, but for the one that is about what an operator takes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

_SCALE = 0.02
_WEIGHT_SCALE = 0.005


@dataclass(frozen=True)
class Probe:
    """A ``model`` that does ``work`` (MACs or bytes, 0 for nothing but operators), in as many
    ``operators``. ``rate``: the field of ``CpuRates`` that it measures."""

    rate: str
    model: bytes
    work: float
    operators: int


@dataclass
class _File:
    """Tensors and operators as they come; written at once at the end."""

    tensors: list[tuple[Sequence[int], int, float | None, NDArray[Any] | None]] = field(
        default_factory=list
    )
    operators: list[tuple[str, Sequence[int], int, str, Mapping[str, int]]] = field(
        default_factory=list
    )

    def tensor(self, shape: Sequence[int]) -> int:
        self.tensors.append((tuple(shape), tflite.TensorType.INT8, _SCALE, None))
        return len(self.tensors) - 1

    def weights(self, shape: Sequence[int]) -> int:
        data = np.random.default_rng(len(self.tensors)).integers(-127, 128, shape).astype(np.int8)
        self.tensors.append((tuple(shape), tflite.TensorType.INT8, _WEIGHT_SCALE, data))
        return len(self.tensors) - 1

    def bias(self, channels: int) -> int:
        data = np.zeros(channels, np.int32)
        scale = _SCALE * _WEIGHT_SCALE
        self.tensors.append(((channels,), tflite.TensorType.INT32, scale, data))
        return len(self.tensors) - 1

    def add(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: Mapping[str, int]
    ) -> int:
        """Append an operator of TFLite's ``kind``; its output."""
        output = self.tensor(shape)
        table = _OPTIONS[kind]
        self.operators.append((kind, tuple(inputs), output, table, options))
        return output

    def written(self, outputs: Sequence[int]) -> bytes:
        return _Writer().model(self, outputs)


_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "CONCATENATION": "ConcatenationOptions",
}
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}
"""Of an operator that takes int8; 2 for the others."""


class _Writer:
    """Writes a file by the schema's functions."""

    def __init__(self) -> None:
        self.out = flatbuffers.Builder(1 << 16)

    def model(self, file: _File, outputs: Sequence[int]) -> bytes:
        """``outputs``: tensors; the first tensor is the input."""
        buffers = [self.table("Buffer", {})]
        buffers += [self.buffer(data) for _, _, _, data in file.tensors]
        kinds = list(dict.fromkeys(kind for kind, *_ in file.operators))
        tensors = [self.tensor(i, *tensor) for i, tensor in enumerate(file.tensors)]
        operators = [
            self.operator(kinds.index(kind), inputs, output, table, options)
            for kind, inputs, output, table, options in file.operators
        ]
        graph = self.table(
            "SubGraph",
            {
                "Tensors": self.tables(tensors),
                "Inputs": self.numbers([0]),
                "Outputs": self.numbers(outputs),
                "Operators": self.tables(operators),
            },
        )
        codes = [self.code(kind) for kind in kinds]
        fields = {
            "Version": 3,
            "OperatorCodes": self.tables(codes),
            "Subgraphs": self.tables([graph]),
            "Buffers": self.tables(buffers),
        }
        self.out.Finish(self.table("Model", fields), b"TFL3")
        return bytes(self.out.Output())

    def table(self, name: str, fields: Mapping[str, Any]) -> int:
        getattr(tflite, f"{name}Start")(self.out)
        for key, value in fields.items():
            getattr(tflite, f"{name}Add{key}")(self.out, value)
        return int(getattr(tflite, f"{name}End")(self.out))

    def tables(self, offsets: Sequence[int]) -> int:
        self.out.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.out.PrependUOffsetTRelative(offset)
        return int(self.out.EndVector())

    def numbers(self, values: Sequence[int]) -> int:
        return int(self.out.CreateNumpyVector(np.array(values, np.int32)))

    def buffer(self, data: NDArray[Any] | None) -> int:
        if data is None:
            return self.table("Buffer", {})
        content = data.tobytes()
        self.out.Prep(16, len(content))  # the schema wants a multiple of 16
        return self.table("Buffer", {"Data": self.out.CreateByteVector(content)})

    def tensor(
        self,
        index: int,
        shape: Sequence[int],
        dtype: int,
        scale: float | None,
        data: NDArray[Any] | None,
    ) -> int:
        scales = self.out.CreateNumpyVector(np.array([scale], np.float32))
        zeros = self.out.CreateNumpyVector(np.zeros(1, np.int64))
        quantization = self.table("QuantizationParameters", {"Scale": scales, "ZeroPoint": zeros})
        name, extents = self.out.CreateString(f"tensor{index}"), self.numbers(shape)
        fields = {
            "Shape": extents,
            "Type": dtype,
            "Buffer": index + 1,
            "Name": name,
            "Quantization": quantization,
        }
        return self.table("Tensor", fields)

    def operator(
        self,
        code: int,
        inputs: Sequence[int],
        output: int,
        table: str,
        options: Mapping[str, int],
    ) -> int:
        fields = {
            "OpcodeIndex": code,
            "Inputs": self.numbers(inputs),
            "Outputs": self.numbers([output]),
            "BuiltinOptionsType": getattr(tflite.BuiltinOptions, table),
            "BuiltinOptions": self.table(table, options),
        }
        return self.table("Operator", fields)

    def code(self, kind: str) -> int:
        number = getattr(tflite.BuiltinOperator, kind)
        version = _VERSIONS.get(kind, 2)
        fields = {"DeprecatedBuiltinCode": number, "BuiltinCode": number, "Version": version}
        return self.table("OperatorCode", fields)


_SAME = {"Padding": tflite.Padding.SAME, "StrideH": 1, "StrideW": 1}


def convolutions(side: int = 28, channels: int = 128, count: int = 4) -> Probe:
    """3x3 kernels."""
    file = _File()
    shape = (1, side, side, channels)
    x = file.tensor(shape)
    for _ in range(count):
        weights = file.weights((channels, 3, 3, channels))
        x = file.add("CONV_2D", (x, weights, file.bias(channels)), shape, _SAME)
    work = count * side * side * 9 * channels * channels
    return Probe("convolution_macs", file.written([x]), work, count)


def depthwise(side: int = 56, channels: int = 128, count: int = 6) -> Probe:
    """3x3 kernels."""
    file = _File()
    shape = (1, side, side, channels)
    x = file.tensor(shape)
    options = _SAME | {"DepthMultiplier": 1}
    for _ in range(count):
        weights = file.weights((1, 3, 3, channels))
        x = file.add("DEPTHWISE_CONV_2D", (x, weights, file.bias(channels)), shape, options)
    return Probe("depthwise_macs", file.written([x]), count * side * side * 9 * channels, count)


def fully_connected(channels: int = 2048, count: int = 3) -> Probe:
    """More weights than caches hold."""
    file = _File()
    x = file.tensor((1, channels))
    for _ in range(count):
        weights = file.weights((channels, channels))
        x = file.add("FULLY_CONNECTED", (x, weights, file.bias(channels)), (1, channels), {})
    return Probe("fully_connected_macs", file.written([x]), count * channels * channels, count)


def additions(side: int = 112, channels: int = 32, count: int = 8) -> Probe:
    """Two bytes read for each written."""
    file = _File()
    shape = (1, side, side, channels)
    first = x = file.tensor(shape)
    for _ in range(count):
        x = file.add("ADD", (x, first), shape, {})
    return Probe("computed_bytes", file.written([x]), 3 * count * side * side * channels, count)


def joins(side: int = 112, channels: int = 32, count: int = 8) -> Probe:
    """Along the channels, so that pixel by pixel is copied."""
    file = _File()
    x = file.tensor((1, side, side, channels))
    wide = (1, side, side, 2 * channels)
    outputs = [file.add("CONCATENATION", (x, x), wide, {"Axis": 3}) for _ in range(count)]
    work = 4 * count * side * side * channels
    return Probe("moved_bytes", file.written(outputs), work, count)


def small_operators(count: int = 100) -> Probe:
    """Of next to no work."""
    file = _File()
    first = x = file.tensor((1, 1, 1, 8))
    for _ in range(count):
        x = file.add("ADD", (x, first), (1, 1, 1, 8), {})
    return Probe("operator_seconds", file.written([x]), 0, count)


PROBES = (small_operators, convolutions, depthwise, fully_connected, additions, joins)
"""What an operator takes by itself comes first: it is taken off the others' times."""
