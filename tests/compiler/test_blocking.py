"""What keeps most of a model from the NPU is named by multiplications, not by order."""

from __future__ import annotations

import numpy as np
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.blocking import Blocking, blocking
from lapilli.compiler.verdict import judge_all
from lapilli.model import tflite


def blocked(builder: ModelBuilder, output: int) -> Blocking | None:
    graph = tflite.parse(builder.build([output]), "made")
    return blocking(graph, judge_all(graph, chip()))


def softmax(builder: ModelBuilder, source: int) -> int:
    made = builder.tensor((1, 6, 6, 4), 1 / 256, 0)
    builder.operator("SOFTMAX", [source], [made], ("SoftmaxOptions", {"Beta": 1.0}))
    return made


def convolution(builder: ModelBuilder, source: int, activation: str = "NONE") -> int:
    weights = np.ones((4, 3, 3, 4), np.uint8)
    return builder.conv(source, weights, None, 0.01, 0, 0.1, 100, activation=activation)


def test_the_rule_that_costs_most_multiplications_comes_first_whatever_is_broken_first() -> None:
    builder = ModelBuilder()
    x = softmax(builder, softmax(builder, builder.input((1, 6, 6, 4), 0.02, 128)))
    found = blocked(builder, convolution(builder, convolution(builder, x, "TANH")))
    assert found is not None
    assert [(rule.rule, rule.operators) for rule in found.rules] == [
        ("activation_exact", (2,)),
        ("operator", (0, 1)),
    ]
    assert (found.operators, found.total, found.macs, found.total_macs) == (3, 4, 5184, 10368)
    assert found.amount == "3 of 4 operators, 50.0 % of the MACs"
    assert found.reason.endswith("Broken by operator 2. Found first: other.")


def test_without_multiplications_the_rule_that_most_operators_break_alone_comes_first() -> None:
    builder = ModelBuilder()
    x = convolution(builder, builder.input((1, 6, 6, 4), 0.02, 128))
    floats = builder.tensor((1, 6, 6, 4), dtype="float32")
    builder.operator("DEQUANTIZE", [x], [floats])
    builder.operator("CAST", [floats], [builder.tensor((1, 6, 6, 4), dtype="int32")])
    found = blocked(builder, softmax(builder, softmax(builder, x)))
    assert found is not None and found.macs == 0
    assert [rule.kind for rule in found.rules] == ["SOFTMAX", "DEQUANTIZE", "CAST"]
    assert found.reason == "The NPU takes no SOFTMAX (2 operators, the first 3)."


def test_where_nothing_is_left_to_the_cpu_nothing_blocks() -> None:
    builder = ModelBuilder()
    assert blocked(builder, convolution(builder, builder.input((1, 6, 6, 4), 0.02, 128))) is None
