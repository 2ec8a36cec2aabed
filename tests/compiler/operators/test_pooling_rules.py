"""What the NPU takes of AVERAGE_POOL_2D and MAX_POOL_2D: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import average_pooling, max_pooling
from lapilli.model.graph import Graph
from lapilli.model.options import Activation, Padding, Pooling

AVERAGE = {
    "window_size": (
        "Windows must be no larger than the chip's kernels (A311D: 11x11), or cover all of an "
        "image; then its sums, and those of its columns if it has over 16383 pixels, must fit into "
        "an image of at most 8191 x 8191."
    ),
    "few_counts": (
        "The windows may have at most 3 different numbers of pixels inside the image "
        "(SAME divides by what is inside, so border and corners are jobs of their own)."
    ),
}
LARGEST = {
    "comparisons_fit": (
        "There may be at most 16383 channels in any job: groups of channels whose rows "
        "lie one below the other have at most 8191 rows, and there are up to six "
        "planes of each group."
    ),
}
IMAGE, RESULT = 0, 1


def pooling(
    kind: str,
    image: tuple[int, ...] = (1, 8, 6, 5),
    result: tuple[int, ...] = (1, 4, 3, 5),
    window: tuple[int, int] = (2, 2),
    stride: tuple[int, int] = (2, 2),
    padding: Padding = Padding.VALID,
    activation: Activation = Activation.NONE,
) -> Graph:
    tensors = by_hand.tensor(IMAGE, "image", image), by_hand.tensor(RESULT, "result", result)
    options = Pooling(padding, *window, *stride, activation)
    return by_hand.one_operator(kind, tensors, (IMAGE,), options)


def shared(kind: str) -> list[Broken]:
    """What both break."""

    def with_tensor(index: int, **changes: Any) -> Graph:
        return by_hand.with_tensor(pooling(kind), index, **changes)

    without = by_hand.with_operator(pooling(kind), inputs=(-1,))
    flat, unknown = with_tensor(RESULT, shape=(4, 3, 5)), with_tensor(IMAGE, quantization=None)
    wide = "[1, 8, 6, 5] -> [1, 4, 4, 5] with window 2x2"
    return [
        ("operands_present", "0 inputs, 1 outputs", without),
        ("operands_computed", "image is constant", with_tensor(IMAGE, data=zeros(1, 8, 6, 5))),
        ("eight_bit", "result is int16", with_tensor(RESULT, dtype="int16")),
        ("image_of_four_dimensions", "result has shape [4, 3, 5]", flat),
        ("batch_of_one", "image has shape [2, 8, 6, 5]", with_tensor(IMAGE, shape=(2, 8, 6, 5))),
        ("windows_fit", "no options", by_hand.with_operator(pooling(kind), options=None)),
        ("windows_fit", wide, pooling(kind, result=(1, 4, 4, 5))),
        ("windows_fit", wide[:-3] + "0x2", pooling(kind, result=(1, 4, 4, 5), window=(0, 2))),
        (
            "windows_fit",
            "[1, 8, 6, 5] -> [1, 4, 3, 6] with window 2x2",
            pooling(kind, result=(1, 4, 3, 6)),
        ),
        ("quantised_per_tensor", "image has no quantisation", unknown),
        (
            "quantisation_stays",
            "(0.5, 3) and (0.5, 4)",
            with_tensor(RESULT, quantization=by_hand.quantised(0.5, 4)),
        ),
        ("window_strides", "stride 3x3", pooling(kind, result=(1, 3, 2, 5), stride=(3, 3))),
        ("window_strides", "stride 2x1", pooling(kind, result=(1, 4, 5, 5), stride=(2, 1))),
        ("window_strides", "stride 9x9", pooling(kind, result=(1, 1, 1, 5), stride=(9, 9))),
        (
            "image_size",
            "image is 8192x1x5",
            pooling(kind, (1, 8192, 1, 5), (1, 8192, 1, 5), (1, 1), (1, 1)),
        ),
        ("activation_exact", "other", pooling(kind, activation=Activation.OTHER)),
    ]  # fmt: skip


AVERAGES: list[Broken] = [
    *shared("AVERAGE_POOL_2D"),
    (
        "window_size",
        "a window of 12x12 in 20x20x5",
        pooling("AVERAGE_POOL_2D", (1, 20, 20, 5), (1, 5, 5, 5), (12, 12)),
    ),
    (
        "window_size",
        "a window of 5500x3 in 5500x3x8209",
        pooling("AVERAGE_POOL_2D", (1, 5500, 3, 8209), (1, 1, 1, 8209), (5500, 3), (1, 1)),
    ),
    (
        "window_size",
        "a window of 7x7 in 7x7x8209",
        pooling("AVERAGE_POOL_2D", (1, 7, 7, 8209), (1, 1, 1, 8209), (7, 7), (1, 1)),
    ),
    (
        "few_counts",
        "6 different numbers",
        pooling("AVERAGE_POOL_2D", (1, 8, 8, 5), (1, 8, 8, 5), (5, 5), (1, 1), Padding.SAME),
    ),
]
LARGESTS: list[Broken] = [
    *shared("MAX_POOL_2D"),
    (
        "comparisons_fit",
        "16418 channels",
        pooling("MAX_POOL_2D", (1, 4, 4, 8209), (1, 4, 4, 8209), (2, 2), (1, 1), Padding.SAME),
    ),
]
ELSEWHERE = ("window_padding",)


@pytest.mark.parametrize(("rule", "found", "graph"), parameters([*AVERAGES, *LARGESTS]))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, {**AVERAGE, **LARGEST})


def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it() -> None:
    check_complete(average_pooling.RECORD, AVERAGES, AVERAGE, ELSEWHERE)
    check_complete(max_pooling.RECORD, LARGESTS, LARGEST, ELSEWHERE)


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_padding_that_leaves_a_shorter_offset_field(kind: str) -> None:
    """Offsets of revision 7004 have 3 bits and end at -4."""
    window = (11, 1) if kind == "MAX_POOL_2D" else (10, 1)
    graph = pooling(kind, (1, 16, 1, 5), (1, 16, 1, 5), window, (1, 1), Padding.SAME)
    rules = {judged(graph).rule, judged(graph, "vipnano-qi-7004-eco0").rule}
    assert rules == ({"", "window_padding"} if kind == "MAX_POOL_2D" else {"few_counts"})


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize(
    ("result", "window", "stride", "padding"),
    [
        ((1, 4, 3, 5), (2, 2), (2, 2), Padding.VALID),
        ((1, 8, 6, 5), (3, 3), (1, 1), Padding.SAME),
        ((1, 4, 3, 5), (3, 3), (2, 2), Padding.SAME),
        ((1, 1, 1, 5), (8, 6), (8, 6), Padding.VALID),
        ((1, 1, 3, 5), (8, 2), (7, 2), Padding.VALID),
        ((1, 4, 1, 5), (2, 6), (2, 9), Padding.VALID),
    ],
)
def test_taken(
    kind: str,
    result: tuple[int, ...],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
) -> None:
    verdict = judged(pooling(kind, (1, 8, 6, 5), result, window, stride, padding))
    assert verdict.supported, verdict.reason
