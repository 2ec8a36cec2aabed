"""Other shapes for a model's inputs: which input is meant, and damaged models."""

from __future__ import annotations

import pytest
from model_mutants import mutants
from models import ModelBuilder

from lapilli.errors import ModelError, UsageError
from lapilli.model import tflite
from lapilli.model.input_shapes import with_input_shapes

MUTANTS, SEED = 1500, 77


def two_inputs(*names: str) -> ModelBuilder:
    builder = ModelBuilder()
    for name in names:
        builder.input((1, 4, 4, 2), 1.0)
        builder.tensors[-1].name = name
    return builder


def shapes_of(builder: ModelBuilder, **shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
    data = with_input_shapes(builder.build([0]), shapes, "model")
    graph = tflite.parse(data, "model")
    return [graph.tensors[index].shape for index in graph.inputs]


def test_an_input_is_meant_by_its_name_or_its_number() -> None:
    builder = two_inputs("left", "right")
    assert shapes_of(builder, right=(1, 9, 5, 2)) == [(1, 4, 4, 2), (1, 9, 5, 2)]
    assert shapes_of(builder, **{"0": (3,)}) == [(3,), (1, 4, 4, 2)]
    assert shapes_of(builder, left=(3,), right=(2, 2)) == [(3,), (2, 2)]


def test_a_name_that_two_inputs_have_is_refused() -> None:
    builder = two_inputs("image", "image")
    with pytest.raises(UsageError, match="has 2 inputs called 'image'; give their numbers, 0 to 1"):
        shapes_of(builder, image=(1, 8, 8, 2))
    assert shapes_of(builder, **{"1": (1, 8, 8, 2)}) == [(1, 4, 4, 2), (1, 8, 8, 2)]


def test_a_model_without_a_graph_is_refused() -> None:
    builder = two_inputs("image")
    builder.subgraphs = 0
    with pytest.raises(ModelError, match="no subgraph"):
        with_input_shapes(builder.build([0]), {"image": (1, 8, 8, 2)}, "model")


def test_damaged_models_are_refused_or_get_the_shape() -> None:
    given, refused = 0, 0
    for mutant in mutants(MUTANTS, SEED):
        try:
            data = with_input_shapes(mutant.data, {"0": (1, 9, 9, 3)}, "model")
            graph = tflite.parse(data, "model")
        except (ModelError, UsageError):
            refused += 1
            continue
        given += 1
        assert graph.tensors[graph.inputs[0]].shape == (1, 9, 9, 3)
    assert min(given, refused) > MUTANTS // 20
