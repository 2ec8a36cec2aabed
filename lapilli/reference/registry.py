"""Which function runs which operator, and how an operator's options reach it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from lapilli.errors import Unsupported
from lapilli.model.options import TRANSPOSED_WITH_BIAS, TransposedConvolution
from lapilli.reference import (
    conversion,
    convolution,
    elementwise,
    functions,
    layout,
    pooling,
    resize,
    softmax,
    transpose_convolution,
)
from lapilli.reference.arithmetic import Array
from lapilli.reference.node import Kernel, Node


def _options(node: Node) -> Any:
    """The options of an operator that can't do without."""
    if node.operator.options is None:
        raise Unsupported(f"{node.operator.kind} whose options were not read")
    return node.operator.options


def _addition(node: Node) -> tuple[Array, ...]:
    return elementwise.addition(node, _options(node).activation)


def _subtraction(node: Node) -> tuple[Array, ...]:
    return elementwise.addition(node, _options(node).activation, -1)


def _multiplication(node: Node) -> tuple[Array, ...]:
    return elementwise.multiplication(node, _options(node).activation)


def _division(node: Node) -> tuple[Array, ...]:
    return elementwise.division(node, _options(node).activation)


def _pool(node: Node, largest: bool) -> tuple[Array, ...]:
    options = _options(node)
    return pooling.pool(
        node,
        (options.rows, options.columns),
        (options.stride_rows, options.stride_columns),
        options.padding,
        options.activation,
        largest,
    )


def _gelu(node: Node) -> tuple[Array, ...]:
    if _options(node).approximate:
        return functions.by_table(node, functions.gelu_approximate)
    return functions.real_function(node)


def _strided_slice(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    others = options.ellipsis_mask | options.new_axis_mask | options.offset
    return layout.strided_slice(
        node, options.begin_mask, options.end_mask, options.shrink_axis_mask, others
    )


def _transpose_convolution(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    strides = options.stride_rows, options.stride_columns
    return transpose_convolution.transpose_convolution(
        node, strides, options.padding, options.activation
    )


def _transposed_with_bias(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    if not isinstance(options, TransposedConvolution):
        raise Unsupported(f"{node.operator.kind} whose options make no sense")
    strides = options.stride_rows, options.stride_columns
    return transpose_convolution.with_bias(node, strides, options.padding, options.activation)


def _fully_connected(node: Node) -> tuple[Array, ...]:
    if _options(node).shuffled:
        raise Unsupported("FULLY_CONNECTED with shuffled weights")
    return convolution.fully_connected(node, _options(node).activation)


def _gather(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    if options.batch_dimensions:
        raise Unsupported(f"GATHER with {options.batch_dimensions} batch dimensions")
    return layout.gather(node, options.axis)


def _split(node: Node) -> tuple[Array, ...]:
    return layout.split(node, int(node.constant(0).reshape(-1)[0]), 1)


def _split_v(node: Node) -> tuple[Array, ...]:
    return layout.split(node, int(node.constant(2).reshape(-1)[0]), 0)


def _bilinear(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    return resize.bilinear(node, options.align_corners, options.half_pixel_centers)


def _nearest(node: Node) -> tuple[Array, ...]:
    options = _options(node)
    return resize.nearest(node, options.align_corners, options.half_pixel_centers)


KERNELS: Final[Mapping[str, Kernel]] = MappingProxyType(
    {
        **dict.fromkeys(functions.REAL_FUNCTIONS, functions.real_function),
        "ABS": functions.absolute,
        "GELU": _gelu,
        "RELU": lambda node: functions.rectified(node, 0.0, None),
        "RELU6": lambda node: functions.rectified(node, 0.0, 6.0),
        "RELU_N1_TO_1": lambda node: functions.rectified(node, -1.0, 1.0),
        "RELU_0_TO_1": lambda node: functions.rectified(node, 0.0, 1.0),
        "LEAKY_RELU": lambda node: functions.leaky_relu(node, _options(node).slope),
        "PRELU": functions.prelu,
        "HARD_SWISH": functions.hard_swish,
        "CONV_2D": convolution.convolution,
        "DEPTHWISE_CONV_2D": convolution.depthwise_convolution,
        "FULLY_CONNECTED": _fully_connected,
        "TRANSPOSE_CONV": _transpose_convolution,
        TRANSPOSED_WITH_BIAS: _transposed_with_bias,
        "ADD": _addition,
        "SUB": _subtraction,
        "MUL": _multiplication,
        "DIV": _division,
        "FLOOR_DIV": elementwise.floor_division,
        "SQUARED_DIFFERENCE": elementwise.squared_difference,
        "MAXIMUM": lambda node: elementwise.extremum(node, True),
        "MINIMUM": lambda node: elementwise.extremum(node, False),
        "AVERAGE_POOL_2D": lambda node: _pool(node, False),
        "MAX_POOL_2D": lambda node: _pool(node, True),
        "MEAN": pooling.mean,
        "SUM": pooling.total,
        "REDUCE_MAX": lambda node: pooling.extremum_over(node, True),
        "REDUCE_MIN": lambda node: pooling.extremum_over(node, False),
        "QUANTIZE": conversion.quantize,
        "DEQUANTIZE": conversion.dequantize,
        "CAST": conversion.cast,
        "SOFTMAX": lambda node: softmax.softmax(node, _options(node).beta),
        "ARG_MAX": lambda node: softmax.arg_extremum(node, True),
        "ARG_MIN": lambda node: softmax.arg_extremum(node, False),
        "RESIZE_BILINEAR": _bilinear,
        "RESIZE_NEAREST_NEIGHBOR": _nearest,
        "RESHAPE": layout.reshape,
        "SQUEEZE": layout.reshape,
        "EXPAND_DIMS": layout.reshape,
        "CONCATENATION": lambda node: layout.concatenation(
            node, _options(node).axis, _options(node).activation
        ),
        "PAD": layout.pad,
        "PADV2": lambda node: layout.pad(node, node.constant(2)),
        "MIRROR_PAD": lambda node: layout.mirror_pad(node, _options(node).symmetric),
        "TRANSPOSE": layout.transpose,
        "SLICE": layout.slice_out,
        "STRIDED_SLICE": _strided_slice,
        "SPLIT": _split,
        "SPLIT_V": _split_v,
        "PACK": lambda node: layout.pack(node, _options(node).axis),
        "UNPACK": lambda node: layout.unpack(node, _options(node).axis),
        "GATHER": _gather,
        "GATHER_ND": layout.gather_nd,
        "TILE": layout.tile,
        "BROADCAST_TO": layout.broadcast_to,
        "SHAPE": layout.shape_of,
        "DEPTH_TO_SPACE": lambda node: layout.depth_to_space(node, _options(node).size),
        "SPACE_TO_DEPTH": lambda node: layout.space_to_depth(node, _options(node).size),
        "SPACE_TO_BATCH_ND": layout.space_to_batch,
        "BATCH_TO_SPACE_ND": layout.batch_to_space,
    }
)
"""TFLite's name of an operator -> what runs it."""
