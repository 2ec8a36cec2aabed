"""The sample model "digits": what it holds, that LiteRT runs it well, that it can be re-made.

The weights come from ``python tools/make_digits_model.py``. Training is not repeated here: its
last bits depend on the numpy build. The writer is, from the arrays of the file itself.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tflite
from places import PACKAGE, REPOSITORY

DATA = PACKAGE / "data"
WANTED_ACCURACY = 0.97
WANTED_OPERATORS = {
    tflite.BuiltinOperator.CONV_2D: 6,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: 2,
    tflite.BuiltinOperator.ADD: 1,
    tflite.BuiltinOperator.RESHAPE: 1,
    tflite.BuiltinOperator.SOFTMAX: 1,
}
ARRAY_TYPES: dict[int, np.dtype[Any]] = {
    tflite.TensorType.UINT8: np.dtype("u1"),
    tflite.TensorType.INT32: np.dtype("<i4"),
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script, loaded as a module (``tools`` is no package)."""
    name = "make_digits_model"
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def content() -> bytes:
    """The bytes of the model's file."""
    return (DATA / "digits.tflite").read_bytes()


@pytest.fixture(scope="module")
def model(content: bytes) -> Any:
    """The root table of the file."""
    assert content[4:8] == b"TFL3"
    return tflite.Model.GetRootAsModel(content, 0)


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    """Held-back images uint8 [N, 16, 16, 1] and labels uint8 [N]."""
    with np.load(DATA / "digits.npz", allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def read_tensor(maker: ModuleType, model: Any, tensor: Any) -> Any:
    """One tensor of the file in the form which the writer takes."""
    found = tensor.Quantization()
    quantisation = None
    if found is not None:
        quantisation = maker.Quantisation(float(found.Scale(0)), int(found.ZeroPoint(0)))
    shape = tuple(tensor.ShapeAsNumpy().tolist())
    data = None
    if tensor.Buffer():
        raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        data = np.frombuffer(raw, ARRAY_TYPES[tensor.Type()]).reshape(shape)
    return maker.Tensor(tensor.Name().decode(), shape, tensor.Type(), quantisation, data)


def read_tensors(maker: ModuleType, model: Any) -> list[Any]:
    """All tensors of the file in the form which the writer takes."""
    graph = model.Subgraphs(0)
    return [
        read_tensor(maker, model, graph.Tensors(index)) for index in range(graph.TensorsLength())
    ]


def operator_kinds(model: Any) -> list[int]:
    """The builtin codes of all operators in order."""
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    return [model.OperatorCodes(each.OpcodeIndex()).BuiltinCode() for each in operators]


def options_of(model: Any, kind: int, table: Any) -> list[Any]:
    """The option tables of all operators of one kind."""
    graph = model.Subgraphs(0)
    found = []
    for index, here in enumerate(operator_kinds(model)):
        if here == kind:
            options = table()
            union = graph.Operators(index).BuiltinOptions()
            options.Init(union.Bytes, union.Pos)
            found.append(options)
    return found


def test_operators(model: Any) -> None:
    """The operator set is the promised one, with both fields of the codes filled."""
    assert model.Version() == 3
    assert model.SubgraphsLength() == 1
    assert Counter(operator_kinds(model)) == WANTED_OPERATORS
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        assert code.DeprecatedBuiltinCode() == code.BuiltinCode()
        assert code.Version() == 1


def test_strides_and_activations(model: Any) -> None:
    """Both kinds of convolution occur with stride 1 and 2, and all three activations occur."""
    plain = options_of(model, tflite.BuiltinOperator.CONV_2D, tflite.Conv2DOptions)
    depthwise = options_of(
        model, tflite.BuiltinOperator.DEPTHWISE_CONV_2D, tflite.DepthwiseConv2DOptions
    )
    assert {each.StrideH() for each in plain} == {1, 2}
    assert [each.StrideH() for each in depthwise] == [1, 2]
    assert all(each.StrideH() == each.StrideW() for each in plain + depthwise)
    assert {each.FusedActivationFunction() for each in plain + depthwise} == {
        tflite.ActivationFunctionType.NONE,
        tflite.ActivationFunctionType.RELU,
        tflite.ActivationFunctionType.RELU6,
    }
    assert plain[-1].Padding() == tflite.Padding.VALID


def test_quantisation(maker: ModuleType, model: Any) -> None:
    """Bias scales are products, multipliers stay below 1, clamps are the ends of the range."""
    tensors = {tensor.name: tensor for tensor in read_tensors(maker, model)}
    for layer in maker.LAYERS:
        result = tensors[layer.name].quantisation
        if layer.activation == tflite.ActivationFunctionType.RELU6:
            assert result == maker.Quantisation(float(np.float32(6 / 255)), 0)
        if layer.activation == tflite.ActivationFunctionType.RELU:
            assert result.zero_point == 0
        if layer.kind == tflite.BuiltinOperator.ADD:
            continue
        source = tensors[layer.sources[0]].quantisation
        weights = tensors[f"{layer.name}/weights"].quantisation
        bias = tensors[f"{layer.name}/bias"].quantisation
        assert bias == maker.Quantisation(float(np.float32(source.scale * weights.scale)), 0)
        assert bias.scale / result.scale < 1
    assert tensors["probabilities"].quantisation == maker.Quantisation(1 / 256, 0)


def test_residual_has_equal_shapes(maker: ModuleType, model: Any) -> None:
    """The ADD needs no broadcast, and its sum has a zero point which padding must respect."""
    tensors = {tensor.name: tensor for tensor in read_tensors(maker, model)}
    (add,) = [layer for layer in maker.LAYERS if layer.kind == tflite.BuiltinOperator.ADD]
    assert {tensors[name].shape for name in (*add.sources, add.name)} == {(1, 8, 8, 24)}
    assert tensors[add.name].quantisation.zero_point > 0


def test_buffers_are_aligned(model: Any, content: bytes) -> None:
    """The schema wants the bytes of each buffer at a multiple of 16 within the file."""
    start = np.frombuffer(content, np.uint8).ctypes.data
    for index in range(1, model.BuffersLength()):
        assert (model.Buffers(index).DataAsNumpy().ctypes.data - start) % 16 == 0


def test_writer_repeats_the_file(maker: ModuleType, model: Any, content: bytes) -> None:
    """The arrays of the file give the file's bytes again, each time."""
    tensors = read_tensors(maker, model)
    assert maker.write_model(tensors) == content
    assert maker.write_model(tensors) == content


def test_quantiser_repeats(maker: ModuleType, samples: tuple[np.ndarray, np.ndarray]) -> None:
    """The same weights and images give the same bytes, through calibration as well."""
    parameters = maker.initial_parameters(np.random.default_rng(1))
    images = samples[0][:16]
    first = maker.write_model(maker.quantise(parameters, images))
    assert maker.write_model(maker.quantise(parameters, images)) == first


def test_gradients(maker: ModuleType, samples: tuple[np.ndarray, np.ndarray]) -> None:
    """The hand-written gradients agree with differences, in float64, for every parameter array."""
    random = np.random.default_rng(2)
    # Biases of 0 would put the black background exactly on the kink of the activations.
    parameters = {
        name: (weights.astype(np.float64), 0.1 + 0.1 * random.random(bias.shape))
        for name, (weights, bias) in maker.initial_parameters(random).items()
    }
    images = samples[0][:3].astype(np.float64) / 255
    slope = random.standard_normal((3, 1, 1, 10))
    gradients = maker.backward(parameters, maker.forward(parameters, images), slope)
    step = 1e-6
    for name, arrays in parameters.items():
        for array, gradient in zip(arrays, gradients[name], strict=True):
            direction = random.standard_normal(array.shape)
            sums = []
            for sign in (1, -2):
                array += sign * step * direction
                sums.append(np.sum(maker.forward(parameters, images)["classifier"] * slope))
            array += step * direction
            measured = (sums[0] - sums[1]) / (2 * step)
            assert measured == pytest.approx(np.sum(gradient * direction), rel=1e-5, abs=1e-6)


def test_files(maker: ModuleType, samples: tuple[np.ndarray, np.ndarray]) -> None:
    """Images, labels and class names have the promised form."""
    images, labels = samples
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (360, maker.IMAGE_SIDE, maker.IMAGE_SIDE, 1)
    assert labels.shape == (360,)
    assert set(labels.tolist()) == set(range(maker.CLASS_COUNT))
    names = (DATA / "digits_labels.txt").read_text(encoding="utf-8").splitlines()
    assert names == [str(number) for number in range(maker.CLASS_COUNT)]


def test_images_come_from_scikit_learn(
    maker: ModuleType, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """The stored images are every fifth of the bundled ones, enlarged."""
    pytest.importorskip("sklearn")
    images, labels = maker.load_images()
    held_back = maker.held_back_mask(len(images))
    np.testing.assert_array_equal(images[held_back], samples[0])
    np.testing.assert_array_equal(labels[held_back], samples[1])


def test_accuracy_in_litert(
    maker: ModuleType, content: bytes, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """LiteRT loads the model and gets the held-back images right."""
    pytest.importorskip("ai_edge_litert.interpreter")
    assert maker.quantised_accuracy(content, *samples) >= WANTED_ACCURACY
