"""TRANSPOSE_CONV: each input pixel adds its kernel to the output.

Source: TFLite's ``reference/integer_ops/transpose_conv.h`` and ``transpose_conv.cc``.
"""

from __future__ import annotations

import numpy as np

from lapilli.errors import Unsupported
from lapilli.model.graph import Activation, Padding
from lapilli.reference.arithmetic import Array, Floats, quantization_of, scale_of, zero_point_of
from lapilli.reference.convolution import centred_weights, exact_type, images_of
from lapilli.reference.node import Node
from lapilli.reference.rescale import Rescale

_WEIGHTS, _IMAGE, _BIAS = 1, 2, 3


def transpose_convolution(
    node: Node, strides: tuple[int, int], padding: Padding, activation: Activation
) -> tuple[Array, ...]:
    """Weights are [outputs, rows, columns, inputs]; the output's shape is the tensor's."""
    target, image = node.outputs[0], node.tensor(_IMAGE)
    if image.dtype not in ("uint8", "int8"):
        raise Unsupported(f"TRANSPOSE_CONV of {image.dtype}")
    sums = transpose_sums(node, strides, padding)
    channels = target.shape[3]
    bias = np.zeros(channels, np.int64)
    if node.has(_BIAS):
        bias = node.constant(_BIAS).reshape(-1).astype(np.int64)
    rescale = Rescale.to(target, activation, _factors(node, channels), bias, node.rounding)
    result = np.empty((node.samples, *target.shape), target.dtype)
    rescale.rows(sums.reshape(-1, channels), result.reshape(-1, channels))
    return (result,)


def with_bias(
    node: Node, strides: tuple[int, int], padding: Padding, activation: Activation
) -> tuple[Array, ...]:
    """MediaPipe's Convolution2DTransposeBias, which there is for single precision only; inputs:
    image, weights, bias."""
    target, image = node.outputs[0], node.tensor(0)
    if image.dtype != "float32" or activation is not Activation.NONE:
        raise Unsupported(f"Convolution2DTransposeBias of {image.dtype}")
    values = images_of(node.value(0)).astype(np.float64)
    sums = _spread(values, node.constant(1).astype(np.float64), target.shape, strides, padding)
    found = (sums + node.constant(2).reshape(-1)).astype(np.float32)
    return (found.reshape(node.samples, *target.shape),)


def _factors(node: Node, channels: int) -> Floats:
    scales = np.array(quantization_of(node.tensor(_WEIGHTS)).scales, np.float64)
    factors: Floats = np.broadcast_to(
        scale_of(node.tensor(_IMAGE)) * scales / scale_of(node.outputs[0]), channels
    )
    return factors


def transpose_sums(node: Node, strides: tuple[int, int], padding: Padding) -> Array:
    """Exact sums [images, rows, columns, channels], without the bias."""
    weights = centred_weights(node.tensor(_WEIGHTS), node.constant(_WEIGHTS))
    images = images_of(node.value(_IMAGE)).astype(np.float64)
    images = images - zero_point_of(node.tensor(_IMAGE))
    exact_type(weights, (1, 2, 3))
    return _spread(images, weights, node.outputs[0].shape, strides, padding)


def _spread(
    images: Array,
    weights: Array,
    target: tuple[int, ...],
    strides: tuple[int, int],
    padding: Padding,
) -> Array:
    """Sums of what each pixel adds with each element of the kernel."""
    outputs, kernel_rows, kernel_columns, inputs = weights.shape
    count, rows, columns, _ = images.shape
    shape = (
        count,
        (rows - 1) * strides[0] + kernel_rows,
        (columns - 1) * strides[1] + kernel_columns,
        outputs,
    )
    whole = np.zeros(shape)
    for row in range(kernel_rows):
        for column in range(kernel_columns):
            part = images.reshape(-1, inputs) @ weights[:, row, column].T.astype(np.float64)
            whole[
                :,
                row : row + (rows - 1) * strides[0] + 1 : strides[0],
                column : column + (columns - 1) * strides[1] + 1 : strides[1],
            ] += part.reshape(count, rows, columns, outputs)
    tops = [
        _before(padding, target[1], kernel_rows, strides[0]),
        _before(padding, target[2], kernel_columns, strides[1]),
    ]
    return _cut(whole, tops, target)


def _before(padding: Padding, extent: int, kernel: int, stride: int) -> int:
    """Rows of padding that the forward convolution from the output would have."""
    if padding is Padding.VALID:
        return 0
    return max((-(-extent // stride) - 1) * stride + kernel - extent, 0) // 2


def _cut(whole: Array, tops: list[int], target: tuple[int, ...]) -> Array:
    """The window of the output, zeros where no kernel reaches."""
    rows = whole[:, tops[0] : tops[0] + target[1], tops[1] : tops[1] + target[2]]
    missing = (target[1] - rows.shape[1], target[2] - rows.shape[2])
    if missing == (0, 0):
        return rows
    return np.pad(rows, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
