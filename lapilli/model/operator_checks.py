"""Whether an operator has the tensors that it needs, and whether they fit one another and its
options. What is refused here, TFLite refuses when it prepares a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lapilli.model.checks import some
from lapilli.model.flatbuffer import Table
from lapilli.model.graph import Operator, Tensor
from lapilli.model.shapes import broadcast

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


def check_counts(table: Table, operator: Operator) -> None:
    """ModelError unless an operator of a known kind has as many tensors as it needs."""
    allowed = COUNTS.get(operator.kind)
    if allowed is None:
        return
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


def check_addition(table: Table, operator: Operator, tensors: Sequence[Tensor]) -> None:
    """ADD and SUB: their inputs have to broadcast."""
    if len(operator.inputs) != 2 or -1 in operator.inputs or len(operator.outputs) != 1:
        found = f"inputs {some(operator.inputs)} and outputs {some(operator.outputs)}"
        table.fail(found, "two inputs, one output")
    first, second = (tensors[i].shape for i in operator.inputs)
    if broadcast(first, second) is None:
        found = f"inputs of shape {list(first)} and {list(second)}"
        table.fail(found, "shapes that are equal or broadcast")
