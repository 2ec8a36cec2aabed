"""What the NPU takes of fully connected layers: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from hand_graphs import BIAS, IMAGE, RESULT, WEIGHTS
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import fully_connected
from lapilli.model.graph import Activation, FullyConnected, Graph

SENTENCES = {
    "constant_matrix": (
        "Weights must be a constant matrix of bytes (uint8 or int8), stored by rows, "
        "the bias constant int32 (or int16) or absent."
    ),
    "weights_centred": (
        "int8 weights must have the zero point 0 (LiteRT's kernels for int8 look at no other)."
    ),
    "matrix_fits": (
        "Input, weights, bias and output must belong together; a row may have at most "
        "16383 elements, and there may be at most 8191 rows."
    ),
}


def layer(
    rows: tuple[int, ...] = (1, 12),
    inputs: int = 12,
    outputs: int = 6,
    result: tuple[int, ...] = (1, 6),
    **options: Any,
) -> Graph:
    return by_hand.one_operator(
        "FULLY_CONNECTED",
        (
            by_hand.tensor(IMAGE, "rows", rows),
            by_hand.constant(
                WEIGHTS, "weights", zeros(outputs, inputs), quantization=by_hand.quantised(0.01)
            ),
            by_hand.constant(BIAS, "bias", np.zeros(outputs, np.int32), quantization=None),
            by_hand.tensor(RESULT, "result", result),
        ),
        (IMAGE, WEIGHTS, BIAS),
        FullyConnected(**options),
    )


def with_tensor(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(layer(), index, **changes)


LAYERS: list[Broken] = [
    ("operands_present", "1 inputs, 1 outputs", by_hand.with_operator(layer(), inputs=(0, -1))),
    ("operands_computed", "rows is constant", with_tensor(IMAGE, data=zeros(1, 12))),
    ("eight_bit", "result is int32", with_tensor(RESULT, dtype="int32")),
    ("no_empty_dimension", "rows has shape [0, 12]", layer((0, 12), result=(0, 6))),
    ("constant_matrix", "no options", by_hand.with_operator(layer(), options=None)),
    ("constant_matrix", "shuffled weights", layer(shuffled=True)),
    (
        "constant_matrix",
        "weights is computed uint8 of shape [6, 12]",
        with_tensor(WEIGHTS, data=None),
    ),
    (
        "constant_matrix",
        "weights is constant int16 of shape [6, 12]",
        with_tensor(WEIGHTS, dtype="int16", data=zeros(6, 12, dtype="int16")),
    ),
    ("constant_matrix", "bias is computed int32", with_tensor(BIAS, data=None)),
    ("quantised_per_tensor", "rows has no quantisation", with_tensor(IMAGE, quantization=None)),
    (
        "weights_centred",
        "zero point -125",
        with_tensor(WEIGHTS, signed=True, quantization=by_hand.quantised(0.01, 3)),
    ),
    ("matrix_fits", "[1, 13] by [6, 12] -> [1, 6]", layer((1, 13))),
    ("matrix_fits", "[2, 12] by [6, 12] -> [1, 6]", layer((2, 12))),
    ("matrix_fits", "[1, 12] by [6, 12] -> [2, 3]", layer(result=(2, 3))),
    ("matrix_fits", "[1, 12] by [0, 12] -> [1, 6]", layer(outputs=0)),
    (
        "matrix_fits",
        "[1, 4, 4, 1024] by [6, 16384] -> [1, 6]",
        layer((1, 4, 4, 1024), 1 << 14),
    ),
    ("matrix_fits", "[8192, 12] by [6, 12] -> [8192, 6]", layer((8192, 12), result=(8192, 6))),
    (
        "matrix_fits",
        "5 biases for 6 outputs",
        with_tensor(BIAS, shape=(5,), data=zeros(5, dtype="int32")),
    ),
    ("image_size", "result is 1x1x16384", layer(outputs=1 << 14, result=(1, 1 << 14))),
    ("activation_exact", "other", layer(activation=Activation.OTHER)),
    (
        "scale_fits",
        "2e+05",
        by_hand.with_tensor(layer(), RESULT, quantization=by_hand.quantised(2.5e-8)),
    ),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(LAYERS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(fully_connected.RECORD, LAYERS, SENTENCES)


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        ((1, 12), (1, 6)),
        ((7, 12), (7, 6)),
        ((1, 2, 3, 2), (1, 6)),
        ((1, 5, 12), (1, 5, 6)),
        ((1, 5, 3, 12), (15, 6)),
        ((8191, 12), (8191, 6)),
    ],
)
def test_taken(rows: tuple[int, ...], result: tuple[int, ...]) -> None:
    verdict = judged(layer(rows, result=result))
    assert verdict.supported, verdict.reason
