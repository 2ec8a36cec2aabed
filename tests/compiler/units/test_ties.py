"""Which channels share a unit, and which keep a unit of 1."""

from __future__ import annotations

import numpy as np
from per_channel_models import Network, inverted_residuals

from lapilli.compiler.units.ties import FIXED, find_ties
from lapilli.model import tflite
from lapilli.model.graph import Graph


def everything(graph: Graph) -> list[range]:
    return [range(len(graph.operators))]


def output_of(graph: Graph, operator: int) -> int:
    return graph.operators[operator].outputs[0]


def classes_of(graph: Graph, operator: int) -> list[int]:
    tensor = output_of(graph, operator)
    ties = find_ties(graph, everything(graph))
    return ties.of(tensor, graph.tensors[tensor].shape[-1]).tolist()


def test_a_layer_s_output_is_free_and_a_model_s_output_is_not() -> None:
    graph = tflite.parse(inverted_residuals(blocks=1), "model")
    wide, last = 1, len(graph.operators) - 1
    assert len(set(classes_of(graph, wide))) == 32 and FIXED not in classes_of(graph, wide)
    assert set(classes_of(graph, last)) == {FIXED}


def test_a_sum_ties_its_operands_and_its_result() -> None:
    graph = tflite.parse(inverted_residuals(blocks=1), "model")
    kinds = [operator.kind for operator in graph.operators]
    total = kinds.index("ADD")
    first, second = (
        next(o.index for o in graph.operators if o.outputs[0] == t)
        for t in graph.operators[total].inputs
    )
    assert classes_of(graph, first) == classes_of(graph, second) == classes_of(graph, total)
    assert len(set(classes_of(graph, total))) == 12


def test_what_leaves_a_part_keeps_units_of_one() -> None:
    graph = tflite.parse(inverted_residuals(blocks=1), "model")
    ties = find_ties(graph, [[0, 1], [2, 3, 4, 5, 6]])
    wide = output_of(graph, 1)
    assert set(ties.of(wide, 32).tolist()) == {FIXED}
    assert FIXED not in ties.of(output_of(graph, 2), 32).tolist()


def ties_of_one(
    kind: str,
    shape: tuple[int, ...],
    *constants: object,
    table: str | None = None,
    **fields: int,
) -> tuple[list[int], list[int]]:
    """A layer of four channels, an operator, and a last layer behind it: the classes of the
    operator's input and output."""
    network = Network(0, 4.0, side=8)
    builder = network.builder
    first = network.convolution(network.image, 4, activation="NONE")
    scales = builder.tensors[first].scales
    assert scales is not None
    result = builder.tensor(shape, scales[0], 0)
    operands = [first, *(builder.constant(np.array(c, np.int32)) for c in constants)]
    builder.operator(kind, operands, [result], None if table is None else (table, fields))
    weights = builder.constant(
        np.ones((2, *([1, 1] if len(shape) == 4 else []), shape[-1]), np.int8), 0.1
    )
    bias = builder.constant(np.zeros(2, np.int32), 0.1)
    target = builder.tensor((*shape[:-1], 2), 1.0, 0)
    last = (
        ("CONV_2D", ("Conv2DOptions", {"StrideH": 1, "StrideW": 1}))
        if len(shape) == 4
        else ("FULLY_CONNECTED", ("FullyConnectedOptions", {}))
    )
    builder.operator(last[0], [result, weights, bias], [target], last[1], 3)
    graph = tflite.parse(builder.build([target]), "chain")
    ties = find_ties(graph, everything(graph))
    return (
        ties.of(first, 4).tolist(),
        ties.of(result, shape[-1]).tolist(),
    )


def test_each_channel_goes_through_a_pooling_by_itself() -> None:
    first, result = ties_of_one(
        "MAX_POOL_2D", (1, 4, 4, 4), table="Pool2DOptions",
        StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2,
    )  # fmt: skip
    assert first == result and len(set(first)) == 4 and FIXED not in first


def test_a_clamp_at_six_shows_units_so_there_are_none() -> None:
    first, result = ties_of_one(
        "MAX_POOL_2D", (1, 4, 4, 4), table="Pool2DOptions",
        StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2, FusedActivationFunction=3,
    )  # fmt: skip
    assert set(first) == set(result) == {FIXED}


def test_flattened_rows_repeat_the_channels_units() -> None:
    first, result = ties_of_one("RESHAPE", (1, 256), [1, 256], table="ReshapeOptions")
    assert len(set(first)) == 4
    assert result == first * 64


def test_channels_that_a_padding_adds_are_free() -> None:
    first, result = ties_of_one(
        "PAD", (1, 8, 8, 7), [[0, 0], [0, 0], [0, 0], [1, 2]], table="PadOptions"
    )
    assert result[1:5] == first
    assert len(set(result)) == 7 and FIXED not in result


def test_a_mean_over_rows_and_columns_keeps_channels_and_one_over_channels_does_not() -> None:
    first, result = ties_of_one("MEAN", (1, 4), [1, 2], table="ReducerOptions")
    assert first == result and FIXED not in first
    first, result = ties_of_one("MEAN", (1, 8, 8), [3], table="ReducerOptions")
    assert set(first) == set(result) == {FIXED}


def test_a_function_that_is_not_linear_has_units_of_one() -> None:
    first, result = ties_of_one("HARD_SWISH", (1, 8, 8, 4))
    assert set(first) == set(result) == {FIXED}
