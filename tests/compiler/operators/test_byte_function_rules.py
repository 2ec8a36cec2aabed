"""Operators that turn each byte into another one: which are taken, and why not the rest."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import (
    leaky_relu,
    powers,
    prelu,
    rectifiers,
    sigmoids,
    signs,
    smooth_rectifiers,
)
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.model.graph import Graph, Operator, Quantization, Tensor
from lapilli.model.options import Gelu, LeakyRelu

WORDS = (
    "whose entries lie up to 8 bytes apart, must give every one of the 256 bytes to within 1 of "
    "the CPU{}."
)
SENTENCES = {
    "same_shape": "Input and output must have the same shape.",
    "look_up_size": (
        "Images that go through a table may have at most 65535 rows, columns and "
        "channels, and fewer than 2^28 bytes."
    ),
    "table_exact": f"A look-up table, {WORDS.format('')}",
    "negated_in_place": (
        "A NEG must have the same scale on both sides and zero points of 0, as int8: "
        "LiteRT's kernel looks at neither."
    ),
    "few_slopes": (
        "The slopes must be constant bytes, one for all or one a channel, of which "
        "neighbours are so often alike that there are at most 16 runs."
    ),
    "tables_exact": f"Look-up tables, {WORDS.format(', for each slope')}",
}
ONLY_NEG, ONLY_PRELU = {"negated_in_place"}, {"few_slopes", "tables_exact"}
QUANTIZATION = Quantization((0.05,), (100,))


def unary(kind: str, options: Any = None, number: int = -1, **changes: Any) -> Graph:
    """An operator with one input, with changes to one of its tensors."""
    names = enumerate(("from", "to"))
    tensors = tuple(Tensor(i, name, (1, 4, 4, 2), "uint8", QUANTIZATION) for i, name in names)
    graph = Graph("by hand", tensors, (Operator(0, kind, (0,), (1,), options),), (0,), (1,))
    return graph if number < 0 else by_hand.with_tensor(graph, number, **changes)


def with_slopes(data: Any, computed: bool = False, channels: int = 20) -> Graph:
    """A PRELU."""
    shape = (1, 4, 4, channels)
    tensors = (
        Tensor(0, "from", shape, "uint8", QUANTIZATION),
        Tensor(1, "slopes", data.shape, data.dtype.name, Quantization((0.01,), (0,)), data),
        Tensor(2, "to", shape, "uint8", QUANTIZATION),
    )
    graph = Graph("by hand", tensors, (Operator(0, "PRELU", (0, 1), (2,)),), (0,), (2,))
    return by_hand.with_tensor(graph, 1, data=None) if computed else graph


def steep() -> Graph:
    """An exponential function that rises by up to 20 steps from one entry to the next."""
    graph = unary("EXP", number=0, quantization=Quantization((0.0888,), (0,)))
    return by_hand.with_tensor(graph, 1, quantization=Quantization((3856277.0,), (0,)))


def too_far_apart() -> Graph:
    """Scales between which TFLite's own kernel overflows."""
    graph = with_slopes(np.array([255], np.uint8))
    return by_hand.with_tensor(graph, 0, quantization=Quantization((2.0**24,), (100,)))


COMMON: list[Broken] = [
    ("operands_present", "0 inputs, 1 outputs", by_hand.with_operator(unary("RELU"), inputs=(-1,))),
    ("operands_computed", "from is constant", unary("RELU", number=0, data=zeros(1, 4, 4, 2))),
    ("eight_bit", "to is float32", unary("RELU", number=1, dtype="float32")),
    ("no_empty_dimension", "from has shape [1, 0, 4]", unary("RELU", number=0, shape=(1, 0, 4))),
    ("quantised_per_tensor", "to has no quantisation", unary("RELU", number=1, quantization=None)),
    ("same_shape", "[1, 4, 4, 2] -> [1, 4, 8]", unary("RELU", number=1, shape=(1, 4, 8))),
]
BEYOND: Broken = (
    "results_in_32_bits",
    "7.75e+12 steps",
    unary("RELU", number=1, quantization=Quantization((1e-12,), (100,))),
)
STEEP: Broken = ("table_exact", "232 becomes 221 instead of 230", steep())
NOT_SYMMETRIC: Broken = ("negated_in_place", "(0.05, -28) -> (0.05, -28)", unary("NEG"))
RUNS = np.arange(20, dtype=np.uint8).reshape(1, 1, 20)
SLOPES: list[Broken] = [
    ("few_slopes", "20 runs of slopes", with_slopes(RUNS)),
    (
        "few_slopes",
        "slopes of shape [4, 20] for 20 channels",
        with_slopes(np.tile(RUNS[0], (4, 1))),
    ),
    ("few_slopes", "slopes is float32", with_slopes(RUNS.astype(np.float32))),
    ("few_slopes", "slopes is computed", with_slopes(RUNS, computed=True)),
    ("tables_exact", "0 becomes 0 instead of 255", too_far_apart()),
]
BROKEN = [*COMMON, BEYOND, STEEP, NOT_SYMMETRIC, *SLOPES]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(BROKEN))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


@pytest.mark.parametrize(
    ("record", "broken"),
    [
        *(
            (module.RECORD, [*COMMON, BEYOND, STEEP])
            for module in (rectifiers, leaky_relu, sigmoids, smooth_rectifiers, powers)
        ),
        (signs.RECORD, [*COMMON, BEYOND, STEEP, NOT_SYMMETRIC]),
        (prelu.RECORD, [*COMMON, *SLOPES]),
    ],
    ids=lambda value: value.kinds[0] if isinstance(value, OperatorRecord) else "",
)
def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it(
    record: OperatorRecord, broken: list[Broken]
) -> None:
    rules = {rule.__name__ for rule in record.rules}
    sentences = {name: text for name, text in SENTENCES.items() if name in rules}
    check_complete(record, broken, sentences, elsewhere=("look_up_size",))


def test_images_may_be_as_large_as_the_fields() -> None:
    for shape, found in (
        ((65535,), None),
        ((65536,), "from is 1x1x65536"),
        ((1, 65536, 1, 1), "from is 65536x1x1"),
        ((1, 65535, 4096, 1), None),
        ((1, 65535, 4097, 1), "from is 65535x4097x1"),
    ):
        graph = unary("RELU", number=0, shape=shape)
        verdict = judged(by_hand.with_tensor(graph, 1, shape=shape))
        assert (verdict.rule, verdict.found) == (("look_up_size", found) if found else ("", ""))


def test_bytes_are_named_as_the_model_has_them() -> None:
    graph = steep()
    for number in (0, 1):
        graph = by_hand.with_tensor(graph, number, signed=True)
    assert judged(graph).found == "104 becomes 93 instead of 102"


@pytest.mark.parametrize(
    ("kind", "options"),
    [("LEAKY_RELU", LeakyRelu(0.2)), ("GELU", Gelu(True)), ("TANH", None), ("SQUARE", None)],
)
def test_what_keeps_all_rules_is_taken(kind: str, options: Any) -> None:
    assert judged(unary(kind, options)).supported


def test_one_slope_or_a_few_are_taken() -> None:
    for slopes in (np.full((1, 1, 20), 30), np.array([7]), np.repeat(np.arange(5), 4), RUNS // 2):
        assert judged(with_slopes(slopes.astype(np.uint8))).supported
