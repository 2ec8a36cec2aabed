"""What the NPU takes of subtractions: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import FIRST, SECOND, SUM
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import subtraction
from lapilli.model.graph import Activation, Graph

SENTENCES = {
    "scale_fits": (
        "The factor from accumulator to output must have a multiplier and shift (A311D: 2^-112 to "
        "2^16), and one in the CPU's kernel (operands' steps below 2^19 of the result's)."
    ),
    "subtraction_exact": (
        "Two weights of at most 255 together must express a subtraction's two factors "
        "to within 0.9 output steps."
    ),
}


def subtraction_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.subtraction(), index, **changes)


def scaled(first: float, output: float) -> Graph:
    graph = subtraction_with(FIRST, quantization=by_hand.quantised(first))
    return by_hand.with_tensor(graph, SUM, quantization=by_hand.quantised(output))


SUBTRACTIONS: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.subtraction(), inputs=(FIRST,)),
    ),
    (
        "constant_operand",
        "two constants",
        by_hand.with_tensor(subtraction_with(FIRST, data=zeros(1)), SECOND, data=zeros(1, 4, 6, 5)),
    ),
    ("eight_bit", "first is int32", subtraction_with(FIRST, dtype="int32")),
    ("no_empty_dimension", "first has shape [0, 6, 5]", by_hand.subtraction((0, 6, 5))),
    (
        "shapes_broadcast",
        "[1, 4, 6, 5] and [1, 1, 1, 3] -> [1, 4, 6, 5]",
        subtraction_with(SECOND, shape=(1, 1, 1, 3)),
    ),
    (
        "quantised_per_tensor",
        "second has no quantisation",
        subtraction_with(SECOND, quantization=None),
    ),
    ("operand_size", "first has shape [1, 1, 1, 65536]", by_hand.subtraction((1, 1, 1, 65536))),
    ("addition_size", "8209 elements", by_hand.subtraction((1, 1, 1, 8209))),
    ("activation_exact", "other", by_hand.subtraction(activation=Activation.OTHER)),
    ("scale_fits", "2e+07", scaled(20000.0, 0.001)),
    ("subtraction_exact", "1.35 steps", scaled(31.3, 0.1)),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(SUBTRACTIONS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(subtraction.RECORD, SUBTRACTIONS, SENTENCES)


@pytest.mark.parametrize("shape", [(1,), (4, 6), (1, 4, 6, 5), (1, 8191, 7, 1)])
@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU])
def test_taken(shape: tuple[int, ...], activation: Activation) -> None:
    verdict = judged(by_hand.subtraction(shape, activation=activation))
    assert verdict.supported, verdict.reason
