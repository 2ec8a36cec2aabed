"""MUL: by a constant, whose bytes are the weights, or of two tensors (``products``)."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.operators import by_constant, products
from lapilli.compiler.operators.broadcasting import shapes_broadcast
from lapilli.compiler.operators.endings import activation_exact
from lapilli.compiler.operators.flat import flat_size
from lapilli.compiler.operators.products import activation_of, product_of
from lapilli.compiler.operators.record import Case, OperatorRecord, relies_on
from lapilli.compiler.operators.rules import (
    eight_bit,
    no_empty_dimension,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.weighted_sum import operand_size
from lapilli.compiler.unsigned import MIDDLE
from lapilli.model.graph import Graph, Operator


@relies_on(operands_present)
def constant_factor(case: Case) -> str | None:
    """One operand at least must be computed, and have the result's shape if the other one is a
    constant number, or one for each channel."""
    return by_constant.odd_constant(case)


def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to
    2^16)."""
    product = by_constant.product_with if _has_constant(case.graph, case.operator) else product_of
    if product(case.graph, case.operator, case.chip) is not None:
        return None
    first, second, output = (tensor.quantization for tensor in case.images)
    assert first is not None and second is not None and output is not None
    return f"{first.scale * second.scale / output.scale:.4g}"


def product_exact(case: Case) -> str | None:
    """Of two tensors all 65,536 pairs of bytes must come out within 1 (no unit multiplies
    them; squares from a look-up table do, where a step of the output is not too few products of
    two steps).

    Remedy: Choose a wider output range.
    """
    if _has_constant(case.graph, case.operator):
        return None
    product = product_of(case.graph, case.operator, case.chip)
    assert product is not None
    if product.usable:
        return None
    tensors = (*case.images_in, case.output())
    less = [MIDDLE if tensor.signed else 0 for tensor in tensors]
    (a, b), found, wanted = product.pair, product.found, product.wanted
    return f"{a - less[0]} and {b - less[1]} become {found - less[2]} instead of {wanted - less[2]}"


def _has_constant(graph: Graph, operator: Operator) -> bool:
    return by_constant.constant_position(graph, operator) is not None


def lower(builder: Builder, operator: Operator) -> None:
    """One convolution, or squares."""
    if _has_constant(builder.graph, operator):
        linear = by_constant.product_with(builder.graph, operator, builder.chip)
        assert linear is not None, "the rules check it"
        by_constant.lower(builder, operator, linear, activation_of(operator))
    else:
        product = product_of(builder.graph, operator, builder.chip)
        assert product is not None, "the rules check it"
        products.lower(builder, operator, product)


RECORD = OperatorRecord(
    kinds=("MUL",),
    words=(
        "By a constant a 1x1 convolution on the NN cores whose weights it is; of two tensors the "
        "difference of two squares, which the TP cores look up between two jobs of the NN cores."
    ),
    rules=(
        operands_present,
        eight_bit,
        no_empty_dimension,
        constant_factor,
        shapes_broadcast,
        quantised_per_tensor,
        operand_size,
        flat_size,
        activation_exact,
        scale_fits,
        product_exact,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
