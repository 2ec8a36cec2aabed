"""What the NPU takes of additions: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import FIRST, SECOND, SUM
from rule_checks import Broken, check_broken, check_complete, parameters, zeros

from lapilli.compiler.operators import addition
from lapilli.model.graph import Activation, Graph

SENTENCES = {
    "no_broadcast": "Both operands and the result have the same shape.",
    "addition_size": ("The elements of an operand can be seen as an image of at most 8191 x 8191."),
    "scale_fits": (
        "The factor from accumulator to output has a multiplier and shift (A311D: 2^-112 to 2^16)."
    ),
    "addition_exact": (
        "One-byte weights express an addition's two factors to within 0.9 output steps."
    ),
}


def addition_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.addition(), index, **changes)


ADDITIONS: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.addition(), inputs=(FIRST,)),
    ),
    ("eight_bit", "second is int16", addition_with(SECOND, dtype="int16")),
    (
        "batch_of_one",
        "first has shape [1, 1, 4, 6, 5]",
        by_hand.addition((1, 1, 4, 6, 5)),
    ),
    ("operands_computed", "second is constant", addition_with(SECOND, data=zeros(1, 4, 6, 5))),
    (
        "no_broadcast",
        "[1, 4, 6, 5] and [1, 1, 1, 5] -> [1, 4, 6, 5]",
        addition_with(SECOND, shape=(1, 1, 1, 5)),
    ),
    ("quantised_per_tensor", "sum has no quantisation", addition_with(SUM, quantization=None)),
    ("image_size", "first is 1x1x16384", by_hand.addition((1, 1, 1, 16384))),
    # A prime: no width and height but one row of all.
    ("addition_size", "8209 elements", by_hand.addition((1, 1, 1, 8209))),
    ("activation_exact", "other", by_hand.addition(activation=Activation.OTHER)),
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
