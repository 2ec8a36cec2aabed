"""What the NPU takes of paddings: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import PADDED
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import padding
from lapilli.model.graph import Graph

SENTENCES = {
    "pad_value": (
        "What is padded with must be a constant byte, or nothing is said and it is the zero point."
    ),
}


def with_value(**value: Any) -> Graph:
    """PADV2: the value in front of the result."""
    graph = by_hand.padding()
    shape = value["data"].shape if "data" in value else ()
    tensors = (
        *graph.tensors[:2],
        by_hand.tensor(2, "value", **{"shape": shape, **value}),
        by_hand.tensor(3, "padded", (1, 8, 13, 7)),
    )
    return by_hand.one_operator("PADV2", tensors, (0, 1, 2), None)


PADDINGS: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.padding(), inputs=(0, -1)),
    ),
    (
        "operands_computed",
        "plain is constant",
        by_hand.with_tensor(by_hand.padding(), 0, data=zeros(1, 5, 6, 7)),
    ),
    ("eight_bit", "padded is int16", by_hand.with_tensor(by_hand.padding(), 2, dtype="int16")),
    (
        "batch_of_one",
        "plain has shape [3, 5, 6, 7]",
        by_hand.with_tensor(by_hand.padding(), 0, shape=(3, 5, 6, 7)),
    ),
    (
        "pad_amounts",
        "paddings [[0, 1], [1, 2], [3, 4], [0, 0]]",
        by_hand.padding(((0, 1), (1, 2), (3, 4), (0, 0))),
    ),
    (
        "pad_amounts",
        "paddings [[0, 0], [-1, 2], [3, 4], [0, 0]]",
        by_hand.padding(((0, 0), (-1, 2), (3, 4), (0, 0))),
    ),
    (
        "pad_amounts",
        "paddings of shape [3, 2]",
        by_hand.padding(((0, 0), (1, 2), (3, 4))),
    ),
    (
        "pad_amounts",
        "paddings of shape [4, 2]",
        by_hand.with_tensor(by_hand.padding(), 1, data=None),
    ),
    (
        "quantised_per_tensor",
        "plain has no quantisation",
        by_hand.with_tensor(by_hand.padding(), 0, quantization=None),
    ),
    (
        "pad_shapes_agree",
        "[1, 5, 6, 7] -> [1, 8, 12, 7]",
        by_hand.with_tensor(by_hand.padding(), PADDED, shape=(1, 8, 12, 7)),
    ),
    (
        "pad_keeps_values",
        "(0.5, 3) -> (0.5, 4)",
        by_hand.with_tensor(by_hand.padding(), 2, quantization=by_hand.quantised(0.5, 4)),
    ),
    (
        "pad_value",
        "value is constant uint8 of shape [2]",
        with_value(data=zeros(2)),
    ),
    ("pad_value", "value is computed uint8 of shape [1]", with_value(shape=(1,))),
    (
        "image_size",
        "padded is 8192x13x7",
        by_hand.with_tensor(
            by_hand.padding(((0, 0), (1, 8186), (3, 4), (0, 0))), PADDED, shape=(1, 8192, 13, 7)
        ),
    ),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(PADDINGS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(padding.RECORD, PADDINGS, SENTENCES)


@pytest.mark.parametrize(
    ("amounts", "padded"),
    [
        (((0, 0), (1, 2), (3, 4), (5, 6)), (1, 8, 13, 18)),
        (((0, 0), (0, 0), (0, 0), (0, 1)), (1, 5, 6, 8)),
        (((0, 0), (40, 0), (0, 50), (0, 0)), (1, 45, 56, 7)),
    ],
)
def test_any_amounts_are_taken(amounts: Any, padded: tuple[int, ...]) -> None:
    verdict = judged(by_hand.with_tensor(by_hand.padding(amounts), PADDED, shape=padded))
    assert verdict.supported, verdict.reason


def test_a_value_is_taken() -> None:
    verdict = judged(with_value(data=zeros(1)))
    assert verdict.supported, verdict.reason
