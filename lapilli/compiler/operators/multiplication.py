"""MUL by a constant: its bytes are the weights."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.operators import by_constant
from lapilli.compiler.operators.endings import activation_exact
from lapilli.compiler.operators.flat import flat_size
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    image_size,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.graph import Operator
from lapilli.model.options import Activation, Multiplication


def constant_factor(case: Case) -> str | None:
    """One operand must be constant, a number or one for each channel, and the other one must have
    the result's shape (no proven unit multiplies two computed tensors)."""
    if by_constant.constant_position(case.graph, case.operator) is None:
        return "two computed tensors"
    return by_constant.odd_constant(case)


def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to
    2^16)."""
    if by_constant.product_with(case.graph, case.operator, case.chip) is not None:
        return None
    first, second, output = (tensor.quantization for tensor in case.images)
    assert first is not None and second is not None and output is not None
    return f"{first.scale * second.scale / output.scale:.4g}"


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution."""
    linear = by_constant.product_with(builder.graph, operator, builder.chip)
    assert linear is not None, "the rules check it"
    assert isinstance(operator.options, (Multiplication, type(None)))
    activation = operator.options.activation if operator.options else Activation.NONE
    by_constant.lower(builder, operator, linear, activation)


RECORD = OperatorRecord(
    kinds=("MUL",),
    words="A 1x1 convolution on the NN cores whose weights are the constant.",
    rules=(
        operands_present,
        eight_bit,
        batch_of_one,
        constant_factor,
        quantised_per_tensor,
        image_size,
        flat_size,
        activation_exact,
        scale_fits,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
