"""What the NPU takes of TRANSPOSE_CONV and Convolution2DTransposeBias: each rule is broken by a
graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import transposed_convolution
from lapilli.model.graph import Activation, Graph, Padding, Quantization
from lapilli.model.options import TRANSPOSED_WITH_BIAS, TransposedConvolution

SENTENCES = {
    "constant_kernel": (
        "Weights must be constant bytes (uint8 or int8) of four dimensions, the bias "
        "constant int32 (or int16) or absent."
    ),
    "weights_centred": (
        "int8 weights must have the zero point 0 (LiteRT's kernels for int8 look at no other)."
    ),
    "kernel_agrees": (
        "The shapes of image, weights, bias and output must belong together, "
        "and strides must be 1 to 8."
    ),
    "phases_fit": (
        "Over its stride a kernel must be no larger than the chip's (A311D: 11x11), as "
        "is the padding that it needs (8), and all kernels together are at most 16383."
    ),
    "product_scale_fits": (
        "The factor from accumulator to output must have a multiplier and "
        "shift (A311D: 2^-112 to 2^16)."
    ),
}
IMAGE, WEIGHTS, BIAS, SHAPE, RESULT = 0, 1, 2, 3, 4
KINDS = ("TRANSPOSE_CONV", TRANSPOSED_WITH_BIAS)


def transposed(
    kind: str,
    image: tuple[int, ...] = (1, 4, 6, 5),
    kernel: tuple[int, int] = (3, 3),
    outputs: int = 7,
    result: tuple[int, ...] | None = None,
    stride: int = 2,
    activation: Activation = Activation.NONE,
) -> Graph:
    made = result or (1, image[1] * stride, image[2] * stride, outputs)
    weights = np.zeros((outputs, *kernel, image[3]), np.uint8)
    tensors = (
        by_hand.tensor(IMAGE, "image", image),
        by_hand.constant(WEIGHTS, "weights", weights, quantization=by_hand.quantised(0.01)),
        by_hand.constant(BIAS, "bias", np.zeros(outputs, np.int32), quantization=None),
        by_hand.constant(SHAPE, "shape", np.array(made, np.int32), quantization=None),
        by_hand.tensor(RESULT, "result", made),
    )
    plain = kind == "TRANSPOSE_CONV"
    inputs = (SHAPE, WEIGHTS, IMAGE, BIAS) if plain else (IMAGE, WEIGHTS, BIAS)
    options = TransposedConvolution(Padding.SAME, stride, stride, activation)
    return by_hand.one_operator(kind, tensors, inputs, options)


def broken(kind: str) -> list[Broken]:
    def with_tensor(index: int, **changes: Any) -> Graph:
        return by_hand.with_tensor(transposed(kind), index, **changes)

    unfit = by_hand.with_operator(transposed(kind), options=None)
    few = "2 inputs, 1 outputs" if kind == "TRANSPOSE_CONV" else "1 inputs, 1 outputs"
    inputs = transposed(kind).operators[0].inputs
    lost = tuple(-1 if i == IMAGE else i for i in inputs)
    unknown = with_tensor(IMAGE, quantization=None)
    signed = {"signed": True, "quantization": Quantization((0.5,), (131,))}
    shape = (7, 3, 3, 5)
    return [
        ("operands_present", few, by_hand.with_operator(transposed(kind), inputs=lost)),
        ("operands_computed", "image is constant", with_tensor(IMAGE, data=zeros(1, 4, 6, 5))),
        ("eight_bit", "result is int16", with_tensor(RESULT, dtype="int16")),
        (
            "image_of_four_dimensions",
            "image has shape [4, 6, 5]",
            with_tensor(IMAGE, shape=(4, 6, 5)),
        ),
        ("batch_of_one", "image has shape [2, 4, 6, 5]", with_tensor(IMAGE, shape=(2, 4, 6, 5))),
        (
            "constant_kernel",
            f"weights is computed uint8 of shape {list(shape)}",
            with_tensor(WEIGHTS, data=None),
        ),
        ("constant_kernel", "bias is constant int64", with_tensor(BIAS, dtype="int64")),
        ("quantised_per_tensor", "image has no quantisation", unknown),
        ("weights_centred", "zero point 3", with_tensor(WEIGHTS, **signed)),
        ("kernel_agrees", "no options", unfit),
        (
            "kernel_agrees",
            "[1, 4, 6, 5] -> [1, 8, 12, 6] with kernel [7, 3, 3, 5]",
            transposed(kind, result=(1, 8, 12, 6)),
        ),
        (
            "kernel_agrees",
            "[1, 4, 6, 5] -> [1, 36, 54, 7] with kernel [7, 3, 3, 5]",
            transposed(kind, stride=9),
        ),
        (
            "kernel_agrees",
            "6 biases for 7 output channels",
            with_tensor(BIAS, shape=(6,), data=zeros(6, dtype="int32")),
        ),
        ("image_size", "result is 2x8192x7", transposed(kind, (1, 1, 4096, 5))),
        ("phases_fit", "12x2 taps, 4 kinds of pixels", transposed(kind, kernel=(24, 3))),
        (
            "phases_fit",
            "1x1 taps, 64 kinds of pixels",
            transposed(kind, (1, 4, 4, 1), (1, 1), 256, stride=8),
        ),
        ("activation_exact", "other", transposed(kind, activation=Activation.OTHER)),
        (
            "product_scale_fits",
            "6.554e+04",
            with_tensor(WEIGHTS, quantization=by_hand.quantised(65536.0)),
        ),
    ]


@pytest.mark.parametrize(
    ("rule", "found", "graph"), parameters([case for kind in KINDS for case in broken(kind)])
)
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


@pytest.mark.parametrize("number", [0, 1])
def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it(number: int) -> None:
    record = transposed_convolution.RECORDS[number]
    assert record.kinds == (KINDS[number],)
    check_complete(record, broken(KINDS[number]), SENTENCES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("kernel", "stride"), [((2, 2), 2), ((4, 4), 2), ((3, 3), 1), ((1, 1), 4), ((5, 3), 3)]
)
def test_taken(kind: str, kernel: tuple[int, int], stride: int) -> None:
    verdict = judged(transposed(kind, kernel=kernel, stride=stride))
    assert verdict.supported, verdict.reason
