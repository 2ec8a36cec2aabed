"""What the NPU takes of operators that move pixels: RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR,
DEPTH_TO_SPACE, SPACE_TO_DEPTH and TRANSPOSE. Each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import bilinear, nearest_neighbours, pixel_blocks, transposing
from lapilli.compiler.operators.transposing import merged
from lapilli.model.graph import Graph
from lapilli.model.options import Blocks, Resizing

NEAREST = {
    "resized_shapes": (
        "The output must have other rows and columns, as many channels, and a constant size."
    ),
    "places_repeat": (
        "After at most 64 rows, and columns, those that are copied "
        "must repeat at the same distance."
    ),
}
PHASES = {
    "resized_shapes": NEAREST["resized_shapes"],
    "few_phases": (
        "Rows, and columns, of the output must lie at up to 8 different places between "
        "those of the image, which are up to sixteenths of a step, and at most 8 steps "
        "apart."
    ),
}
BLOCKS = {
    "blocks_agree": (
        "Blocks must have 1 to 16 rows and columns, and the larger "
        "image must be made of whole ones."
    ),
    "block_lines": "A row of blocks may have at most 65535 pixels in a line.",
}
TRANSPOSES = {
    "permutation_constant": (
        "The order of the axes must be constant and name each of "
        "them, and the output's shape follow."
    ),
    "few_axes": (
        "Axes that stay neighbours count as one. There may be at most three of those, "
        "or a further one with at most 64 elements; the others have at most 65535."
    ),
}
SENTENCES = {**NEAREST, **PHASES, **BLOCKS, **TRANSPOSES}
SOURCE, SECOND, RESULT = 0, 1, 2


def resized(
    source: tuple[int, ...] = (1, 4, 6, 5),
    result: tuple[int, ...] = (1, 8, 12, 5),
    size: tuple[int, ...] | None = None,
    kind: str = "RESIZE_NEAREST_NEIGHBOR",
    **options: bool,
) -> Graph:
    tensors = (
        by_hand.tensor(SOURCE, "source", source),
        by_hand.constant(
            SECOND, "size", np.array(size or result[1:3], np.int32), quantization=None
        ),
        by_hand.tensor(RESULT, "result", result),
    )
    return by_hand.one_operator(kind, tensors, (SOURCE, SECOND), Resizing(**options))


def blocked(
    source: tuple[int, ...] = (1, 4, 6, 20),
    result: tuple[int, ...] = (1, 8, 12, 5),
    block: int = 2,
    kind: str = "DEPTH_TO_SPACE",
) -> Graph:
    tensors = by_hand.tensor(0, "source", source), by_hand.tensor(1, "result", result)
    return by_hand.one_operator(kind, tensors, (0,), Blocks(block))


def transposed(
    source: tuple[int, ...] = (1, 4, 6, 5),
    axes: tuple[int, ...] = (0, 2, 1, 3),
    result: tuple[int, ...] | None = None,
) -> Graph:
    shape = result or tuple(source[axis] for axis in axes)
    tensors = (
        by_hand.tensor(SOURCE, "source", source),
        by_hand.constant(SECOND, "axes", np.array(axes, np.int32), quantization=None),
        by_hand.tensor(RESULT, "result", shape),
    )
    return by_hand.one_operator("TRANSPOSE", tensors, (SOURCE, SECOND), None)


def shared(graph: Graph, result: int) -> list[Broken]:
    """What all of them break."""

    def with_tensor(index: int, **changes: Any) -> Graph:
        return by_hand.with_tensor(graph, index, **changes)

    needed = len(graph.operators[0].inputs)
    missing = by_hand.with_operator(graph, inputs=(-1, *graph.operators[0].inputs[1:]))
    shape = graph.tensors[0].shape
    return [
        ("operands_present", f"{needed - 1} inputs, 1 outputs", missing),
        ("operands_computed", "source is constant", with_tensor(0, data=zeros(*shape))),
        ("eight_bit", "result is int16", with_tensor(result, dtype="int16")),
        ("quantised_per_tensor", "source has no quantisation", with_tensor(0, quantization=None)),
        (
            "quantisation_stays",
            "(0.5, 3) and (0.5, 4)",
            with_tensor(result, quantization=by_hand.quantised(0.5, 4)),
        ),
    ]


def of_images(graph: Graph, result: int) -> list[Broken]:
    """What those of images break."""
    flat = by_hand.with_tensor(graph, result, shape=(8, 12, 5))
    pair = by_hand.with_tensor(graph, 0, shape=(2, *graph.tensors[0].shape[1:]))
    return [
        ("image_of_four_dimensions", "result has shape [8, 12, 5]", flat),
        ("batch_of_one", f"source has shape {list(pair.tensors[0].shape)}", pair),
    ]


def of_resizing(kind: str) -> list[Broken]:
    """What both ways to resize break."""
    graph = resized(kind=kind)
    other = "a size that is not constant, or not the output's"
    return [
        *shared(graph, RESULT),
        *of_images(graph, RESULT),
        ("resized_shapes", other, by_hand.with_tensor(graph, SECOND, data=None)),
        ("resized_shapes", other, resized(size=(8, 11), kind=kind)),
        ("resized_shapes", "no options", by_hand.with_operator(graph, options=None)),
        (
            "resized_shapes",
            "[1, 4, 6, 5] -> [1, 8, 12, 4]",
            resized(result=(1, 8, 12, 4), kind=kind),
        ),
    ]


RESIZED: list[Broken] = [
    *of_resizing("RESIZE_NEAREST_NEIGHBOR"),
    ("moved_size", "result has shape [1, 65536, 12, 5]", resized(result=(1, 65536, 12, 5))),
    ("places_repeat", "131 -> 197", resized((1, 4, 131, 5), (1, 8, 197, 5))),
    ("places_repeat", "4 -> 300", resized((1, 4, 6, 5), (1, 300, 12, 5))),
    ("places_repeat", "1 -> 300", resized((1, 1, 6, 2), (1, 300, 300, 2))),
    ("places_repeat", "99 -> 33", resized((1, 99, 33000, 1), (1, 33, 33000, 1))),
]
BILINEAR = "RESIZE_BILINEAR"
WEIGHTED: list[Broken] = [
    *of_resizing(BILINEAR),
    ("image_size", "result is 8x8192x5", resized(result=(1, 8, 8192, 5), kind=BILINEAR)),
    ("few_phases", "4 -> 36", resized(result=(1, 36, 12, 5), kind=BILINEAR)),
    ("few_phases", "6 -> 17", resized(result=(1, 8, 17, 5), kind=BILINEAR)),
    ("few_phases", "27 -> 3", resized((1, 27, 6, 5), (1, 3, 12, 5), kind=BILINEAR)),
    (
        "few_phases",
        "6 -> 54",
        resized(result=(1, 8, 54, 5), kind=BILINEAR, half_pixel_centers=True),
    ),
]
DEEP: list[Broken] = [
    *shared(blocked(), 1),
    *of_images(blocked(), 1),
    ("blocks_agree", "no options", by_hand.with_operator(blocked(), options=None)),
    (
        "blocks_agree",
        "[1, 4, 6, 20] -> [1, 8, 12, 5] with blocks of 3x3",
        blocked(block=3),
    ),
    (
        "blocks_agree",
        "[1, 4, 6, 20] -> [1, 8, 12, 5] with blocks of 0x0",
        blocked(block=0),
    ),
    (
        "blocks_agree",
        "[1, 1, 1, 289] -> [1, 17, 17, 1] with blocks of 17x17",
        blocked((1, 1, 1, 289), (1, 17, 17, 1), 17),
    ),
    (
        "moved_size",
        "result has shape [1, 2, 65536, 1]",
        blocked((1, 1, 32768, 4), (1, 2, 65536, 1)),
    ),
]
TRANSPOSED: list[Broken] = [
    *shared(transposed(), RESULT),
    (
        "no_empty_dimension",
        "source has shape [1, 0, 6, 5]",
        by_hand.with_tensor(transposed(), SOURCE, shape=(1, 0, 6, 5)),
    ),
    (
        "permutation_constant",
        "another order",
        by_hand.with_tensor(transposed(), SECOND, data=None),
    ),
    ("permutation_constant", "another order", transposed(axes=(0, 2, 2, 3))),
    (
        "permutation_constant",
        "[1, 4, 6, 5] -> [1, 4, 6, 5]",
        transposed(result=(1, 4, 6, 5)),
    ),
    ("byte_count", "source has 268435456 bytes", transposed((1, 1 << 14, 1 << 14, 1))),
    ("few_axes", "65x2x2x2", transposed((65, 2, 2, 2), (3, 2, 1, 0))),
    ("few_axes", "2x65536", transposed((2, 65536), (1, 0))),
]
RECORDS = {
    "RESIZE_NEAREST_NEIGHBOR": (nearest_neighbours.RECORD, RESIZED, NEAREST, ()),
    "RESIZE_BILINEAR": (bilinear.RECORD, WEIGHTED, PHASES, ()),
    "DEPTH_TO_SPACE": (pixel_blocks.RECORDS[0], DEEP, BLOCKS, ("block_lines",)),
    "SPACE_TO_DEPTH": (pixel_blocks.RECORDS[1], DEEP, BLOCKS, ("block_lines",)),
    "TRANSPOSE": (transposing.RECORD, TRANSPOSED, TRANSPOSES, ()),
}


@pytest.mark.parametrize(
    ("rule", "found", "graph"), parameters([*RESIZED, *WEIGHTED, *DEEP, *TRANSPOSED])
)
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


@pytest.mark.parametrize("kind", RECORDS)
def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it(kind: str) -> None:
    check_complete(*RECORDS[kind])


@pytest.mark.parametrize(
    ("source", "size", "options"),
    [
        ((1, 40, 40, 3), (80, 120), {}),
        ((1, 40, 40, 3), (80, 80), {"half_pixel_centers": True}),
        ((1, 65, 65, 3), (513, 513), {"align_corners": True}),
        ((1, 40, 40, 3), (20, 10), {}),
        ((1, 10, 10, 3), (25, 15), {}),
        ((1, 1, 1, 3), (65, 65), {}),
    ],
)
def test_sizes_taken(
    source: tuple[int, ...], size: tuple[int, int], options: dict[str, bool]
) -> None:
    for kind in ("RESIZE_NEAREST_NEIGHBOR", BILINEAR):
        verdict = judged(resized(source, (1, *size, source[3]), kind=kind, **options))
        assert verdict.supported, verdict.reason


@pytest.mark.parametrize(
    ("shape", "axes", "extents", "order"),
    [
        ((1, 4, 6, 5), (0, 1, 2, 3), [120], [0]),
        ((1, 4, 6, 5), (0, 3, 1, 2), [24, 5], [1, 0]),
        ((1, 4, 6, 2, 5), (0, 1, 2, 4, 3), [24, 2, 5], [0, 2, 1]),
        ((4, 1, 5), (1, 2, 0), [4, 5], [1, 0]),
        ((2, 3, 4, 5), (3, 2, 1, 0), [2, 3, 4, 5], [3, 2, 1, 0]),
        ((1, 1), (1, 0), [], []),
    ],
)
def test_axes_that_stay_neighbours_move_as_one(
    shape: tuple[int, ...], axes: tuple[int, ...], extents: list[int], order: list[int]
) -> None:
    assert merged(shape, axes) == (extents, order)
