"""What the reader finds in models that are well formed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite as schema
from models import ModelBuilder
from numpy.typing import NDArray
from shared_data import shared_data
from work import counted_bytes, counted_calls

from lapilli.model import tflite
from lapilli.model.graph import Activation, Addition, Convolution, Graph, Operator, Padding, Tensor

MOBILENET = "mobilenet_v1_1.0_224_quant.tflite"
SMALL_MOBILENET = "mobilenet_v1_0.25_128_quant.tflite"
DETECTOR = "ssdlite_mobiledet_coco_qat_postprocess.tflite"


@cache
def graph(name: str) -> Graph:
    return tflite.load(shared_data() / "models" / name)


def kinds(name: str) -> dict[str, int]:
    found = [operator.kind for operator in graph(name).operators]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_mobilenet_is_read() -> None:
    model = graph(MOBILENET)
    assert model.name == MOBILENET
    assert len(model.tensors) == 89
    assert kinds(MOBILENET) == {
        "CONV_2D": 15,
        "DEPTHWISE_CONV_2D": 13,
        "AVERAGE_POOL_2D": 1,
        "RESHAPE": 1,
        "SOFTMAX": 1,
    }
    (first, last) = (model.tensors[i] for i in (*model.inputs, *model.outputs))
    assert (first.shape, first.dtype) == ((1, 224, 224, 3), "uint8")
    assert (last.shape, last.dtype) == ((1, 1001), "uint8")
    assert first.quantization is not None
    assert first.quantization.scale == 0.0078125
    assert first.quantization.zero_point == 128
    assert not first.quantization.per_channel


def test_mobilenets_first_convolution_is_read() -> None:
    model = graph(MOBILENET)
    operator = model.operators[0]
    assert operator.options == Convolution(Padding.SAME, 2, 2)
    kernel, bias = (model.tensors[i] for i in operator.inputs[1:])
    assert (kernel.shape, kernel.dtype) == ((32, 3, 3, 3), "uint8")
    assert (bias.shape, bias.dtype) == ((32,), "int32")
    assert kernel.data is not None
    assert kernel.data.shape == kernel.shape
    assert model.tensors[operator.inputs[0]].data is None


def test_the_detectors_custom_operator_has_its_name_and_four_outputs() -> None:
    model = graph(DETECTOR)
    assert model.operators[-1].kind == "CUSTOM:TFLite_Detection_PostProcess"
    assert model.operators[-1].outputs == model.outputs == (325, 326, 327, 328)
    assert kinds(DETECTOR)["ADD"] == 15


def test_weights_with_a_scale_for_each_channel_have_their_axis() -> None:
    model = graph("tf2_mobilenet_v2_1.0_224_ptq.tflite")
    axes = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
    convolutions = [operator for operator in model.operators if operator.kind in axes]
    assert len(convolutions) > 50
    for operator in convolutions:
        kernel = model.tensors[operator.inputs[1]]
        assert kernel.quantization is not None
        assert kernel.quantization.per_channel
        assert kernel.quantization.axis == axes[operator.kind]
        assert len(kernel.quantization.scales) == kernel.shape[kernel.quantization.axis]


def test_dilation_is_read() -> None:
    dilations = {
        (operator.options.dilation_rows, operator.options.dilation_columns)
        for operator in graph("deeplabv3_mnv2_dm05_pascal_quant.tflite").operators
        if isinstance(operator.options, Convolution)
    }
    assert dilations == {(1, 1), (2, 2)}


def every_model() -> list[Path]:
    return sorted((shared_data() / "models").rglob("*.tflite"))


def test_every_model_reads_as_the_generated_classes_read_it() -> None:
    paths = every_model()
    assert len(paths) > 100
    for path in paths:
        data = path.read_bytes()
        model = schema.Model.GetRootAs(data)
        read = tflite.load(path)
        main = model.Subgraphs(0)
        assert len(read.tensors) == main.TensorsLength()
        assert len(read.operators) == main.OperatorsLength()
        assert list(read.inputs) == main.InputsAsNumpy().tolist()
        assert list(read.outputs) == main.OutputsAsNumpy().tolist()
        for index in range(main.TensorsLength()):
            compare_tensor(model, main.Tensors(index), read, index)
        for index in range(main.OperatorsLength()):
            compare_operator(main.Operators(index), read, index)


def compare_tensor(model: Any, tensor: Any, read: Graph, index: int) -> None:
    found = read.tensors[index]
    assert found.index == index
    assert found.name == tensor.Name().decode()
    assert list(found.shape) == np.ravel(tensor.ShapeAsNumpy()).tolist()[: tensor.ShapeLength()]
    assert getattr(schema.TensorType, found.dtype.upper()) == tensor.Type()
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        assert found.quantization is None
    else:
        assert found.quantization is not None
        assert list(found.quantization.scales) == quantization.ScaleAsNumpy().tolist()
        assert list(found.quantization.zero_points) == quantization.ZeroPointAsNumpy().tolist()
        assert found.quantization.axis == quantization.QuantizedDimension()
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() == 0:
        assert found.data is None
    else:
        assert found.data is not None
        assert found.data.tobytes() == buffer.DataAsNumpy().tobytes()


def compare_operator(operator: Any, read: Graph, index: int) -> None:
    found = read.operators[index]
    assert found.index == index
    assert list(found.inputs) == operator.InputsAsNumpy().tolist()
    assert list(found.outputs) == operator.OutputsAsNumpy().tolist()
    tables = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}
    if not isinstance(found.options, Convolution):
        assert isinstance(found.options, Addition) == (found.kind in ("ADD", "SUB"))
        return
    options = getattr(schema, tables[found.kind])()
    table = operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    assert getattr(schema.Padding, found.options.padding.value) == options.Padding()
    assert found.options.stride_rows == options.StrideH()
    assert found.options.stride_columns == options.StrideW()
    assert found.options.dilation_rows == options.DilationHFactor()
    assert found.options.dilation_columns == options.DilationWFactor()
    activations = {0: Activation.NONE, 1: Activation.RELU, 3: Activation.RELU6}
    assert found.options.activation == activations[options.FusedActivationFunction()]
    if found.kind == "DEPTHWISE_CONV_2D":
        assert found.options.depth_multiplier == options.DepthMultiplier()


def test_the_digest_is_the_files_sha256() -> None:
    assert tflite.digest(b"abc").startswith("ba7816bf8f01cfea")


def test_reading_copies_no_weights_and_looks_at_none() -> None:
    """Two models of one form, the second with eight times the weights."""
    taken = []
    for name in (SMALL_MOBILENET, MOBILENET):
        data = tflite.read_file(shared_data() / "models" / name)
        with counted_calls() as calls:
            graph = tflite.parse(data, name)
        with counted_bytes() as allocated:
            tflite.parse(data, name)
        assert allocated.peak_bytes < 5000 * len(graph.operators)
        taken.append(calls.calls)
    small, large = taken
    assert large < 1.1 * small
    assert large < 1000 * len(graph.operators)


def test_importing_the_reader_imports_no_schema() -> None:
    code = "import sys, lapilli.model.tflite; print('tflite' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.strip() == b"False"


def two_convolutions(description: str = "", dtype: str = "uint8") -> tuple[ModelBuilder, int]:
    """A model with every option different from its default, and its output."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder(dtype)
    builder.description += description
    zero_point = 100 if dtype == "uint8" else 0
    around = (zero_point - 60, zero_point + 80)
    image = builder.input((1, 9, 11, 2), 0.02, 3)
    weights = rng.integers(*around, (4, 3, 3, 2)).astype(dtype)
    bias = rng.integers(-99, 99, 4)
    scales: Any = 0.01 if dtype == "uint8" else [0.01, 0.02, 0.03, 0.04]
    first = builder.conv(
        image, weights, bias, scales, zero_point, 0.05, 9,
        stride=(1, 2), padding="VALID", activation="RELU6",
    )  # fmt: skip
    weights = rng.integers(*around, (1, 3, 2, 8)).astype(dtype)
    second = builder.depthwise(
        first, weights, rng.integers(-99, 99, 8), 0.01, zero_point, 0.05, 9,
        dilation=(2, 1), activation="RELU",
    )  # fmt: skip
    return builder, builder.add(second, second, 0.1, 9, activation="RELU_N1_TO_1")


def test_every_option_is_read() -> None:
    builder, output = two_convolutions()
    read = tflite.parse(builder.build([output]), "small")
    assert [operator.options for operator in read.operators] == [
        Convolution(Padding.VALID, 1, 2, 1, 1, Activation.RELU6),
        Convolution(Padding.SAME, 1, 1, 2, 1, Activation.RELU, 2),
        Addition(Activation.RELU_N1_TO_1),
    ]
    assert [operator.version for operator in read.operators] == [1, 2, 1]
    assert read.operators[2].inputs == (read.operators[1].outputs[0],) * 2


def test_an_activation_no_rule_knows_is_other() -> None:
    builder = ModelBuilder()
    image = builder.input((1, 2))
    output = builder.add(image, image, 1.0, 0, activation="TANH")
    read = tflite.parse(builder.build([output]), "small")
    assert read.operators[0].options == Addition(Activation.OTHER)


def test_constants_are_read_only_views_wherever_they_lie() -> None:
    builder, output = two_convolutions()
    original = builder.build([output])
    root = int.from_bytes(original[:4], "little")
    expected = None
    for shift in range(16):
        # Every other offset in the file is relative.
        data = (root + shift).to_bytes(4, "little") + original[4:8] + bytes(shift) + original[8:]
        start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        constants = [t.data for t in tflite.parse(data, "small").tensors if t.data is not None]
        expected = expected or [constant.tolist() for constant in constants]
        assert [constant.tolist() for constant in constants] == expected
        for constant in constants:
            position = constant.__array_interface__["data"][0] - start
            assert 0 <= position < len(data)
            assert not constant.flags.writeable


def test_types_without_a_numpy_name_keep_tflites_and_their_raw_bytes() -> None:
    builder = ModelBuilder()
    values = np.arange(3, dtype=np.uint8)
    kernel = builder.tensor((5,), data=values)
    builder.tensors[kernel].dtype = 17  # older tflite packages lack the name
    text = builder.tensor((1,), dtype="string", data=values)
    read = tflite.parse(builder.build([kernel, text]), "small")
    assert [tensor.dtype for tensor in read.tensors] == ["int4", "string"]
    for tensor in read.tensors:
        assert tensor.data is not None
        assert tensor.data.tolist() == [0, 1, 2]


def test_of_several_subgraphs_the_first_is_read_and_control_flow_is_a_kind() -> None:
    builder = ModelBuilder()
    condition = builder.input((1,), None, dtype="bool")
    output = builder.tensor((1,))
    builder.operator("IF", [condition], [output])
    builder.subgraphs = 3
    read = tflite.parse(builder.build([output]), "small")
    assert [operator.kind for operator in read.operators] == ["IF"]


def test_operators_above_127_and_unknown_ones_have_a_kind() -> None:
    builder = ModelBuilder()
    image = builder.input((1,))
    for kind in ("HARD_SWISH", "GELU", 2000):
        builder.operator(kind, [image], [builder.tensor((1,))])
    read = tflite.parse(builder.build([]), "small")
    assert [operator.kind for operator in read.operators] == ["HARD_SWISH", "GELU", "UNKNOWN_2000"]


def real(tensor: Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """What stored values stand for; channels last but for a convolution's kernel."""
    assert tensor.quantization is not None
    quantization = tensor.quantization
    shape = [1] * values.ndim
    shape[quantization.axis] = -1
    scales = np.array(quantization.scales).reshape(shape)
    return np.asarray(scales * (values - np.array(quantization.zero_points).reshape(shape)))


def convolved(
    image: NDArray[Any], kernel: NDArray[Any], options: Convolution, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """The convolution in real numbers; ``kernel`` is [rows, columns, inputs, outputs]."""
    steps = (options.stride_rows, options.stride_columns)
    gaps = (options.dilation_rows, options.dilation_columns)
    border = [(0, 0)]
    for i in range(2):
        reach = (shape[1 + i] - 1) * steps[i] + (kernel.shape[i] - 1) * gaps[i] + 1
        missing = max(0, reach - image.shape[1 + i])
        border.append((missing // 2, missing - missing // 2))
    image = np.pad(image, [*border, (0, 0)])
    result = np.zeros(shape)
    for row, column in np.ndindex(kernel.shape[:2]):
        rows = row * gaps[0] + np.arange(shape[1]) * steps[0]
        columns = column * gaps[1] + np.arange(shape[2]) * steps[1]
        result += image[:, rows][:, :, columns] @ kernel[row, column]
    return result


def expected(graph: Graph, operator: Operator, values: dict[int, NDArray[Any]]) -> NDArray[Any]:
    """A convolution's stored output, computed from LiteRT's values of its inputs."""
    options = operator.options
    assert isinstance(options, Convolution)
    known = {tensor.index: tensor.data for tensor in graph.tensors if tensor.data is not None}
    known.update(values)
    image, kernel, bias = (real(graph.tensors[i], known[i]) for i in operator.inputs)
    if operator.kind == "DEPTHWISE_CONV_2D":
        spread = np.repeat(np.eye(image.shape[3]), options.depth_multiplier, axis=1)
        kernel = kernel[0][:, :, None, :] * spread
    else:
        kernel = kernel.transpose(1, 2, 3, 0)
    output = graph.tensors[operator.outputs[0]]
    result = convolved(image, kernel, options, output.shape) + bias
    limits = {Activation.RELU: np.inf, Activation.RELU6: 6.0}
    result = np.clip(result, 0, limits[options.activation])
    assert output.quantization is not None
    stored = np.round(result / output.quantization.scale) + output.quantization.zero_point
    return np.clip(stored, np.iinfo(output.dtype).min, np.iinfo(output.dtype).max)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_litert_computes_what_the_builder_was_told(dtype: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    builder, output = two_convolutions(dtype=dtype)
    read = tflite.parse(builder.build([output]), "small")
    outputs = [operator.outputs[0] for operator in read.operators]
    interpreter = litert.Interpreter(
        model_content=builder.build(outputs),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    values = {0: rng.integers(0, 100, read.tensors[0].shape).astype(dtype)}
    interpreter.set_tensor(0, values[0])
    interpreter.invoke()
    values.update({index: interpreter.get_tensor(index) for index in outputs})
    for operator in read.operators[:2]:
        computed = values[operator.outputs[0]]
        assert len(np.unique(computed)) > 20
        assert np.abs(computed - expected(read, operator, values)).max() <= 1
    assert values[output].shape == read.tensors[output].shape
