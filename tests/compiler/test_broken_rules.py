"""All rules that an operator breaks are told, and asking them never fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from operator_cases import FAMILIES, operator_cases
from rule_checks import chip, judged

from lapilli.compiler.operators.record import Case, relied_on, relies_on
from lapilli.compiler.operators.registry import RECORDS
from lapilli.compiler.unsigned import as_unsigned
from lapilli.compiler.verdict import judge
from lapilli.model import tflite
from lapilli.model.graph import Activation, Graph, Quantization
from lapilli.model.options import TRANSPOSED_WITH_BIAS, Gelu, LeakyRelu

MUTANTS = 160
"""Of each graph."""
FAR = {"stride_rows": 70, "stride_columns": 70}
"""Strides that make too many channels."""


def names(graph: Graph) -> list[str]:
    return [broken.rule for broken in judged(graph).broken]


def test_every_broken_rule_is_named_in_the_rules_order() -> None:
    graph = by_hand.convolution(**FAR, activation=Activation.OTHER)
    graph = by_hand.with_tensor(
        graph, by_hand.WEIGHTS, quantization=Quantization((0.1, 0.2), (0, 0))
    )
    verdict = judged(graph)
    assert names(graph) == ["quantised_per_tensor", "planes_fit", "activation_exact"]
    first = verdict.broken[0]
    assert (verdict.rule, verdict.allowed, verdict.found, verdict.remedy) == (
        first.rule, first.allowed, first.found, first.remedy
    )  # fmt: skip
    assert [broken.found for broken in verdict.broken[1:]] == ["1x1x19600", "other"]


def test_rules_that_rely_on_a_broken_one_are_not_asked() -> None:
    graph = by_hand.convolution(activation=Activation.OTHER, **FAR)
    graph = by_hand.with_tensor(graph, by_hand.WEIGHTS, data=None)
    assert names(graph) == ["constant_weights", "activation_exact"]


def test_an_operator_that_is_taken_breaks_none() -> None:
    assert judged(by_hand.convolution()).broken == ()


def test_an_operator_nobody_takes_breaks_that_rule_alone() -> None:
    assert names(by_hand.with_operator(by_hand.addition(), kind="SOFTMAX")) == ["operator"]


def test_a_rule_without_a_mark_relies_on_all_before_it() -> None:
    asked: list[str] = []

    @relies_on()
    def independent(case: Case) -> str | None:
        """It relies on nothing."""
        asked.append("independent")
        return None

    def dependent(case: Case) -> str | None:
        """It has no mark."""
        asked.append("dependent")
        return None

    assert (relied_on(independent), relied_on(dependent)) == ((), None)
    for graph, expected in (
        (by_hand.convolution(), ["independent", "dependent"]),
        (by_hand.convolution(**FAR), ["independent"]),
    ):
        asked.clear()
        judge(graph, graph.operators[0], chip(), (independent, dependent))
        assert asked == expected


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kinds[0])
def test_what_a_rule_relies_on_stands_before_it(record: Any) -> None:
    for number, rule in enumerate(record.rules):
        for other in relied_on(rule) or ():
            assert other not in record.rules[number:]


# ----------------------------------------------------------------------------------------- anything


def graphs() -> dict[str, Graph]:
    """One for each record and more."""
    unary = by_hand.tensor(0, "from", (1, 4, 4, 2)), by_hand.tensor(1, "to", (1, 4, 4, 2))
    slopes = by_hand.constant(1, "slopes", np.arange(2, dtype=np.uint8))
    options = {"GELU": Gelu(), "LEAKY_RELU": LeakyRelu(0.1)}
    found = {
        kind: by_hand.one_operator(kind, unary, (0,), options.get(kind))
        for record in RECORDS
        for kind in record.kinds
        if record.needed == 1
    }
    transposed = generated()["TRANSPOSE_CONV"]
    _, weights, image, *_ = transposed.operators[0].inputs
    prelu = (unary[0], slopes, replace(unary[1], index=2))
    return (
        generated()
        | found
        | {
            "CONV_2D": by_hand.convolution(activation=Activation.RELU6),
            "DEPTHWISE_CONV_2D": by_hand.convolution(outputs=4, depthwise=True, stride_rows=2),
            "ADD": by_hand.addition(),
            "SUB": by_hand.subtraction(),
            "PAD": by_hand.padding(),
            TRANSPOSED_WITH_BIAS: by_hand.with_operator(
                transposed, kind=TRANSPOSED_WITH_BIAS, inputs=(image, weights)
            ),
            "PRELU": by_hand.one_operator("PRELU", prelu, (0, 1), None),
        }
    )


@cache
def generated() -> dict[str, Graph]:
    """One for each operator that the grids make."""
    found = {}
    for group in FAMILIES:
        for case in operator_cases(group, 40):
            graph = as_unsigned(tflite.parse(case.model(), case.name))
            if len(graph.operators) == 1:
                found.setdefault(graph.operators[0].kind, graph)
    return found


def test_there_is_a_graph_for_every_kind_that_a_hand_can_make() -> None:
    kinds = {kind for record in RECORDS for kind in record.kinds}
    assert kinds == graphs().keys()


def broken_tensor(rng: np.random.Generator, graph: Graph) -> Graph:
    """The graph with something else in a field of a tensor."""
    index = int(rng.integers(len(graph.tensors)))
    shape = tuple(int(n) for n in rng.integers(0, 6, int(rng.integers(0, 6))))
    data = graph.tensors[index].data
    changes: list[dict[str, Any]] = [
        {"quantization": None},
        {"quantization": Quantization((0.0,), (0,))},
        {"quantization": Quantization((float("nan"), 2.0), (0, 300))},
        {"dtype": "float32"},
        {"shape": shape, "data": None if data is None else np.zeros(shape, data.dtype)},
        {"data": None},
        {"data": np.zeros(graph.tensors[index].shape, np.uint8)},
    ]
    return by_hand.with_tensor(graph, index, **changes[int(rng.integers(len(changes)))])


def broken_operator(rng: np.random.Generator, graph: Graph) -> Graph:
    """The graph with an operand less."""
    (operator,) = graph.operators
    lost = int(rng.integers(len(operator.inputs)))
    shorter = (*operator.inputs[:lost], -1, *operator.inputs[lost + 1 :])
    changes: list[dict[str, Any]] = [
        {"inputs": shorter},
        {"inputs": operator.inputs[:lost]},
        {"outputs": ()},
    ]
    return by_hand.with_operator(graph, **changes[int(rng.integers(len(changes)))])


@pytest.mark.parametrize("kind", graphs())
def test_asking_fails_on_no_operator_however_broken(kind: str) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    steps: list[Callable[[np.random.Generator, Graph], Graph]] = [broken_tensor] * 6
    for _ in range(MUTANTS):
        graph = graphs()[kind]
        for _ in range(int(rng.integers(1, 5))):
            step = [*steps, broken_operator][int(rng.integers(len(steps) + 1))]
            if graph.operators[0].inputs:
                graph = step(rng, graph)
        seen.add(tuple(names(graph)))
    assert len(seen) > 10
    assert max(map(len, seen)) >= 3
