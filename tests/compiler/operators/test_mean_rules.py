"""What the NPU takes of MEAN: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import extremum_over, mean
from lapilli.model.graph import Graph
from lapilli.model.options import Reduction

SENTENCES = {
    "mean_axes": "The axes must be constant: rows, columns, both, channels or all of them.",
    "mean_shapes_agree": "The output must have the shape that the axes leave over.",
    "mean_size": (
        "At most 16383 elements may be summed up, or the mean taken of all of a channel's; the "
        "sums, and those of columns if there are more elements, must fit into an image of at most "
        "8191 x 8191."
    ),
    "mean_scale_fits": (
        "The factor from sum to output, over a power of two up to 128, must have a "
        "multiplier and shift (A311D: 2^-112 to 2^23, i.MX 8M Plus: below 256)."
    ),
}
OF_EXTREMA = {
    "compared_axes": "The axes must be constant: rows, or rows and columns.",
    "mean_shapes_agree": SENTENCES["mean_shapes_agree"],
    "halves_fit": "Halves, halves of those and so on must fit into images of at most 8191 x 8191.",
}
IMAGE, AXES, RESULT = 0, 1, 2


def over(
    axes: Any = (1, 2), image: tuple[int, ...] = (1, 8, 6, 5), result: tuple[int, ...] = (1, 5)
) -> Graph:
    tensors = (
        by_hand.tensor(IMAGE, "image", image),
        by_hand.constant(AXES, "axes", np.array(axes, np.int32), quantization=None),
        by_hand.tensor(RESULT, "result", result),
    )
    return by_hand.one_operator("MEAN", tensors, (IMAGE, AXES), Reduction())


def with_tensor(index: int, **changes: Any) -> Graph:
    return by_hand.with_tensor(over(), index, **changes)


UNKNOWN = "axes that are not constant numbers of the tensor's dimensions"
MEANS: list[Broken] = [
    ("operands_present", "1 inputs, 1 outputs", by_hand.with_operator(over(), inputs=(IMAGE,))),
    ("operands_computed", "image is constant", with_tensor(IMAGE, data=zeros(1, 8, 6, 5))),
    ("eight_bit", "result is float32", with_tensor(RESULT, dtype="float32")),
    ("batch_of_one", "image has shape [2, 8, 6, 5]", over(image=(2, 8, 6, 5), result=(2, 5))),
    ("mean_axes", UNKNOWN, with_tensor(AXES, data=None)),
    ("mean_axes", UNKNOWN, over((1, 4))),
    ("mean_axes", "axes [1, 3] of rows 1, columns 2, channels 3", over((1, 3), result=(1, 6))),
    ("quantised_per_tensor", "image has no quantisation", with_tensor(IMAGE, quantization=None)),
    ("mean_shapes_agree", "[1, 8, 6, 5] -> [1, 6] over [1, 2]", over(result=(1, 6))),
    ("mean_shapes_agree", "[1, 8, 6, 5] -> [5, 8] over [2]", over((2,), result=(5, 8))),
    ("image_size", "image is 8192x1x5", over(image=(1, 8192, 1, 5))),
    (
        "mean_size",
        "16384 elements of 128x128x5",
        by_hand.with_operator(over(image=(1, 128, 128, 5)), kind="SUM"),
    ),
    (
        "mean_size",
        "a window of 5500x3 in 5500x3x8209",
        over(image=(1, 5500, 3, 8209), result=(1, 8209)),
    ),
    (
        "mean_size",
        "16384 elements of 128x32x4",
        over((1, 2, 3), (1, 128, 32, 4), (1, 1)),
    ),
    (
        "mean_scale_fits",
        "scale 0.5 -> 1e-10",
        with_tensor(RESULT, quantization=by_hand.quantised(1e-10)),
    ),
]


def largest(graph: Graph) -> Graph:
    return by_hand.with_operator(graph, kind="REDUCE_MAX")


EXTREMA: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(largest(over()), inputs=(0,)),
    ),
    ("operands_computed", "image is constant", largest(with_tensor(IMAGE, data=zeros(1, 8, 6, 5)))),
    ("eight_bit", "result is float32", largest(with_tensor(RESULT, dtype="float32"))),
    ("batch_of_one", "image has shape [2, 8, 6, 5]", largest(over(image=(2, 8, 6, 5)))),
    ("compared_axes", UNKNOWN, largest(with_tensor(AXES, data=None))),
    (
        "compared_axes",
        "axes [2] of rows 1, columns 2, channels 3",
        largest(over((2,), result=(1, 8, 5))),
    ),
    (
        "quantised_per_tensor",
        "image has no quantisation",
        largest(with_tensor(IMAGE, quantization=None)),
    ),
    (
        "quantisation_stays",
        "(0.5, 3) and (0.5, 4)",
        largest(with_tensor(RESULT, quantization=by_hand.quantised(0.5, 4))),
    ),
    ("mean_shapes_agree", "[1, 8, 6, 5] -> [1, 6] over [1, 2]", largest(over(result=(1, 6)))),
    ("moved_size", "image has shape [1, 65536, 1, 5]", largest(over(image=(1, 65536, 1, 5)))),
    ("halves_fit", "8209 elements", largest(over(image=(1, 2, 1, 8209), result=(1, 8209)))),
]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters([*MEANS, *EXTREMA]))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, {**SENTENCES, **OF_EXTREMA})


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(mean.RECORD, MEANS, SENTENCES)
    check_complete(extremum_over.RECORD, EXTREMA, OF_EXTREMA)


@pytest.mark.parametrize("kind", extremum_over.RECORD.kinds)
@pytest.mark.parametrize(
    ("axes", "result"), [((1, 2), (1, 5)), ((1,), (1, 6, 5)), ((0,), (8, 6, 5))]
)
def test_extrema_are_taken(kind: str, axes: Any, result: tuple[int, ...]) -> None:
    verdict = judged(by_hand.with_operator(over(axes, result=result), kind=kind))
    assert verdict.supported, verdict.reason


@pytest.mark.parametrize(
    ("axes", "result"),
    [
        ((1, 2), (1, 5)),
        ((-2, -3), (1, 1, 1, 5)),
        ((1,), (1, 6, 5)),
        ((2,), (1, 8, 5)),
        ((3,), (1, 8, 6)),
        ((0, 1, 2, 3), ()),
        ((0,), (8, 6, 5)),
    ],
)
@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_taken(axes: Any, result: tuple[int, ...], chip: str) -> None:
    verdict = judged(over(axes, result=result), chip)
    assert verdict.supported, verdict.reason
