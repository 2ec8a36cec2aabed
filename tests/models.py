"""Builds small quantised ``.tflite`` models: any wiring of convolutions, additions and others.

    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    first = builder.conv(image, weights, bias, 0.01, 120, scale=0.05, zero_point=3, stride=2)
    second = builder.depthwise(first, weights2, None, 0.01, 120, scale=0.05, zero_point=3)
    data = builder.build([builder.add(first, second, scale=0.1, zero_point=5)])

Each method appends tensors and one operator and returns the index of the output tensor, which may
be used any number of times. Nothing is written before ``build``, and ``build`` can be called
again: until then ``tensors``, ``operators`` and the attributes are plain lists and values that a
test may change, also into what no valid model has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Pair = int | tuple[int, int]
Scale = float | Sequence[float]
ZeroPoint = int | Sequence[int]


@dataclass
class TensorSpec:
    """A tensor as it will be written. ``None`` leaves the field out.

    ``buffer`` overrides the buffer's index; ``data_offset`` and ``data_size`` say where data lie
    behind the model.
    ``dtype`` is TFLite's name in lower case, or a number.
    """

    name: str | None
    shape: Sequence[int] | None
    dtype: str | int
    scales: Sequence[float] | None = None
    zero_points: Sequence[int] | None = None
    axis: int = 0
    data: bytes | None = None
    variable: bool = False
    sparse: bool = False
    buffer: int | None = None
    data_offset: int = 0
    data_size: int = 0


@dataclass
class OperatorSpec:
    """An operator as it will be written. ``kind`` is TFLite's name, ``CUSTOM:<name>`` or a number.

    ``options`` is the name of the options' table, as ``Conv2DOptions``, and its fields by the
    schema's names in camel case, lists as lists; None leaves the table out. ``code_index``
    overrides the index of the operator code, ``options_type`` the union's type. ``custom_options``
    are the bytes a custom operator is given.
    """

    kind: str | int
    inputs: Sequence[int] | None
    outputs: Sequence[int] | None
    options: tuple[str, dict[str, Any]] | None = None
    version: int = 1
    code_index: int | None = None
    options_type: int | None = None
    custom_options: bytes | None = None


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,)


def convolved_extent(extent: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Rows or columns of a convolution's output."""
    lost = (kernel - 1) * dilation if padding == "VALID" else 0
    return -(-(extent - lost) // stride)


class ModelBuilder:
    """See the module's text. ``dtype`` (``uint8`` or ``int8``) is that of all activations."""

    def __init__(self, dtype: str = "uint8") -> None:
        self.dtype = dtype
        self.tensors: list[TensorSpec] = []
        self.operators: list[OperatorSpec] = []
        self.inputs: list[int] = []
        self.description = "made for a test"
        """A longer one moves everything in the file."""
        self.version = 3
        self.metadata: bytes | None = None
        """TFLite metadata, as ``metadata_writer`` makes them."""
        self.signature: str | None = None
        """A signature's name; its inputs and outputs are called like their tensors."""
        self.subgraphs = 1
        """How often the graph is listed."""
        self.tensor_repeats = 1
        """How often the list of tensors is repeated, without its being larger in the file."""

    def tensor(
        self,
        shape: Sequence[int],
        scale: Scale | None = None,
        zero_point: ZeroPoint = 0,
        *,
        name: str = "",
        dtype: str | None = None,
        data: NDArray[Any] | None = None,
        axis: int = 0,
        variable: bool = False,
    ) -> int:
        """Any tensor; a constant if there is ``data``. ``scale`` may be a list along ``axis``, then
        a single ``zero_point`` counts for all."""
        scales = None if scale is None else _several(scale)
        zero_points = None if scales is None else _several(zero_point)
        if scales is not None and zero_points is not None and len(zero_points) == 1:
            zero_points *= len(scales)
        index = len(self.tensors)
        self.tensors.append(
            TensorSpec(
                name or f"tensor{index}",
                tuple(int(extent) for extent in shape),
                dtype or self.dtype,
                scales,
                zero_points,
                axis,
                None if data is None else np.ascontiguousarray(data).tobytes(),
                variable,
            )
        )
        return index

    def constant(
        self,
        data: NDArray[Any],
        scale: Scale | None = None,
        zero_point: ZeroPoint = 0,
        *,
        name: str = "",
        axis: int = 0,
    ) -> int:
        """A constant of the array's shape and type."""
        return self.tensor(
            data.shape, scale, zero_point, name=name, dtype=data.dtype.name, data=data, axis=axis
        )

    def input(
        self,
        shape: Sequence[int],
        scale: Scale | None = 1.0,
        zero_point: int = 0,
        *,
        name: str = "",
        dtype: str | None = None,
    ) -> int:
        """A graph input, NHWC for images."""
        index = self.tensor(shape, scale, zero_point, name=name or "input", dtype=dtype)
        self.inputs.append(index)
        return index

    def operator(
        self,
        kind: str | int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: tuple[str, dict[str, Any]] | None = None,
        version: int = 1,
    ) -> OperatorSpec:
        """Any operator, between tensors that exist."""
        spec = OperatorSpec(kind, list(inputs), list(outputs), options, version)
        self.operators.append(spec)
        return spec

    def conv(
        self,
        x: int,
        weights: NDArray[Any],
        bias: NDArray[Any] | None,
        weight_scale: Scale,
        weight_zero_point: ZeroPoint,
        scale: float,
        zero_point: int,
        *,
        stride: Pair = 1,
        padding: str = "SAME",
        dilation: Pair = 1,
        activation: str = "NONE",
        name: str = "",
    ) -> int:
        """CONV_2D. ``weights``: [outputs, rows, columns, inputs] of uint8 or int8; ``bias``: int32
        or None; a list of weight scales is per output channel; ``scale`` and ``zero_point`` are
        the output's; pairs are (rows, columns)."""
        return self._convolution(
            "CONV_2D",
            x,
            weights,
            bias,
            (weight_scale, weight_zero_point),
            (scale, zero_point),
            _pair(stride),
            padding,
            _pair(dilation),
            activation,
            name,
            {},
        )

    def depthwise(
        self,
        x: int,
        weights: NDArray[Any],
        bias: NDArray[Any] | None,
        weight_scale: Scale,
        weight_zero_point: ZeroPoint,
        scale: float,
        zero_point: int,
        *,
        stride: Pair = 1,
        padding: str = "SAME",
        dilation: Pair = 1,
        activation: str = "NONE",
        name: str = "",
    ) -> int:
        """DEPTHWISE_CONV_2D. ``weights``: [1, rows, columns, inputs * depth multiplier]; the rest
        as for ``conv``."""
        channels = self._shape(x)[3]
        options = {"DepthMultiplier": weights.shape[3] // channels}
        return self._convolution(
            "DEPTHWISE_CONV_2D",
            x,
            weights,
            bias,
            (weight_scale, weight_zero_point),
            (scale, zero_point),
            _pair(stride),
            padding,
            _pair(dilation),
            activation,
            name,
            options,
        )

    def add(
        self,
        a: int,
        b: int,
        scale: float,
        zero_point: int,
        *,
        activation: str = "NONE",
        name: str = "",
    ) -> int:
        """ADD of two tensors, which may be the same; shapes broadcast."""
        shape = np.broadcast_shapes(self._shape(a), self._shape(b))
        result = self.tensor(shape, scale, zero_point, name=name)
        code = getattr(tflite.ActivationFunctionType, activation)
        options = ("AddOptions", {"FusedActivationFunction": code})
        self.operator("ADD", [a, b], [result], options, 2 if self.dtype == "int8" else 1)
        return result

    def subtract(
        self,
        a: int,
        b: int,
        scale: float,
        zero_point: int,
        *,
        activation: str = "NONE",
        name: str = "",
    ) -> int:
        """SUB of two tensors, which may be the same; shapes broadcast."""
        shape = np.broadcast_shapes(self._shape(a), self._shape(b))
        result = self.tensor(shape, scale, zero_point, name=name)
        code = getattr(tflite.ActivationFunctionType, activation)
        options = ("SubOptions", {"FusedActivationFunction": code})
        self.operator("SUB", [a, b], [result], options, 2 if self.dtype == "int8" else 1)
        return result

    def _shape(self, index: int) -> tuple[int, ...]:
        shape = self.tensors[index].shape
        assert shape is not None
        return tuple(shape)

    def _convolution(
        self,
        kind: str,
        x: int,
        weights: NDArray[Any],
        bias: NDArray[Any] | None,
        weight_quantization: tuple[Scale, ZeroPoint],
        quantization: tuple[float, int],
        stride: tuple[int, int],
        padding: str,
        dilation: tuple[int, int],
        activation: str,
        name: str,
        options: Mapping[str, int],
    ) -> int:
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        image = self._shape(x)
        name = name or f"{kind.lower()}{len(self.operators)}"
        inputs = [
            x,
            self.constant(weights, *weight_quantization, name=f"{name}/weights", axis=axis),
        ]
        if bias is not None:
            input_scale = (self.tensors[x].scales or (1.0,))[0]
            scales = [input_scale * scale for scale in _several(weight_quantization[0])]
            inputs.append(self.constant(bias.astype(np.int32), scales, name=f"{name}/bias"))
        rows, columns = (
            convolved_extent(image[1 + i], weights.shape[1 + i], stride[i], dilation[i], padding)
            for i in range(2)
        )
        shape = (image[0], rows, columns, weights.shape[axis])
        result = self.tensor(shape, *quantization, name=name)
        fields = {
            "Padding": getattr(tflite.Padding, padding),
            "StrideH": stride[0],
            "StrideW": stride[1],
            "DilationHFactor": dilation[0],
            "DilationWFactor": dilation[1],
            "FusedActivationFunction": getattr(tflite.ActivationFunctionType, activation),
            **options,
        }
        table = "DepthwiseConv2DOptions" if axis == 3 else "Conv2DOptions"
        # Versions as TFLite's converter gives them: LiteRT refuses a wrong one.
        per_channel = 3 if weights.dtype == np.int8 else 1
        dilated = 2 if axis == 3 and dilation != (1, 1) else 1
        self.operator(kind, inputs, [result], (table, fields), max(per_channel, dilated))
        return result

    def build(self, outputs: Sequence[int]) -> bytes:
        """The model's bytes; ``outputs`` become the graph's outputs, in this order."""
        return _Writer(self).model(outputs)


class _Writer:
    """Writes what a builder holds with flatbuffers' functions."""

    def __init__(self, builder: ModelBuilder) -> None:
        self.source = builder
        self.out = flatbuffers.Builder(1024)
        self.codes: list[tuple[str | int, int]] = []

    def model(self, outputs: Sequence[int]) -> bytes:
        description = self.out.CreateString(self.source.description)
        buffers = self._buffers()
        graph = self._subgraph(outputs)
        graphs = self._tables("ModelStartSubgraphsVector", [graph] * self.source.subgraphs)
        codes = self._tables(
            "ModelStartOperatorCodesVector", [self._code(*code) for code in self.codes]
        )
        fields = {
            "Version": self.source.version,
            "OperatorCodes": codes,
            "Subgraphs": graphs,
            "Description": description,
            "Buffers": buffers,
            "Metadata": self._metadata(),
            "SignatureDefs": self._signatures(outputs),
        }
        self.out.Finish(self._table("Model", fields), b"TFL3")
        return bytes(self.out.Output())

    def _metadata(self) -> int | None:
        """The list of metadata: one entry, which names the last buffer."""
        if self.source.metadata is None:
            return None
        name = self.out.CreateString("TFLITE_METADATA")
        buffer = len(self.source.tensors) + 1
        entry = self._table("Metadata", {"Name": name, "Buffer": buffer})
        return self._tables("ModelStartMetadataVector", [entry])

    def _signatures(self, outputs: Sequence[int]) -> int | None:
        """The list of signatures: one of the graph's inputs and outputs, named as their tensors."""
        if self.source.signature is None:
            return None
        maps = [
            self._tables(f"SignatureDefStart{side}Vector", [self._named(i) for i in indices])
            for side, indices in (("Inputs", self.source.inputs), ("Outputs", outputs))
        ]
        key = self.out.CreateString(self.source.signature)
        fields = {"Inputs": maps[0], "Outputs": maps[1], "SignatureKey": key, "SubgraphIndex": 0}
        return self._tables("ModelStartSignatureDefsVector", [self._table("SignatureDef", fields)])

    def _named(self, tensor: int) -> int:
        name = self.out.CreateString(str(self.source.tensors[tensor].name))
        return self._table("TensorMap", {"Name": name, "TensorIndex": tensor})

    def _table(self, table: str, fields: Mapping[str, Any]) -> int:
        """A table; fields that are None are left out."""
        getattr(tflite, f"{table}Start")(self.out)
        for name, value in fields.items():
            if value is not None:
                getattr(tflite, f"{table}Add{name}")(self.out, value)
        return int(getattr(tflite, f"{table}End")(self.out))

    def _tables(self, start: str, tables: Sequence[int]) -> int:
        getattr(tflite, start)(self.out, len(tables))
        for table in reversed(tables):
            self.out.PrependUOffsetTRelative(table)
        return int(self.out.EndVector())

    def _array(self, values: Sequence[Any] | NDArray[Any] | None, dtype: str) -> int | None:
        if values is None:
            return None
        if len(values) == 0:  # CreateNumpyVector can't
            self.out.StartVector(4, 0, 4)
            return int(self.out.EndVector())
        return int(self.out.CreateNumpyVector(np.array(values, dtype=dtype)))

    def _buffers(self) -> int:
        """Buffer 0 is empty by convention; tensor i has buffer i + 1."""
        tables = [self._table("Buffer", {})]
        for tensor in self.source.tensors:
            data = None
            if tensor.data is not None:
                data = self._array(np.frombuffer(tensor.data, np.uint8), "uint8")
            # By hand: older tflite packages don't know the last two fields.
            self.out.StartObject(3)
            if data is not None:
                self.out.PrependUOffsetTRelativeSlot(0, data, 0)
            self.out.PrependUint64Slot(1, tensor.data_offset, 0)
            self.out.PrependUint64Slot(2, tensor.data_size, 0)
            tables.append(self.out.EndObject())
        if self.source.metadata is not None:
            data = self._array(np.frombuffer(self.source.metadata, np.uint8), "uint8")
            tables.append(self._table("Buffer", {"Data": data}))
        return self._tables("ModelStartBuffersVector", tables)

    def _subgraph(self, outputs: Sequence[int]) -> int:
        tensors = [self._tensor(*item) for item in enumerate(self.source.tensors)]
        tensors *= self.source.tensor_repeats
        operators = [self._operator(spec) for spec in self.source.operators]
        fields = {
            "Tensors": self._tables("SubGraphStartTensorsVector", tensors),
            "Inputs": self._array(self.source.inputs, "int32"),
            "Outputs": self._array(outputs, "int32"),
            "Operators": self._tables("SubGraphStartOperatorsVector", operators),
        }
        return self._table("SubGraph", fields)

    def _tensor(self, index: int, spec: TensorSpec) -> int:
        quantization = None
        if spec.scales is not None or spec.zero_points is not None:
            fields = {
                "Scale": self._array(spec.scales, "float32"),
                "ZeroPoint": self._array(spec.zero_points, "int64"),
                "QuantizedDimension": spec.axis,
            }
            quantization = self._table("QuantizationParameters", fields)
        dtype = spec.dtype
        fields = {
            "Name": None if spec.name is None else self.out.CreateString(spec.name),
            "Shape": self._array(spec.shape, "int32"),
            "Sparsity": self._table("SparsityParameters", {}) if spec.sparse else None,
            "Type": getattr(tflite.TensorType, dtype.upper()) if isinstance(dtype, str) else dtype,
            "Buffer": index + 1 if spec.buffer is None else spec.buffer,
            "IsVariable": spec.variable or None,
            "Quantization": quantization,
        }
        return self._table("Tensor", fields)

    def _operator(self, spec: OperatorSpec) -> int:
        code = (spec.kind, spec.version)
        if code not in self.codes:
            self.codes.append(code)
        options = None if spec.options is None else self._options(*spec.options)
        kind = spec.options_type
        if kind is None and spec.options is not None:
            kind = getattr(tflite.BuiltinOptions, spec.options[0])
        custom = spec.custom_options
        fields = {
            "OpcodeIndex": self.codes.index(code) if spec.code_index is None else spec.code_index,
            "Inputs": self._array(spec.inputs, "int32"),
            "Outputs": self._array(spec.outputs, "int32"),
            "BuiltinOptionsType": kind,
            "BuiltinOptions": options,
            "CustomOptions": None
            if custom is None
            else self._array(np.frombuffer(custom, np.uint8), "uint8"),
        }
        return self._table("Operator", fields)

    def _options(self, table: str, fields: Mapping[str, Any]) -> int:
        """A table of options; lists of numbers become vectors, which have to come first."""
        written = {
            name: self._array(value, "int32") if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return self._table(table, written)

    def _code(self, kind: str | int, version: int) -> int:
        custom = None
        if isinstance(kind, str) and kind.startswith("CUSTOM"):
            name = kind.partition(":")[2]
            custom = self.out.CreateString(name) if name else None
            kind = "CUSTOM"
        number = getattr(tflite.BuiltinOperator, kind) if isinstance(kind, str) else kind
        fields = {
            "DeprecatedBuiltinCode": max(-128, min(number, 127)),
            "CustomCode": custom,
            "Version": version,
            "BuiltinCode": number,
        }
        return self._table("OperatorCode", fields)
