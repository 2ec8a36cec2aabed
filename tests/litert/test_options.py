"""Options of operators are the same in the file and in LiteRT's structures, for every operator."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from fake_npu import FakeBackend, GraphComparison, new_interpreter
from models import ModelBuilder
from option_cases import CASES, OptionCase
from shared_data import shared_data
from tflite import ActivationFunctionType

from lapilli.errors import ModelError
from lapilli.litert.delegate import Delegate
from lapilli.litert.runtime_options import LAYOUTS
from lapilli.model import tflite
from lapilli.model.graph import Operator
from lapilli.model.option_tables import TABLES
from lapilli.model.options import Activation, Concatenation

KINDS = sorted(TABLES)
NEVER_PREPARED = {("CONCATENATION", "activation")}
"""LiteRT refuses a concatenation with a fused function."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_file_and_runtime_say_the_same(case: OptionCase) -> None:
    model = case.model()
    graph = tflite.parse(model, case.kind)
    assert [(o.kind, o.options) for o in graph.operators] == [(case.kind, case.options)]
    backend = GraphComparison(graph)
    new_interpreter(model, Delegate(_backend=backend))
    assert len(backend.graphs) == 1


def test_both_know_the_same_operators() -> None:
    assert set(TABLES) == set(LAYOUTS)


def values(kind: str) -> Iterator[dict[str, Any]]:
    """Options of each case of a kind."""
    for case in CASES:
        if case.kind == kind:
            yield {field.name: getattr(case.options, field.name) for field in fields(case.options)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_option_could_be_taken_for_another_or_be_left_out(kind: str) -> None:
    """Each has a case with another value than without a table, any two a case where they differ."""
    found = list(values(kind))
    assert found
    members = TABLES[kind].members
    for name, member in members.items():
        if (kind, name) in NEVER_PREPARED:
            continue
        assert any(each[name] != member.without for each in found), name
    for one, other in itertools.combinations(members, 2):
        assert any(each[one] != each[other] for each in found), (one, other)


def test_what_litert_never_prepares_is_read_from_the_file() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 4))
    result = builder.tensor((1, 8), 1.0)
    fields = {"Axis": 1, "FusedActivationFunction": ActivationFunctionType.RELU6}
    builder.operator("CONCATENATION", [x, x], [result], ("ConcatenationOptions", fields))
    model = builder.build([result])
    read = tflite.parse(model, "joined").operators[0].options
    assert read == Concatenation(1, Activation.RELU6)
    with pytest.raises(RuntimeError, match="kTfLiteActNone"):
        new_interpreter(model, Delegate(_backend=FakeBackend(kinds=())))


WITHOUT_TABLE = {
    "ADD", "SUB", "MUL", "DIV", "FULLY_CONNECTED", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN",
    "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL", "SOFTMAX", "LEAKY_RELU", "GELU", "CONCATENATION",
    "SQUEEZE", "STRIDED_SLICE", "GATHER", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
}  # fmt: skip
"""Kinds that LiteRT prepares when their table is left out."""
BY_VERSION = {"MIRROR_PAD"}
"""Prepared as symmetric up to ai-edge-litert 2.1, refused from 2.2 on."""


def operators_asked_about(model: bytes) -> list[tuple[Operator, ...]]:
    """Of each subgraph that LiteRT shows to a delegate, none if it does not take the model."""
    backend = FakeBackend(kinds=())
    with contextlib.suppress(RuntimeError, ValueError):
        new_interpreter(model, Delegate(_backend=backend))
    return [graph.operators for graph in backend.graphs]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_table_the_file_says_what_the_runtime_makes_of_that(kind: str) -> None:
    """Or it is refused, and by the runtime too."""
    prepared = False
    for case in (case for case in CASES if case.kind == kind):
        builder = ModelBuilder(case.dtype)
        outputs = case.build(builder)
        builder.operators[-1].options = None
        model = builder.build([outputs] if isinstance(outputs, int) else list(outputs))
        asked = operators_asked_about(model)
        prepared |= bool(asked)
        if any(member.needed for member in TABLES[kind].members.values()):
            assert not asked
            with pytest.raises(ModelError, match="found no options; allowed: options of type"):
                tflite.parse(model, kind)
        elif asked:
            assert asked == [tflite.parse(model, kind).operators]
    assert kind in BY_VERSION or prepared == (kind in WITHOUT_TABLE)


def test_all_models_at_hand_have_the_same_operators_in_file_and_runtime() -> None:
    """Those that both take; LiteRT asks no delegate about tensors whose size only a run tells."""
    compared = 0
    for path in sorted(shared_data().rglob("*.tflite")):
        try:
            graph = tflite.load(path)
        except ModelError:
            continue
        asked = operators_asked_about(path.read_bytes())
        # CALL_ONCE has a subgraph of its own.
        assert not asked or graph.operators in asked, path.name
        compared += bool(asked)
    assert compared > 150
