"""Options of operators as the runtime holds them, C structures, read into ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lapilli.errors import ModelError
from lapilli.litert import tflite_c
from lapilli.litert.tflite_c import BuiltinOperator
from lapilli.model.graph import (
    Activation,
    Addition,
    Concatenation,
    FullyConnected,
    MirrorPadding,
    Multiplication,
    Options,
    Padding,
    Pooling,
    Stack,
    StridedSlice,
)

_ACTIVATIONS: Final = MappingProxyType(
    {
        tflite_c.FusedActivation.NONE: Activation.NONE,
        tflite_c.FusedActivation.RELU: Activation.RELU,
        tflite_c.FusedActivation.RELU6: Activation.RELU6,
        tflite_c.FusedActivation.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
    }
)
_PADDINGS: Final = MappingProxyType(
    {
        tflite_c.PaddingKind.SAME: Padding.SAME,
        tflite_c.PaddingKind.VALID: Padding.VALID,
    }
)
_SHUFFLED, _SYMMETRIC = 1, 2


def padding_of(value: int) -> Padding:
    """A TfLitePadding; raises ModelError for one that is none."""
    if value not in _PADDINGS:
        raise ModelError(f"padding {value}; allowed are 1 (SAME) and 2 (VALID)")
    return _PADDINGS[tflite_c.PaddingKind(value)]


def activation_of(value: int) -> Activation:
    """A TfLiteFusedActivation."""
    return _ACTIVATIONS.get(value, Activation.OTHER)  # type: ignore[call-overload, no-any-return]


def _addition(address: int) -> Options:
    return Addition(activation_of(tflite_c.TfLiteAddParams.from_address(address).activation))


def _multiplication(address: int) -> Options:
    return Multiplication(activation_of(tflite_c.TfLiteAddParams.from_address(address).activation))


def _pooling(address: int) -> Options:
    found = tflite_c.TfLitePoolParams.from_address(address)
    return Pooling(
        padding_of(found.padding),
        found.filter_height,
        found.filter_width,
        found.stride_height,
        found.stride_width,
        activation_of(found.activation),
    )


def _fully_connected(address: int) -> Options:
    found = tflite_c.TfLiteFullyConnectedParams.from_address(address)
    return FullyConnected(activation_of(found.activation), found.weights_format == _SHUFFLED)


def _concatenation(address: int) -> Options:
    found = tflite_c.TfLiteConcatenationParams.from_address(address)
    return Concatenation(found.axis, activation_of(found.activation))


def _stack(address: int) -> Options:
    return Stack(tflite_c.TfLitePackParams.from_address(address).axis)


def _strided_slice(address: int) -> Options:
    found = tflite_c.TfLiteStridedSliceParams.from_address(address)
    return StridedSlice(
        found.begin_mask,
        found.end_mask,
        found.ellipsis_mask,
        found.new_axis_mask,
        found.shrink_axis_mask,
        found.offset,
    )


def _mirror_padding(address: int) -> Options:
    found = tflite_c.TfLiteMirrorPaddingParams.from_address(address)
    return MirrorPadding(found.mode == _SYMMETRIC)


READERS: Final[Mapping[int, Callable[[int], Options]]] = MappingProxyType(
    {
        BuiltinOperator.ADD: _addition,
        BuiltinOperator.AVERAGE_POOL_2D: _pooling,
        BuiltinOperator.CONCATENATION: _concatenation,
        BuiltinOperator.FULLY_CONNECTED: _fully_connected,
        BuiltinOperator.MAX_POOL_2D: _pooling,
        BuiltinOperator.MUL: _multiplication,
        BuiltinOperator.SUB: _addition,
        BuiltinOperator.STRIDED_SLICE: _strided_slice,
        BuiltinOperator.PACK: _stack,
        BuiltinOperator.UNPACK: _stack,
        BuiltinOperator.MIRROR_PAD: _mirror_padding,
    }
)
"""Operator code -> its options from the address of its builtin data."""
