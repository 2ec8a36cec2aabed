"""What the NPU takes of CONCATENATION, PACK, SPLIT, SPLIT_V, UNPACK, SLICE, STRIDED_SLICE and
MIRROR_PAD: each rule is broken by a graph."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import Broken, check_broken, check_complete, judged, parameters, zeros

from lapilli.compiler.operators import joining, mirror_padding, slicing, splitting
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import (
    Activation,
    Concatenation,
    MirrorPadding,
    Options,
    Stack,
    StridedSlice,
)

JOIN = {
    "joined_axis": (
        "Operands must follow one another along rows, columns or "
        "channels, and nothing may be fused."
    ),
    "joined_shapes_agree": (
        "The operands' extents must be the result's, along the axis they add up to it."
    ),
}
JOIN_SCALES = {
    "operands_fit_scale": (
        "The ratio of an operand's scale to the result's, over a power of two up to "
        "128, must have a multiplier and shift, and operands of another scale must fit "
        "into images of at most 8191 x 8191."
    ),
}  # fmt: skip
SPLIT = {
    "split_axis": "The axis must be constant: rows, columns or channels.",
    "pieces_add_up": "The pieces' extents must be the tensor's, along the axis they add up to it.",
}
SLICE = {
    "slice_constant": (
        "Begins, sizes or ends, and strides must be constant and say something of each "
        "dimension by its place (no ellipsis, no new axis)."
    ),
    "slice_inside": (
        "What is taken must lie inside the tensor, in rising order, "
        "and be as much as the output has."
    ),
    "slice_steps": (
        "Bytes between the rows, and between the pixels, that are taken must be fewer than 2^16."
    ),
}
MIRROR = {
    "mirrored_lines": (
        "The border must be no wider than the image it repeats, and may have at most "
        "64 rows, columns and channels together; planes that are repeated have fewer "
        "than 2^16 elements."
    ),
}
SENTENCES = {**JOIN, **JOIN_SCALES, **SPLIT, **SLICE, **MIRROR}
SMALL, PLAIN = (1, 4, 6, 5), by_hand.quantised()


def graph_of(
    kind: str,
    inputs: tuple[tuple[str, Any], ...],
    outputs: tuple[tuple[int, ...], ...],
    options: Options = None,
) -> Graph:
    """``inputs``: names with a shape, or with the values of a constant of int32."""
    tensors = []
    for name, content in inputs:
        if isinstance(content, np.ndarray):
            tensors.append(by_hand.constant(len(tensors), name, content, quantization=None))
        else:
            tensors.append(by_hand.tensor(len(tensors), name, content))
    count = len(inputs)
    tensors += [by_hand.tensor(count + i, f"out{i}", shape) for i, shape in enumerate(outputs)]
    places = tuple(range(count)), tuple(range(count, len(tensors)))
    computed = tuple(t.index for t in tensors[:count] if t.data is None)
    operator = Operator(0, kind, *places, options)
    return Graph("by hand", tuple(tensors), (operator,), computed, places[1])


def ints(*values: Any) -> Any:
    return np.array(values, np.int32)


# ------------------------------------------------------------------------------------------ joining


def joined(
    first: tuple[int, ...] = SMALL,
    second: tuple[int, ...] = (1, 4, 6, 3),
    result: tuple[int, ...] = (1, 4, 6, 8),
    axis: int = 3,
    activation: Activation = Activation.NONE,
) -> Graph:
    options = Concatenation(axis, activation)
    return graph_of("CONCATENATION", (("a", first), ("b", second)), (result,), options)


def packed(
    first: tuple[int, ...] = (4, 6),
    second: tuple[int, ...] = (4, 6),
    result: tuple[int, ...] = (4, 6, 2),
    axis: int = 2,
) -> Graph:
    return graph_of("PACK", (("a", first), ("b", second)), (result,), Stack(axis))


def common(graph: Graph, second: int, shape: tuple[int, ...]) -> list[Broken]:
    """What all of them break. ``second``: a result's number, ``shape``: the first image's."""
    image = next(t.index for t in graph.tensors if t.data is None)
    name, other = graph.tensors[image].name, graph.tensors[second].name
    constant = by_hand.with_tensor(graph, image, data=zeros(*shape))
    return [
        ("operands_computed", f"{name} is constant", constant),
        ("eight_bit", f"{other} is int16", by_hand.with_tensor(graph, second, dtype="int16")),
        (
            "batch_of_one",
            f"{other} has shape [2, 1, 1, 1]",
            by_hand.with_tensor(graph, second, shape=(2, 1, 1, 1)),
        ),
        (
            "quantised_per_tensor",
            f"{other} has no quantisation",
            by_hand.with_tensor(graph, second, quantization=None),
        ),
    ]  # fmt: skip


def same_scale(graph: Graph, second: int) -> Broken:
    changed = by_hand.with_tensor(graph, second, quantization=by_hand.quantised(0.25))
    return "quantisation_stays", "(0.5, 3) and (0.25, 3)", changed


JOINS: list[Broken] = [
    ("operands_present", "0 inputs, 1 outputs", by_hand.with_operator(joined(), inputs=(-1,))),
    *common(joined(), 2, SMALL),
    ("joined_axis", "no options", by_hand.with_operator(joined(), options=None)),
    ("joined_axis", "axis 0 of [1, 4, 6, 8]", joined(axis=0)),
    ("joined_axis", "axis -5 of [1, 4, 6, 8]", joined(axis=-5)),
    ("joined_axis", "a fused ReLU", joined(activation=Activation.RELU)),
    ("joined_shapes_agree", "[1, 4, 6, 5] -> [1, 4, 6, 8]", joined(axis=2)),
    ("joined_shapes_agree", "7 elements along an axis of 8", joined(second=(1, 4, 6, 2))),
    ("joined_shapes_agree", "[4, 6, 3] -> [1, 4, 6, 8]", joined(second=(4, 6, 3))),
    (
        "operands_fit_scale",
        "b of 72 elements, ratio 1e+10",
        by_hand.with_tensor(joined(), 1, quantization=by_hand.quantised(5e9)),
    ),
    (
        "operands_fit_scale",
        "b of 8209 elements, ratio 0.5",
        by_hand.with_tensor(
            joined((1, 5), (1, 8209), (1, 8214), 1), 1, quantization=by_hand.quantised(0.25)
        ),
    ),
    (
        "moved_size",
        "b has shape [1, 65536, 1, 5]",
        joined((1, 1, 1, 5), (1, 65536, 1, 5), (1, 65537, 1, 5), 1),
    ),
]
PACKS: list[Broken] = [
    ("operands_present", "0 inputs, 1 outputs", by_hand.with_operator(packed(), inputs=(-1,))),
    *common(packed(), 2, (4, 6)),
    ("joined_axis", "axis 4 of [4, 6, 2]", packed(axis=4)),
    ("joined_shapes_agree", "[4, 5] -> [4, 6, 2]", packed(second=(4, 5))),
    ("joined_shapes_agree", "2 elements along an axis of 3", packed(result=(4, 6, 3))),
    same_scale(packed(), 1),
    ("moved_size", "a has shape [65536]", packed((65536,), (65536,), (65536, 2), 1)),
]

# ------------------------------------------------------------------------------------------ cutting


def split(axis: Any = (3,), pieces: tuple[tuple[int, ...], ...] = ((1, 4, 6, 4),) * 2) -> Graph:
    return graph_of("SPLIT", (("axis", ints(*axis)), ("whole", (1, 4, 6, 8))), pieces)


def split_v(axis: Any = (3,), pieces: tuple[tuple[int, ...], ...] = ((1, 4, 6, 3), SMALL)) -> Graph:
    inputs = ("whole", (1, 4, 6, 8)), ("sizes", ints(3, 5)), ("axis", ints(*axis))
    return graph_of("SPLIT_V", inputs, pieces)


def unpacked(axis: int = 3, pieces: tuple[tuple[int, ...], ...] = ((1, 4, 6),) * 3) -> Graph:
    return graph_of("UNPACK", (("whole", (1, 4, 6, 3)),), pieces, Stack(axis))


NO_AXIS = "an axis that is no constant number of the tensor's dimensions"
SPLITS: list[Broken] = [
    ("operands_present", "1 inputs, 2 outputs", by_hand.with_operator(split(), inputs=(0, -1))),
    *common(split(), 2, (1, 4, 6, 8)),
    ("split_axis", NO_AXIS, split((4,))),
    ("split_axis", NO_AXIS, split((1, 2))),
    ("split_axis", NO_AXIS, by_hand.with_tensor(split(), 0, data=None)),
    ("split_axis", "axis 0 of [1, 4, 6, 8]", split((0,))),
    ("pieces_add_up", "[1, 4, 6, 8] -> [1, 4, 6, 4]", split((2,))),
    ("pieces_add_up", "12 elements of 8", split(pieces=((1, 4, 6, 4),) * 3)),
    ("pieces_add_up", "[1, 4, 6, 8] -> [4, 6, 4]", split(pieces=((1, 4, 6, 4), (4, 6, 4)))),
    same_scale(split(), 2),
]
SPLITS_V: list[Broken] = [
    ("operands_present", "2 inputs, 2 outputs", by_hand.with_operator(split_v(), inputs=(0, 1))),
    *common(split_v(), 3, (1, 4, 6, 8)),
    ("split_axis", NO_AXIS, split_v((-5,))),
    ("pieces_add_up", "[1, 4, 6, 8] -> [1, 4, 6, 3]", split_v((1,))),
    same_scale(split_v(), 4),
]
UNPACKS: list[Broken] = [
    ("operands_present", "0 inputs, 3 outputs", by_hand.with_operator(unpacked(), inputs=(-1,))),
    *common(unpacked(), 1, (1, 4, 6, 3)),
    ("split_axis", NO_AXIS, by_hand.with_operator(unpacked(), options=None)),
    ("pieces_add_up", "2 elements of 3", unpacked(pieces=((1, 4, 6),) * 2)),
    same_scale(unpacked(), 1),
]


def sliced(
    begin: Any = (0, 1, 0, 2), size: Any = (1, 2, 6, 3), result: tuple[int, ...] = (1, 2, 6, 3)
) -> Graph:
    inputs = ("whole", SMALL), ("begin", ints(*begin)), ("size", ints(*size))
    return graph_of("SLICE", inputs, (result,))


def strided(
    strides: Any = (1, 2, 1, 1),
    result: tuple[int, ...] = (1, 2, 6, 5),
    whole: tuple[int, ...] = SMALL,
    **masks: int,
) -> Graph:
    inputs = (
        ("whole", whole),
        ("begin", ints(0, 0, 0, 0)),
        ("end", ints(*whole)),
        ("strides", ints(*strides)),
    )
    return graph_of("STRIDED_SLICE", inputs, (result,), StridedSlice(**masks))


SLICES: list[Broken] = [
    ("operands_present", "2 inputs, 1 outputs", by_hand.with_operator(sliced(), inputs=(0, 1))),
    *common(sliced(), 3, SMALL),
    ("slice_constant", "others", by_hand.with_tensor(sliced(), 1, data=None)),
    ("slice_constant", "others", sliced(begin=(0, 1))),
    ("slice_inside", "range(3, 5) of 4", sliced(begin=(0, 3, 0, 2))),
    ("slice_inside", "range(-1, 1) of 4", sliced(begin=(0, -1, 0, 2))),
    ("slice_inside", "range(1, 1) of 4", sliced(size=(1, 0, 6, 3))),
    ("slice_inside", "[1, 2, 6, 3] -> [1, 2, 6, 2]", sliced(result=(1, 2, 6, 2))),
    same_scale(sliced(), 3),
]
STRIDED: list[Broken] = [
    ("operands_present", "3 inputs, 1 outputs", by_hand.with_operator(strided(), inputs=(0, 1, 2))),
    *common(strided(), 4, SMALL),
    ("slice_constant", "others", strided(ellipsis_mask=1)),
    ("slice_constant", "others", strided(new_axis_mask=2)),
    ("slice_constant", "others", by_hand.with_operator(strided(), options=None)),
    ("slice_inside", "range(0, 3, -1) of 4", strided((1, -1, 1, 1))),
    (
        "slice_steps",
        "steps (1, 8, 1)",
        strided((1, 1, 8, 1), (1, 1, 2, 8192), (1, 1, 16, 8192)),
    ),
    same_scale(strided(), 4),
]

# ---------------------------------------------------------------------------------------- mirroring


def mirrored(amounts: Any, padded: tuple[int, ...], symmetric: bool = False) -> Graph:
    inputs = ("plain", SMALL), ("amounts", ints(*amounts))
    return graph_of("MIRROR_PAD", inputs, (padded,), MirrorPadding(symmetric))


ROWS = (0, 0), (1, 2), (0, 0), (0, 0)
WIDE = (0, 0), (4, 0), (0, 0), (0, 0)
MIRRORED: list[Broken] = [
    (
        "operands_present",
        "1 inputs, 1 outputs",
        by_hand.with_operator(mirrored(ROWS, (1, 7, 6, 5)), inputs=(0, -1)),
    ),
    *common(mirrored(ROWS, (1, 7, 6, 5)), 2, SMALL),
    (
        "pad_amounts",
        "paddings [[1, 0], [0, 0], [0, 0], [0, 0]]",
        mirrored(((1, 0), (0, 0), (0, 0), (0, 0)), SMALL),
    ),
    ("pad_shapes_agree", "[1, 4, 6, 5] -> [1, 8, 6, 5]", mirrored(ROWS, (1, 8, 6, 5))),
    (
        "pad_keeps_values",
        "(0.5, 3) -> (0.25, 3)",
        by_hand.with_tensor(mirrored(ROWS, (1, 7, 6, 5)), 2, quantization=by_hand.quantised(0.25)),
    ),
    (
        "mirrored_lines",
        "paddings [[0, 0], [4, 0], [0, 0], [0, 0]] of [1, 4, 6, 5]",
        mirrored(WIDE, (1, 8, 6, 5)),
    ),
    (
        "mirrored_lines",
        "no options",
        by_hand.with_operator(mirrored(ROWS, (1, 7, 6, 5)), options=None),
    ),
]
TABLE = (
    (joining.CONCATENATION, JOINS, {**JOIN, **JOIN_SCALES}, ()),
    (joining.PACK, PACKS, JOIN, ()),
    (splitting.RECORDS[0], SPLITS, SPLIT, ("moved_size",)),
    (splitting.RECORDS[1], SPLITS_V, SPLIT, ("moved_size",)),
    (splitting.RECORDS[2], UNPACKS, SPLIT, ("moved_size",)),
    (slicing.RECORDS[0], SLICES, SLICE, ("moved_size", "slice_steps")),
    (slicing.RECORDS[1], STRIDED, SLICE, ("moved_size",)),
    (mirror_padding.RECORD, MIRRORED, MIRROR, ("image_size",)),
)
EVERYTHING = [case for _, cases, _, _ in TABLE for case in cases]


@pytest.mark.parametrize(("rule", "found", "graph"), parameters(EVERYTHING))
def test_a_broken_rule_is_named_with_what_was_found(rule: str, found: str, graph: Graph) -> None:
    check_broken(rule, found, graph, SENTENCES)


@pytest.mark.parametrize(("record", "cases", "sentences", "elsewhere"), TABLE)
def test_every_rule_has_a_sentence_and_a_graph_that_breaks_it(
    record: Any, cases: Any, sentences: Any, elsewhere: Any
) -> None:
    check_complete(record, cases, sentences, elsewhere)


@pytest.mark.parametrize(
    "graph",
    [
        joined(),
        joined(SMALL, SMALL, (1, 8, 6, 5), 1),
        joined((6, 5), (6, 5), (6, 10), -1),
        packed(),
        packed(result=(2, 4, 6), axis=0),
        split(),
        split((-3,), ((1, 2, 6, 8),) * 2),
        split_v(),
        unpacked(),
        unpacked(-2, ((1, 4, 3),) * 6),
        sliced(),
        sliced((0, 3, 5, 4), (1, -1, -1, -1), (1, 1, 1, 1)),
        strided(),
        strided((1, 1, 3, 2), (1, 4, 2, 3)),
        strided(end_mask=15, begin_mask=15, shrink_axis_mask=0),
        mirrored(ROWS, (1, 7, 6, 5)),
        mirrored(WIDE, (1, 8, 6, 5), symmetric=True),
    ],
)
def test_taken(graph: Graph) -> None:
    verdict = judged(graph)
    assert verdict.supported, verdict.reason
