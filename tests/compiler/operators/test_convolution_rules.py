"""What the NPU takes of convolutions: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from hand_graphs import BIAS, IMAGE, RESULT, WEIGHTS
from rule_checks import Broken, check_broken, check_complete, chip, judged, parameters, zeros

from lapilli.compiler.operators import convolution
from lapilli.compiler.stages import compile_part
from lapilli.model.graph import Activation, Graph, Padding, Quantization

SENTENCES = {
    "few_images": (
        "There must be at most 16 images in a batch, as many behind the convolution as in front."
    ),
    "constant_weights": (
        "Weights must be constant bytes (uint8 or int8), the bias "
        "constant int32 (or int16) or absent."
    ),
    "weights_centred": (
        "int8 weights must have the zero point 0 (LiteRT's kernels for int8 look at no other)."
    ),
    "shapes_agree": "The shapes of image, weights, bias and output must belong together.",
    "planes_fit": (
        "Where the chip has no field for a stride (only 1 and 2, the same for rows and "
        "columns), a kernel (A311D: 11x11, dilation included) or its padding, rows and "
        "columns become channels: then there may be at most 16383 of them, on images "
        "of at most 8191 x 8191 and fewer than 2^28 bytes."
    ),
}


def convolution_with(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(by_hand.convolution(), index, **changes)


PER_CHANNEL = Quantization((0.5, 0.25), (0, 0))
CONVOLUTIONS: list[Broken] = [
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
    ("eight_bit", "image is int16", convolution_with(IMAGE, dtype="int16")),
    ("eight_bit", "result is float32", convolution_with(RESULT, dtype="float32")),
    (
        "image_of_four_dimensions",
        "image has shape [8, 8, 4]",
        convolution_with(IMAGE, shape=(8, 8, 4)),
    ),
    ("few_images", "2 -> 1", convolution_with(IMAGE, shape=(2, 8, 8, 4))),
    ("few_images", "17 -> 17", by_hand.convolution((17, 8, 8, 4), result=(17, 8, 8, 6))),
    (
        "no_empty_dimension",
        "result has shape [1, 0, 8, 6]",
        convolution_with(RESULT, shape=(1, 0, 8, 6)),
    ),
    (
        "constant_weights",
        "weights is constant int4 of shape [6, 3, 3, 4]",
        convolution_with(WEIGHTS, dtype="int4"),
    ),
    (
        "constant_weights",
        "weights is computed uint8 of shape [6, 3, 3, 4]",
        convolution_with(WEIGHTS, data=None),
    ),
    ("constant_weights", "bias is constant int64", convolution_with(BIAS, dtype="int64")),
    (
        "weights_centred",
        "zero point 3",
        convolution_with(WEIGHTS, signed=True, quantization=Quantization((0.5,), (131,))),
    ),
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
    (
        "shapes_agree",
        "[1, 8, 8, 4] -> [1, 6, 8, 6] with kernel [3, 3]",
        by_hand.convolution(result=(1, 6, 8, 6), padding=Padding.VALID, dilation_rows=2),
    ),
    (
        "planes_fit",
        "1x1x19600",
        by_hand.convolution(stride_rows=70, stride_columns=70),
    ),
    (
        "planes_fit",
        "8010x8x17472",
        by_hand.convolution((1, 8000, 8, 32), (6000, 1)),
    ),
    (
        "planes_fit",
        "1x2731x12",
        by_hand.convolution((1, 1, 8191, 4), (1, 3), stride_columns=3),
    ),
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
    ("activation_exact", "other", by_hand.convolution(activation=Activation.OTHER)),
    (
        "activation_exact",
        "8209 elements",
        by_hand.convolution((1, 1, 1, 4), (1, 1), 8209, activation=Activation.RELU6),
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


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(CONVOLUTIONS))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(convolution.RECORD, CONVOLUTIONS, SENTENCES)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"dilation_rows": 2}),
        ((3, 3), {"dilation_rows": 7, "dilation_columns": 7}),
        ((13, 1), {}),
        ((1, 13), {"padding": Padding.VALID}),
        ((3, 3), {"stride_rows": 2}),
        ((16, 16), {"stride_rows": 16, "stride_columns": 16}),
    ],
)
def test_taken(kernel: tuple[int, int], options: dict[str, Any]) -> None:
    verdict = judged(by_hand.convolution((1, 32, 32, 4), kernel, **options))
    assert verdict.supported, verdict.reason


def test_padding_that_leaves_a_shorter_offset_field() -> None:
    """An 11x11 kernel needs 5; offsets of revision 7004 have 3 bits and end at -4, so there the
    TP cores make planes with the padding in front."""
    graph = by_hand.convolution((1, 16, 16, 4), (11, 11))
    kinds = {}
    for name in ("a311d", "vipnano-qi-7004-eco0"):
        assert judged(graph, name).supported
        part = compile_part(graph, [0], chip(name))
        kinds[name] = list(dict.fromkeys(job.kind for job in part.jobs))
    assert kinds["a311d"] == ["transpose", "convolution", "detranspose"]
    assert kinds["vipnano-qi-7004-eco0"] == ["transpose", "planes", "convolution", "detranspose"]


def test_the_first_broken_rule_counts() -> None:
    graph = by_hand.convolution(stride_rows=70, stride_columns=70, activation=Activation.OTHER)
    assert judged(graph).rule == "planes_fit"
