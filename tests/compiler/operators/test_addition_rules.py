"""What the NPU takes of additions: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import FIRST, SECOND, SUM
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import addition
from lapilli.model.graph import Activation, Graph

SENTENCES = {
    "scale_fits": (
        "The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to "
        "2^16), and one in the CPU's kernel (operands' steps below 2^19 of the result's)."
    ),
    "addition_exact": (
        "One-byte weights must express an addition's two factors to within 0.9 output steps."
    ),
}


def addition_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.addition(), index, **changes)


def constant(elements: int, scale: float = 0.5) -> Graph:
    """Of the tensor and the byte 6."""
    return addition_with(
        SECOND,
        shape=(elements,),
        data=zeros(elements) + 6,
        quantization=by_hand.quantised(scale),
    )


ADDITIONS: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.addition(), inputs=(FIRST,)),
    ),
    ("eight_bit", "second is int16", addition_with(SECOND, dtype="int16")),
    (
        "no_empty_dimension",
        "first has shape [1, 0, 6, 5]",
        by_hand.addition((1, 0, 6, 5)),
    ),
    (
        "shapes_broadcast",
        "[1, 4, 6, 5] and [1, 4, 3, 1] -> [1, 4, 6, 5]",
        addition_with(SECOND, shape=(1, 4, 3, 1), data=zeros(1, 4, 3, 1)),
    ),
    (
        "constant_operand",
        "two constants",
        by_hand.with_tensor(addition_with(FIRST, data=zeros(1, 4, 6, 5)), SECOND, data=zeros(5)),
    ),
    (
        "constant_operand",
        "[1, 4, 6, 5] -> [1, 4, 6, 7]",
        by_hand.with_tensor(constant(1), SUM, shape=(1, 4, 6, 7)),
    ),
    (
        "shapes_broadcast",
        "[1, 4, 6, 5] and [1, 1, 2, 5] -> [1, 4, 6, 5]",
        addition_with(SECOND, shape=(1, 1, 2, 5)),
    ),
    (
        "shapes_broadcast",
        "[1, 256, 256, 5] and [5] -> [1, 256, 256, 5]",
        by_hand.with_tensor(by_hand.addition((1, 256, 256, 5)), SECOND, shape=(5,)),
    ),
    ("quantised_per_tensor", "sum has no quantisation", addition_with(SUM, quantization=None)),
    ("operand_size", "first has shape [1, 1, 1, 65536]", by_hand.addition((1, 1, 1, 65536))),
    # A prime: no width and height but one row of all.
    ("addition_size", "8209 elements", by_hand.addition((1, 1, 1, 8209))),
    ("activation_exact", "other", by_hand.addition(activation=Activation.OTHER)),
    (
        "scale_fits",
        "5e+08",
        by_hand.with_tensor(constant(1), SUM, quantization=by_hand.quantised(1e-9)),
    ),
    (
        "addition_exact",
        "1.56 steps",
        by_hand.with_tensor(constant(1, 0.6), SUM, quantization=by_hand.quantised(0.0005)),
    ),
    (
        "scale_fits",
        "2e+07",
        by_hand.with_tensor(
            addition_with(FIRST, quantization=by_hand.quantised(20000.0)),
            SUM,
            quantization=by_hand.quantised(0.001),
        ),
    ),
    (
        "addition_exact",
        "1.25 steps",
        by_hand.with_tensor(
            addition_with(FIRST, quantization=by_hand.quantised(7.77)),
            SUM,
            quantization=by_hand.quantised(0.02),
        ),
    ),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(ADDITIONS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(addition.RECORD, ADDITIONS, SENTENCES)


@pytest.mark.parametrize("shape", [(5,), (1, 1, 1, 5), (1, 4, 6, 1), (1, 4, 1, 1), (6, 5), (1,)])
def test_smaller_operands_are_taken(shape: tuple[int, ...]) -> None:
    verdict = judged(addition_with(SECOND, shape=shape))
    assert verdict.supported, verdict.reason


@pytest.mark.parametrize("elements", [1, 5])
def test_constants_are_taken(elements: int) -> None:
    verdict = judged(constant(elements))
    assert verdict.supported, verdict.reason


@pytest.mark.parametrize("shape", [(1, 4, 6, 5), (1, 4, 6, 1), (6, 5)])
def test_constant_tensors_are_taken(shape: tuple[int, ...]) -> None:
    verdict = judged(addition_with(SECOND, shape=shape, data=zeros(*shape)))
    assert verdict.supported, verdict.reason
