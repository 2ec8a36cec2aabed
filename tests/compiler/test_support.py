"""What the NPU takes: each rule is broken by a graph; the verdict names it and what it found."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from hand_graphs import BIAS, FIRST, IMAGE, PADDED, RESULT, SECOND, SUM, WEIGHTS
from shared_data import shared_data

from lapilli.compiler import support
from lapilli.compiler.stages import compile_graph
from lapilli.errors import ModelError
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model import tflite
from lapilli.model.graph import Activation, Graph, Padding, Quantization

SENTENCES = {
    "operands_present": "The operator has all its inputs, and one output.",
    "bytes_unsigned": "Inputs and outputs are uint8.",
    "quantised_per_tensor": "Every tensor has one scale above 0 and one zero point from 0 to 255.",
    "batch_of_one": "Images have up to four dimensions, none of them 0, and a batch of 1.",
    "image_of_four_dimensions": (
        "Input and output of a convolution or padding have four dimensions."
    ),
    "constant_weights": "Weights are constant uint8, the bias constant int32 or absent.",
    "shapes_agree": "The shapes of image, weights, bias and output belong together.",
    "no_dilation": "Dilation is 1.",
    "stride_one_or_two": "Strides are 1 or 2, the same for rows and columns.",
    "kernel_size": "Kernels are no larger than the chip takes (A311D: 11x11).",
    "padding_reaches": ("Padding before the image fits the chip's offset field (A311D: up to 8)."),
    "image_size": (
        "Images have at most 8191 rows and columns (4094 with stride 2) and 16383 channels (4095 "
        "into a convolution with stride 2)."
    ),
    "activation_exact": (
        "A fused activation is ReLU, or ReLU6 with an output range that ends at or below 6."
    ),
    "scale_fits": (
        "The factor from accumulator to output has a multiplier and shift (A311D: 2^-112 to 2^16)."
    ),
    "no_broadcast": "Both operands of an addition and the result have the same shape.",
    "operands_computed": "Images that go in are computed, not constant.",
    "addition_exact": (
        "One-byte weights express an addition's two factors to within 0.9 output steps."
    ),
    "addition_size": (
        "The number of elements added can be seen as an image of at most 8191 x 8191."
    ),
    "pad_of_rows_and_columns": "Padding is constant and adds rows and columns only.",
    "pad_keeps_values": "Padding does not change scale or zero point.",
    "pad_shapes_agree": "The padded image has the size that the paddings say.",
}


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def judged(graph: Graph, name: str = "a311d") -> support.Verdict:
    return support.judge(graph, graph.operators[0], chip(name))


def convolution_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.convolution(), index, **changes)


def zeros(*shape: int, dtype: str = "uint8") -> Any:
    return np.zeros(shape, dtype)


PER_CHANNEL = Quantization((0.5, 0.25), (0, 0))
CONVOLUTIONS: list[tuple[str, str, Graph]] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.convolution(), inputs=(IMAGE, -1, BIAS)),
    ),
    (
        "operands_present",
        "2 inputs, 2 outputs",
        by_hand.with_operator(by_hand.convolution(), outputs=(RESULT, RESULT)),
    ),
    (
        "operands_computed",
        "image is constant",
        convolution_with(IMAGE, data=zeros(1, 8, 8, 4)),
    ),
    ("bytes_unsigned", "image is int8", convolution_with(IMAGE, dtype="int8")),
    ("bytes_unsigned", "result is float32", convolution_with(RESULT, dtype="float32")),
    (
        "image_of_four_dimensions",
        "image has shape [8, 8, 4]",
        convolution_with(IMAGE, shape=(8, 8, 4)),
    ),
    ("batch_of_one", "image has shape [2, 8, 8, 4]", convolution_with(IMAGE, shape=(2, 8, 8, 4))),
    ("batch_of_one", "result has shape [1, 0, 8, 6]", convolution_with(RESULT, shape=(1, 0, 8, 6))),
    (
        "constant_weights",
        "weights is constant int8 of shape [6, 3, 3, 4]",
        convolution_with(WEIGHTS, dtype="int8"),
    ),
    (
        "constant_weights",
        "weights is computed uint8 of shape [6, 3, 3, 4]",
        convolution_with(WEIGHTS, data=None),
    ),
    ("constant_weights", "bias is constant int64", convolution_with(BIAS, dtype="int64")),
    (
        "quantised_per_tensor",
        "image has no quantisation",
        convolution_with(IMAGE, quantization=None),
    ),
    (
        "quantised_per_tensor",
        "weights has 2 scales",
        convolution_with(WEIGHTS, quantization=PER_CHANNEL),
    ),
    (
        "quantised_per_tensor",
        "result has scale 0.0",
        convolution_with(RESULT, quantization=by_hand.quantised(0.0)),
    ),
    (
        "quantised_per_tensor",
        "result has scale 1e-50",
        convolution_with(RESULT, quantization=by_hand.quantised(1e-50)),
    ),
    (
        "quantised_per_tensor",
        "image has scale nan",
        convolution_with(IMAGE, quantization=by_hand.quantised(float("nan"))),
    ),
    (
        "quantised_per_tensor",
        "image has zero point 256",
        convolution_with(IMAGE, quantization=by_hand.quantised(zero_point=256)),
    ),
    ("no_dilation", "dilation 2x1", by_hand.convolution(dilation_rows=2)),
    ("no_dilation", "dilation 1x4", by_hand.convolution(dilation_columns=4)),
    ("stride_one_or_two", "stride 3x3", by_hand.convolution(stride_rows=3, stride_columns=3)),
    ("stride_one_or_two", "stride 1x2", by_hand.convolution(stride_columns=2)),
    (
        "shapes_agree",
        "weights of shape [6, 3, 3, 5] for [1, 8, 8, 4] -> [1, 8, 8, 6]",
        convolution_with(WEIGHTS, shape=(6, 3, 3, 5), data=zeros(6, 3, 3, 5)),
    ),
    (
        "shapes_agree",
        "5 biases for 6 output channels",
        convolution_with(BIAS, shape=(5,), data=zeros(5, dtype="int32")),
    ),
    (
        "shapes_agree",
        "[1, 8, 8, 4] -> [1, 9, 8, 6] with kernel [3, 3]",
        by_hand.convolution(result=(1, 9, 8, 6)),
    ),
    (
        "shapes_agree",
        "4 input and 6 output channels",
        by_hand.convolution(depthwise=True),
    ),
    ("kernel_size", "12x3", by_hand.convolution((1, 16, 16, 4), (12, 3), padding=Padding.VALID)),
    ("kernel_size", "1x13", by_hand.convolution((1, 16, 16, 4), (1, 13), padding=Padding.VALID)),
    ("image_size", "image is 8192x1x4", by_hand.convolution((1, 8192, 1, 4), (1, 1))),
    (
        "image_size",
        "image is 4095x2x4",
        by_hand.convolution((1, 4095, 2, 4), stride_rows=2, stride_columns=2),
    ),
    ("image_size", "image is 2x2x16384", by_hand.convolution((1, 2, 2, 16384), (1, 1))),
    (
        "image_size",
        "image is 2x2x4096",
        by_hand.convolution((1, 2, 2, 4096), (1, 1), stride_rows=2, stride_columns=2),
    ),
    (
        "image_size",
        "image has 268435456 bytes",
        by_hand.convolution((1, 4096, 4096, 16), (1, 1)),
    ),
    ("activation_exact", "ReLU-1..1", by_hand.convolution(activation=Activation.RELU_N1_TO_1)),
    ("activation_exact", "other", by_hand.convolution(activation=Activation.OTHER)),
    (
        "activation_exact",
        "ReLU6 with an output range up to 126",
        by_hand.convolution(activation=Activation.RELU6),
    ),
    (
        "scale_fits",
        "6.554e+04",
        convolution_with(WEIGHTS, quantization=by_hand.quantised(65536.0)),
    ),
    (
        "scale_fits",
        "1e-34",
        convolution_with(WEIGHTS, quantization=by_hand.quantised(1e-34)),
    ),
]


def addition_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.addition(), index, **changes)


ADDITIONS: list[tuple[str, str, Graph]] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(by_hand.addition(), inputs=(FIRST,)),
    ),
    ("bytes_unsigned", "second is int16", addition_with(SECOND, dtype="int16")),
    (
        "batch_of_one",
        "first has shape [1, 1, 4, 6, 5]",
        by_hand.addition((1, 1, 4, 6, 5)),
    ),
    ("operands_computed", "second is constant", addition_with(SECOND, data=zeros(1, 4, 6, 5))),
    (
        "no_broadcast",
        "[1, 4, 6, 5] + [1, 1, 1, 5] -> [1, 4, 6, 5]",
        addition_with(SECOND, shape=(1, 1, 1, 5)),
    ),
    ("quantised_per_tensor", "sum has no quantisation", addition_with(SUM, quantization=None)),
    ("image_size", "first is 1x1x16384", by_hand.addition((1, 1, 1, 16384))),
    # A prime: no width and height but one row of all.
    ("addition_size", "8209 elements", by_hand.addition((1, 1, 1, 8209))),
    ("activation_exact", "other", by_hand.addition(activation=Activation.OTHER)),
    (
        "scale_fits",
        "2e+07",
        by_hand.with_tensor(
            addition_with(FIRST, quantization=by_hand.quantised(20000.0)),
            SUM,
            quantization=by_hand.quantised(0.001),
        ),
    ),
    (
        "addition_exact",
        "1.25 steps",
        by_hand.with_tensor(
            addition_with(FIRST, quantization=by_hand.quantised(7.77)),
            SUM,
            quantization=by_hand.quantised(0.02),
        ),
    ),
]
PADDINGS: list[tuple[str, str, Graph]] = [
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
    ("bytes_unsigned", "padded is int8", by_hand.with_tensor(by_hand.padding(), 2, dtype="int8")),
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
BROKEN = [
    pytest.param(rule, found, graph, id=f"{graph.operators[0].kind}-{rule}-{number}")
    for number, (rule, found, graph) in enumerate(CONVOLUTIONS + ADDITIONS + PADDINGS)
]


@pytest.mark.parametrize(("rule", "found", "graph"), BROKEN)
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    verdict = judged(graph)
    assert not verdict.supported
    assert (verdict.rule, verdict.found) == (rule, found)
    assert verdict.allowed == SENTENCES[rule]
    assert verdict.reason == f"{SENTENCES[rule]} Found: {found}."


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    rules = {rule.__name__ for group in support.RULES.values() for rule in group}
    assert rules == SENTENCES.keys()
    broken = {parameter.values[0] for parameter in BROKEN} | {"padding_reaches"}
    assert broken == rules
    found = {
        rule.__name__: support.sentence(rule) for group in support.RULES.values() for rule in group
    }
    assert found == SENTENCES


def test_padding_that_leaves_a_shorter_offset_field() -> None:
    """An 11x11 kernel needs 5; offsets of revision 7004 have 3 bits and end at -4."""
    graph = by_hand.convolution((1, 16, 16, 4), (11, 11))
    assert judged(graph).supported
    verdict = judged(graph, "vipnano-qi-7004-eco0")
    assert (verdict.rule, verdict.found) == ("padding_reaches", "5 rows and 5 columns")


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(graph, id=name)
        for name, graph in {
            "convolution": by_hand.convolution(),
            "depthwise": by_hand.convolution(outputs=4, depthwise=True),
            "multiplier of 2": by_hand.convolution(outputs=8, depthwise=True, depth_multiplier=2),
            "no bias": by_hand.with_operator(by_hand.convolution(), inputs=(IMAGE, WEIGHTS, -1)),
            "bias not in the list": by_hand.with_operator(
                by_hand.convolution(), inputs=(IMAGE, WEIGHTS)
            ),
            "stride 2": by_hand.convolution(stride_rows=2, stride_columns=2),
            "VALID": by_hand.convolution(padding=Padding.VALID),
            "largest kernel": by_hand.convolution((1, 16, 16, 4), (11, 11)),
            "rows only": by_hand.convolution(kernel=(7, 1)),
            "tallest": by_hand.convolution((1, 8191, 1, 1), (1, 1)),
            "tallest with stride": by_hand.convolution(
                (1, 4094, 2, 4), stride_rows=2, stride_columns=2
            ),
            "deepest": by_hand.convolution((1, 2, 2, 16383), (1, 1)),
            "deepest with stride": by_hand.convolution(
                (1, 2, 2, 4095), (1, 1), stride_rows=2, stride_columns=2
            ),
            "smaller output than SAME gives": by_hand.convolution(result=(1, 4, 4, 6)),
            "factor just below 2^16": by_hand.with_tensor(
                by_hand.convolution(), WEIGHTS, quantization=by_hand.quantised(65535.0)
            ),
            "ReLU": by_hand.convolution(activation=Activation.RELU),
            "ReLU6 that clamps nothing": by_hand.with_tensor(
                by_hand.convolution(activation=Activation.RELU6),
                RESULT,
                quantization=by_hand.quantised(6 / 255, 0),
            ),
            "equal scales per channel": by_hand.with_tensor(
                by_hand.convolution(),
                WEIGHTS,
                quantization=Quantization((0.01,) * 6, (3,) * 6),
            ),
            "addition": by_hand.addition(),
            "addition of numbers": by_hand.addition((1,)),
            "addition of rows": by_hand.addition((4, 6)),
            "addition of 8191 rows": by_hand.addition((1, 8191, 7, 1)),
            "padding": by_hand.padding(),
        }.items()
    ],
)
def test_taken(graph: Graph) -> None:
    verdict = judged(graph)
    assert verdict.supported, verdict.reason
    assert (verdict.rule, verdict.reason) == ("", "")


def test_what_is_taken_compiles() -> None:
    """Verdicts are promises: no rule leaves it to a later stage to refuse."""
    for graph in (
        by_hand.convolution(outputs=8, depthwise=True, depth_multiplier=2),
        by_hand.convolution((1, 16, 16, 4), (11, 11)),
        by_hand.convolution((1, 8191, 1, 1), (1, 1)),
        by_hand.convolution((1, 4094, 2, 4), stride_rows=2, stride_columns=2),
        by_hand.convolution((1, 2, 2, 4095), (1, 1), stride_rows=2, stride_columns=2),
        by_hand.convolution(result=(1, 4, 4, 6)),
        by_hand.addition((1,)),
        by_hand.addition((1, 8191, 7, 1)),
        by_hand.padding(),
    ):
        for schedule in ("reference", "best"):
            assert len(compile_graph(graph, chip(), schedule).parts) == 1


def test_other_operators_are_named() -> None:
    graph = by_hand.with_operator(by_hand.addition(), kind="SOFTMAX", index=7)
    verdict = judged(graph)
    assert (verdict.operator, verdict.rule) == (7, "operator")
    assert verdict.reason == ("The NPU takes CONV_2D, DEPTHWISE_CONV_2D, ADD, PAD. Found: SOFTMAX.")


def test_the_first_broken_rule_counts() -> None:
    graph = by_hand.convolution(stride_rows=3, stride_columns=3, dilation_rows=2)
    assert judged(graph).rule == "no_dilation"


def test_a_graph_of_which_nothing_is_taken_is_an_error() -> None:
    graph = by_hand.convolution(dilation_rows=2)
    with pytest.raises(ModelError) as caught:
        compile_graph(graph, chip())
    assert str(caught.value) == (
        "by hand: the NPU takes none of its operators; the first: Dilation is 1. "
        "Found: dilation 2x1."
    )


@pytest.mark.parametrize(
    ("model", "taken", "of"),
    [
        ("mobilenet_v1_1.0_224_quant", 28, 31),
        ("mobilenet_v2_1.0_224_quant", 63, 66),
        ("ssdlite_mobiledet_coco_qat_postprocess", 108, 125),
        ("tf2_mobilenet_v2_1.0_224_ptq", 0, 68),
    ],
)
def test_operators_taken_of_whole_models(model: str, taken: int, of: int) -> None:
    graph = tflite.load(shared_data() / "models" / f"{model}.tflite")
    verdicts = support.judge_all(graph, chip())
    assert (sum(verdict.supported for verdict in verdicts), len(verdicts)) == (taken, of)
    assert [verdict.operator for verdict in verdicts] == [o.index for o in graph.operators]
    for verdict in verdicts:
        assert verdict.supported or verdict.reason.endswith(f"Found: {verdict.found}.")
