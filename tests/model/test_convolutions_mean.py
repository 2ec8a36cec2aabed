"""LiteRT computes what a convolution's options and scales mean to us."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_model import two_convolutions

from lapilli.model import tflite
from lapilli.model.graph import Activation, Convolution, Graph, Operator, Tensor


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
