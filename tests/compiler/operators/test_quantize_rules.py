"""QUANTIZE: what is taken, and why not the rest."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators.quantize import RECORD
from lapilli.model.graph import Graph, Operator, Quantization, Tensor

SENTENCES = {
    "rescaled_exactly": (
        "A QUANTIZE must give every value the byte it has (the same scale, and zero "
        "points that differ as the types do), or a look-up table must give all 256 "
        "bytes to within 1 of the CPU."
    ),
    "same_shape": "Input and output must have the same shape.",
    "look_up_size": (
        "Images that go through a table may have at most 65535 rows, columns and "
        "channels, and fewer than 2^28 bytes."
    ),
}
SAME = Quantization((0.5,), (7,))


def quantize(number: int = -1, **changes: Any) -> Graph:
    """A QUANTIZE that changes nothing, with changes to one of its tensors."""
    tensors = tuple(
        Tensor(i, name, (1, 4, 4, 2), "uint8", SAME) for i, name in enumerate(("from", "to"))
    )
    graph = Graph("by hand", tensors, (Operator(0, "QUANTIZE", (0,), (1,)),), (0,), (1,))
    return graph if number < 0 else by_hand.with_tensor(graph, number, **changes)


BROKEN: list[Broken] = [
    ("operands_present", "0 inputs, 1 outputs", by_hand.with_operator(quantize(), inputs=(-1,))),
    ("operands_computed", "from is constant", quantize(0, data=zeros(1, 4, 4, 2))),
    ("eight_bit", "from is float32", quantize(0, dtype="float32")),
    ("no_empty_dimension", "to has shape [1, 0, 4]", quantize(1, shape=(1, 0, 4))),
    ("quantised_per_tensor", "from has no quantisation", quantize(0, quantization=None)),
    ("same_shape", "[1, 4, 4, 2] -> [1, 4, 2, 4]", quantize(1, shape=(1, 4, 2, 4))),
    (
        "rescaled_exactly",
        "0 becomes 0 instead of 255",
        quantize(0, quantization=Quantization((2.0**26,), (100,))),
    ),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(BROKEN))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(RECORD, BROKEN, SENTENCES, elsewhere=("look_up_size",))


def test_a_renaming_is_taken() -> None:
    assert judged(quantize()).supported


def test_another_scale_is_taken() -> None:
    assert judged(quantize(1, quantization=Quantization((0.3,), (70,)))).supported
