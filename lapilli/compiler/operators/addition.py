"""ADD of two computed tensors."""

from __future__ import annotations

from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    activation_exact,
    batch_of_one,
    eight_bit,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.weighted_sum import (
    addition_size,
    inexact,
    lower,
    no_broadcast,
    scale_misfit,
    scales_of,
)


@relies_on(quantised_per_tensor)
def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output has a multiplier and shift (A311D: 2^-112 to 2^16)."""
    return scale_misfit(case, scales_of(case))


@relies_on(quantised_per_tensor)
def addition_exact(case: Case) -> str | None:
    """One-byte weights express an addition's two factors to within 0.9 output steps.

    Remedy: Give operands and result ranges that are less unlike.
    """
    return inexact(case, scales_of(case))


RECORD = OperatorRecord(
    kinds=("ADD",),
    words=(
        "A convolution on the NN cores over both operands, which lie one behind the other: a "
        "kernel takes an element of each."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        no_broadcast,
        quantised_per_tensor,
        image_size,
        addition_size,
        activation_exact,
        scale_fits,
        addition_exact,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
