"""QUANTIZE from one 8-bit type to the other, where no value changes."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.graph import Operator


def bytes_stay(case: Case) -> str | None:
    """A QUANTIZE gives every value the byte it has: same scale and shape, and zero points that
    differ as the types do (uint8's is int8's plus 128).

    Remedy: Give the tensors on both sides the same scale.
    """
    source, target = case.input(0), case.output()
    first, second = source.quantization, target.quantization
    assert first is not None and second is not None
    if source.shape != target.shape:
        return f"{list(source.shape)} -> {list(target.shape)}"
    pairs = [(q.scale, q.zero_point) for q in (first, second)]
    return None if pairs[0] == pairs[1] else f"{pairs[0]} -> {pairs[1]}, zero points as of uint8"


def lower(builder: Builder, operator: Operator) -> None:
    """Nothing is done: both tensors are the same bytes in the same place."""
    builder.places[operator.outputs[0]] = builder.place(operator.inputs[0])


RECORD = OperatorRecord(
    kinds=("QUANTIZE",),
    words="Nothing to do: int8 tensors lie in the NPU's memory as byte + 128.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        quantised_per_tensor,
        bytes_stay,
        image_size,
    ),
    lower=lower,
)
