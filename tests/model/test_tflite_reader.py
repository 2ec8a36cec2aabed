"""What the reader finds in models that are well formed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tflite as schema
from models import ModelBuilder
from shared_data import shared_data
from small_model import two_convolutions
from work import counted_bytes, counted_calls

from lapilli.model import tflite
from lapilli.model.graph import Activation, Addition, Convolution, Graph, Padding

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
