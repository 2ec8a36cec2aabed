"""SUB of two tensors, or of a tensor and a constant: a weighted sum in which one weight lies below
the zero point."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.operators import weighted_sum
from lapilli.compiler.operators.broadcasting import shapes_broadcast
from lapilli.compiler.operators.endings import activation_exact
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    eight_bit,
    no_empty_dimension,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.weighted_sum import addition_size, constant_operand, operand_size
from lapilli.model.graph import Operator


@relies_on(quantised_per_tensor, constant_operand)
def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to
    2^16), and one in the CPU's kernel (operands' steps below 2^19 of the result's)."""
    return weighted_sum.scale_misfit(case, subtract=True)


@relies_on(quantised_per_tensor, constant_operand)
def subtraction_exact(case: Case) -> str | None:
    """Two weights of at most 255 together must express a subtraction's two factors to within 0.9
    output steps.

    Remedy: Give operands and result ranges that are less unlike.
    """
    return weighted_sum.inexact(case, subtract=True)


def lower(builder: Builder, operator: Operator) -> None:
    """One weighted difference."""
    weighted_sum.lower(builder, operator, subtract=True)


RECORD = OperatorRecord(
    kinds=("SUB",),
    words=(
        "A convolution on the NN cores over both operands, which lie one behind the other: a "
        "kernel takes an element of each, the second with a weight below the zero point. With a "
        "constant it is a 1x1 convolution with a bias; smaller operands are repeated by the TP "
        "cores."
    ),
    rules=(
        operands_present,
        eight_bit,
        no_empty_dimension,
        constant_operand,
        shapes_broadcast,
        quantised_per_tensor,
        operand_size,
        addition_size,
        activation_exact,
        scale_fits,
        subtraction_exact,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
