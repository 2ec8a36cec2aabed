"""What the NPU takes of paddings: each rule is broken by a graph."""

from __future__ import annotations

import hand_graphs as by_hand
import pytest
from hand_graphs import PADDED
from rule_checks import Broken, check_broken, check_complete, parameters, zeros

from lapilli.compiler.operators import padding
from lapilli.model.graph import Graph

SENTENCES = {
    "pad_of_rows_and_columns": "Padding is constant and adds rows and columns only.",
    "pad_keeps_values": "Padding does not change scale or zero point.",
    "pad_shapes_agree": "The padded image has the size that the paddings say.",
}


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
        "image_of_four_dimensions",
        "plain has shape [5, 6, 7]",
        by_hand.with_tensor(by_hand.padding(), 0, shape=(5, 6, 7)),
    ),
    (
        "batch_of_one",
        "plain has shape [3, 5, 6, 7]",
        by_hand.with_tensor(by_hand.padding(), 0, shape=(3, 5, 6, 7)),
    ),
    (
        "pad_of_rows_and_columns",
        "paddings [[0, 0], [1, 2], [3, 4], [0, 1]]",
        by_hand.padding(((0, 0), (1, 2), (3, 4), (0, 1))),
    ),
    (
        "pad_of_rows_and_columns",
        "paddings [[0, 0], [-1, 2], [3, 4], [0, 0]]",
        by_hand.padding(((0, 0), (-1, 2), (3, 4), (0, 0))),
    ),
    (
        "pad_of_rows_and_columns",
        "paddings of shape [3, 2]",
        by_hand.padding(((0, 0), (1, 2), (3, 4))),
    ),
    (
        "pad_of_rows_and_columns",
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
