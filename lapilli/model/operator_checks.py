"""Whether an operator has the tensors that it needs, and whether they fit one another and its
options. What is refused here, TFLite refuses when it prepares a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lapilli.model.checks import check_scales, some
from lapilli.model.convolution_checks import checked_convolution
from lapilli.model.flatbuffer import Table
from lapilli.model.graph import Operator, Tensor
from lapilli.model.options import Addition, Convolution

_MANY: Final = 1 << 31


@dataclass(frozen=True)
class TensorCounts:
    """How many an operator has: the fewest and the most inputs, of which those from ``optional`` on
    may be absent (-1), and outputs likewise."""

    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)
    optional: int = _MANY


_UNARY: Final = TensorCounts((1, 1))
_BINARY: Final = TensorCounts((2, 2))
_TERNARY: Final = TensorCounts((3, 3))
COUNTS: Mapping[str, TensorCounts] = {
    **dict.fromkeys(
        (
            *("ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU"),
            *("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "RSQRT", "SOFTMAX", "SQRT", "SQUARE"),
            *("TANH", "QUANTIZE", "DEQUANTIZE", "SQUEEZE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
            *("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"),
        ),
        _UNARY,
    ),
    **dict.fromkeys(
        (
            *("MUL", "DIV", "MAXIMUM", "MINIMUM", "PRELU", "EXPAND_DIMS", "MIRROR_PAD", "PAD"),
            *("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY"),
            *("REDUCE_ALL", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE", "GATHER"),
            *("ARG_MAX", "ARG_MIN"),
        ),
        _BINARY,
    ),
    **dict.fromkeys(("PADV2", "SLICE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), _TERNARY),
    "CONCATENATION": TensorCounts((1, _MANY)),
    "PACK": TensorCounts((1, _MANY)),
    "UNPACK": TensorCounts((1, 1), (1, _MANY)),
    "SPLIT": TensorCounts((2, 2), (1, _MANY)),
    "SPLIT_V": TensorCounts((3, 3), (1, _MANY)),
    "RESHAPE": TensorCounts((1, 2)),
    "STRIDED_SLICE": TensorCounts((4, 5)),
    "FULLY_CONNECTED": TensorCounts((2, 3), (1, 2), optional=2),
    "TRANSPOSE_CONV": TensorCounts((3, 4), optional=3),
    "TOPK_V2": TensorCounts((2, 2), (2, 2)),
}
"""Kinds whose numbers of tensors are known; convolutions and additions have checks of their own."""


def checked(table: Table, operator: Operator, tensors: tuple[Tensor, ...]) -> Operator:
    """The operator, with options as its tensors have them; raises ModelError if they don't fit."""
    options = operator.options
    if isinstance(options, Convolution):
        return replace(operator, options=checked_convolution(table, operator, options, tensors))
    if isinstance(options, Addition):
        _check_addition(table, operator, tensors)
    if operator.kind in COUNTS:
        _check_counts(table, operator, COUNTS[operator.kind])
    return operator


def _check_counts(table: Table, operator: Operator, allowed: TensorCounts) -> None:
    inputs, outputs = len(operator.inputs), len(operator.outputs)
    fit = allowed.inputs[0] <= inputs <= allowed.inputs[1]
    fit = fit and allowed.outputs[0] <= outputs <= allowed.outputs[1]
    if not fit or -1 in operator.inputs[: allowed.optional]:
        table.fail(
            f"inputs {some(operator.inputs)} and outputs {some(operator.outputs)}",
            f"{_number(allowed.inputs)} inputs, {_number(allowed.outputs)} outputs",
        )


def _number(limits: tuple[int, int]) -> str:
    least, most = limits
    if most == _MANY:
        return f"{least} and more"
    return str(least) if least == most else f"{least} or {most}"


def _check_addition(table: Table, operator: Operator, tensors: tuple[Tensor, ...]) -> None:
    """ADD and SUB."""
    if len(operator.inputs) != 2 or -1 in operator.inputs or len(operator.outputs) != 1:
        found = f"inputs {some(operator.inputs)} and outputs {some(operator.outputs)}"
        table.fail(found, "two inputs, one output")
    first, second, result = (tensors[i] for i in (*operator.inputs, *operator.outputs))
    check_scales(table, (first, second, result))
    rank = max(len(first.shape), len(second.shape))
    expected = []
    for one, other in zip(_padded(first.shape, rank), _padded(second.shape, rank), strict=True):
        if one != other and 1 not in (one, other):
            found = f"inputs of shape {list(first.shape)} and {list(second.shape)}"
            table.fail(found, "shapes that are equal or broadcast")
        expected.append(other if one == 1 else one)
    if list(result.shape) != expected:
        table.fail(f"output of shape {list(result.shape)}", f"{expected}")


def _padded(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape
