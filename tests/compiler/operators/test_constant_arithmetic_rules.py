"""What the NPU takes of MUL, MAXIMUM and MINIMUM: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import FIRST, SECOND, SUM
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import extremum, multiplication
from lapilli.model.graph import Graph
from lapilli.model.options import Activation, Multiplication

PRODUCTS_SENTENCES = {
    "constant_factor": (
        "One operand at least must be computed, and have the result's shape if the other one is a "
        "constant number, or one for each channel."
    ),
    "product_exact": (
        "Of two tensors all 65,536 pairs of bytes must come out within 1 (no unit "
        "multiplies them; squares from a look-up table do, where a step of the output is not too "
        "few products of two steps)."
    ),
}
EXTREMA_SENTENCES = {
    "shapes_alike": "Operands that are not constant numbers must have the result's shape.",
}


def two(kind: str, constant: tuple[int, ...] | None = None, **options: Any) -> Graph:
    """Of two tensors, or of one and a constant."""
    graph = by_hand.with_operator(
        by_hand.addition(), kind=kind, options=Multiplication(**options) if kind == "MUL" else None
    )
    if constant is None:
        return graph
    return by_hand.with_tensor(graph, SECOND, shape=constant, data=zeros(*constant))


def product(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(two("MUL", (5,)), index, **changes)


def extreme(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(two("MAXIMUM"), index, **changes)


def resized(graph: Graph, *shape: int) -> Graph:
    return by_hand.with_tensor(by_hand.with_tensor(graph, FIRST, shape=shape), SUM, shape=shape)


PRODUCTS: list[Broken] = [
    ("operands_present", "1 inputs, 1 outputs", by_hand.with_operator(two("MUL"), inputs=(FIRST,))),
    ("eight_bit", "first is int16", product(FIRST, dtype="int16")),
    ("no_empty_dimension", "first has shape [0, 5]", product(FIRST, shape=(0, 5))),
    (
        "shapes_broadcast",
        "[1, 4, 6, 5] and [1, 3, 6, 5] -> [1, 4, 6, 5]",
        by_hand.with_tensor(two("MUL"), SECOND, shape=(1, 3, 6, 5)),
    ),
    (
        "product_exact",
        "255 and 0 become 39 instead of 23",
        by_hand.with_tensor(two("MUL"), SUM, quantization=by_hand.quantised(2.0, 117)),
    ),
    (
        "constant_factor",
        "[1, 4, 6, 5] -> [1, 4, 6, 7]",
        by_hand.with_tensor(two("MUL", (1,)), SUM, shape=(1, 4, 6, 7)),
    ),
    ("constant_factor", "two constants", product(FIRST, data=zeros(1, 4, 6, 5))),
    ("quantised_per_tensor", "sum has no quantisation", product(SUM, quantization=None)),
    ("operand_size", "first is 8192x1x5", resized(two("MUL", (5,)), 1, 8192, 1, 5)),
    ("flat_size", "8209 elements", resized(two("MUL", (1,)), 1, 8209)),
    ("activation_exact", "other", two("MUL", (5,), activation=Activation.OTHER)),
    ("scale_fits", "2.5e+05", product(SUM, quantization=by_hand.quantised(1e-6))),
]
EXTREMA: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(two("MAXIMUM"), inputs=(FIRST,)),
    ),
    ("eight_bit", "first is int16", extreme(FIRST, dtype="int16")),
    ("no_empty_dimension", "first has shape [0, 5]", extreme(FIRST, shape=(0, 5))),
    ("shapes_alike", "[6, 1] -> [1, 4, 6, 5]", two("MINIMUM", (6, 1))),
    (
        "constant_operand",
        "two constants",
        by_hand.with_tensor(two("MINIMUM", (1,)), FIRST, data=zeros(1, 4, 6, 5)),
    ),
    ("shapes_alike", "[1, 1, 1, 5] -> [1, 4, 6, 5]", extreme(SECOND, shape=(1, 1, 1, 5))),
    ("quantised_per_tensor", "sum has no quantisation", extreme(SUM, quantization=None)),
    (
        "quantisation_stays",
        "(0.5, 3) and (0.25, 3)",
        extreme(SECOND, quantization=by_hand.quantised(0.25)),
    ),
    ("image_size", "first is 8192x1x5", resized(two("MINIMUM", (5,)), 1, 8192, 1, 5)),
    ("flat_size", "8209 elements", resized(two("MINIMUM", (1,)), 1, 8209)),
]
SENTENCES = {**PRODUCTS_SENTENCES, **EXTREMA_SENTENCES}


@pytest.mark.parametrize(("rule", "found", "graph"), parameters([*PRODUCTS, *EXTREMA]))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(multiplication.RECORD, PRODUCTS, PRODUCTS_SENTENCES)
    check_complete(extremum.RECORD, EXTREMA, EXTREMA_SENTENCES)


@pytest.mark.parametrize("constant", [(1,), (5,), (1, 1, 1, 5), (), (1, 4, 6, 5)])
@pytest.mark.parametrize("kind", ["MUL", "MAXIMUM", "MINIMUM"])
def test_constants_are_taken(kind: str, constant: tuple[int, ...]) -> None:
    graph = two(kind, constant)
    if kind == "MUL":
        graph = by_hand.with_tensor(graph, SUM, quantization=by_hand.quantised(60.0))
    verdict = judged(graph)
    assert verdict.supported, verdict.reason


@pytest.mark.parametrize("scale", [25.0, 60.0])
@pytest.mark.parametrize("second", [(1, 4, 6, 5), (1, 1, 1, 5), (1, 4, 1, 1)])
def test_products_of_two_tensors_are_taken(second: tuple[int, ...], scale: float) -> None:
    """Of products of 0.25 a step of the output holds 100 and more."""
    graph = by_hand.with_tensor(two("MUL"), SECOND, shape=second)
    graph = by_hand.with_tensor(graph, SUM, quantization=by_hand.quantised(scale))
    verdict = judged(graph)
    assert verdict.supported, verdict.reason


@pytest.mark.parametrize("kind", extremum.RECORD.kinds)
def test_two_tensors_are_taken(kind: str) -> None:
    assert judged(two(kind)).supported
