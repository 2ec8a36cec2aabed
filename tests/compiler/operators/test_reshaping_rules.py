"""What the NPU takes of RESHAPE, SQUEEZE and EXPAND_DIMS: each rule is broken by a graph."""

from __future__ import annotations

import hand_graphs as by_hand
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import reshaping
from lapilli.model.graph import Graph

SENTENCES = {
    "elements_stay": (
        "Both shapes must have the same number of elements, and both tensors the same "
        "scale and zero point."
    ),
}
BEFORE, AFTER = 0, 1


def reshaped(
    before: tuple[int, ...] = (1, 4, 6, 5), after: tuple[int, ...] = (1, 120), kind: str = "RESHAPE"
) -> Graph:
    tensors = by_hand.tensor(BEFORE, "before", before), by_hand.tensor(AFTER, "after", after)
    return by_hand.one_operator(kind, tensors, (BEFORE,), None)


RESHAPINGS: list[Broken] = [
    ("operands_present", "0 inputs, 1 outputs", by_hand.with_operator(reshaped(), inputs=(-1,))),
    (
        "operands_computed",
        "before is constant",
        by_hand.with_tensor(reshaped(), BEFORE, data=zeros(1, 4, 6, 5)),
    ),
    ("eight_bit", "after is float32", by_hand.with_tensor(reshaped(), AFTER, dtype="float32")),
    ("no_empty_dimension", "after has shape [2, 0, 4, 5]", reshaped(after=(2, 0, 4, 5))),
    (
        "quantised_per_tensor",
        "after has no quantisation",
        by_hand.with_tensor(reshaped(), AFTER, quantization=None),
    ),
    ("elements_stay", "[1, 4, 6, 5] -> [1, 121]", reshaped(after=(1, 121))),
    (
        "elements_stay",
        "(0.5, 3) -> (0.5, 4)",
        by_hand.with_tensor(reshaped(), AFTER, quantization=by_hand.quantised(0.5, 4)),
    ),
    (
        "byte_count",
        "before has 268435456 bytes",
        reshaped((1, 1 << 14, 1 << 14, 1), (1 << 14, 1 << 14)),
    ),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(RESHAPINGS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(reshaping.RECORD, RESHAPINGS, SENTENCES)


@pytest.mark.parametrize("kind", reshaping.RECORD.kinds)
@pytest.mark.parametrize(
    "after",
    [
        (120,),
        (1, 120),
        (24, 5),
        (1, 24, 5),
        (1, 6, 4, 5),
        (1, 1, 8, 15),
        (2, 3, 4, 5),
        (1, 2, 3, 4, 5),
    ],
)
def test_taken(kind: str, after: tuple[int, ...]) -> None:
    verdict = judged(reshaped(after=after, kind=kind))
    assert verdict.supported, verdict.reason
