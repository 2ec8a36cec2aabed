"""An operator without the tensors it needs is refused, and the message says what it needs."""

from __future__ import annotations

import pytest
from models import ModelBuilder
from option_cases import CASES

from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.custom import options_of
from lapilli.model.operator_checks import COUNTS
from lapilli.model.option_tables import TABLES
from lapilli.model.options import (
    DETECTION_POSTPROCESS,
    TRANSPOSED_WITH_BIAS,
    Custom,
    Options,
    Padding,
    TransposedConvolution,
)


def model(kind: str, inputs: int, outputs: int, absent: int | None = None) -> bytes:
    """An operator between so many tensors; input ``absent`` is not there."""
    builder = ModelBuilder()
    x = builder.input((1, 2, 2, 1))
    results = [builder.tensor((1, 2, 2, 1), 1.0) for _ in range(outputs)]
    given = [-1 if number == absent else x for number in range(inputs)]
    options = next((c for c in CASES if c.kind == kind), None)
    spec = builder.operator(kind, given, results)
    if options is not None:
        donor = ModelBuilder(options.dtype)
        options.build(donor)
        spec.options = donor.operators[-1].options
    return builder.build(results)


def refused(kind: str, inputs: int, outputs: int, absent: int | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        tflite.parse(model(kind, inputs, outputs, absent), kind)
    return str(caught.value)


@pytest.mark.parametrize("kind", sorted(COUNTS))
def test_an_operator_has_as_many_tensors_as_it_needs(kind: str) -> None:
    allowed = COUNTS[kind]
    least, outputs = allowed.inputs[0], allowed.outputs[0]
    assert tflite.parse(model(kind, least, outputs), kind).operators[0].kind == kind
    assert f"{kind}: found inputs" in refused(kind, least - 1, outputs)
    assert f"{kind}: found inputs" in refused(kind, least, outputs - 1)
    assert f"{kind}: found inputs" in refused(kind, least, outputs, absent=least - 1)
    if allowed.inputs[1] < 9:
        assert "allowed: " in refused(kind, allowed.inputs[1] + 1, outputs)


def test_the_bias_may_be_absent() -> None:
    for kind, bias in (("FULLY_CONNECTED", 2), ("TRANSPOSE_CONV", 3)):
        data = model(kind, bias + 1, 1, absent=bias)
        assert tflite.parse(data, kind).operators[0].inputs[bias] == -1


def test_every_operator_with_options_has_its_tensors_counted() -> None:
    elsewhere = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "SUB"}
    assert set(TABLES) - set(COUNTS) == elsewhere


def test_the_message_says_how_many_there_may_be() -> None:
    assert "found inputs [] and outputs [1]; allowed: 1 inputs, 1 outputs" in refused("RELU", 0, 1)
    assert "allowed: 1 or 2 inputs, 1 outputs" in refused("RESHAPE", 3, 1)
    assert "allowed: 1 inputs, 1 and more outputs" in refused("UNPACK", 2, 1)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"StrideW": 0}, "found stride of the columns 0; allowed: 1 and above"),
        ({"FilterHeight": -2}, "found rows -2; allowed: 1 and above"),
        ({"Padding": 7}, "found padding 7; allowed: 0 (SAME) or 1 (VALID)"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(fields: dict[str, int], text: str) -> None:
    case = next(case for case in CASES if case.kind == "MAX_POOL_2D")
    builder = ModelBuilder(case.dtype)
    output = case.build(builder)
    assert isinstance(output, int)
    options = builder.operators[-1].options
    assert options is not None
    options[1].update(fields)
    with pytest.raises(ModelError) as caught:
        tflite.parse(builder.build([output]), "pooled")
    assert f"operator 0 MAX_POOL_2D: {text}" in str(caught.value)


def test_lists_of_options_are_no_longer_than_the_runtimes() -> None:
    builder = ModelBuilder()
    x, result = builder.input((1,)), builder.tensor((1,))
    builder.operator("RESHAPE", [x], [result], ("ReshapeOptions", {"NewShape": [1] * 9}))
    with pytest.raises(ModelError, match="found 9 values of shape; allowed: up to 8"):
        tflite.parse(builder.build([result]), "long")


WORDS = [1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0]
"""SAME, three columns, two rows."""


@pytest.mark.parametrize(
    ("kind", "data", "options"),
    [
        (TRANSPOSED_WITH_BIAS, WORDS, TransposedConvolution(Padding.SAME, 2, 3)),
        (TRANSPOSED_WITH_BIAS, [2, *WORDS[1:], 9], TransposedConvolution(Padding.VALID, 2, 3)),
        (TRANSPOSED_WITH_BIAS, WORDS[:-1], Custom(bytes(WORDS[:-1]))),
        (TRANSPOSED_WITH_BIAS, [0, *WORDS[1:]], Custom(bytes([0, *WORDS[1:]]))),
        (DETECTION_POSTPROCESS, WORDS, Custom(bytes(WORDS))),
        ("CUSTOM:of nobody", WORDS, None),
    ],
)
def test_custom_operators_options_are_read_where_they_are_known(
    kind: str, data: list[int], options: Options
) -> None:
    builder = ModelBuilder()
    x, result = builder.input((1,)), builder.tensor((1,))
    builder.operator(kind, [x], [result]).custom_options = bytes(data)
    assert tflite.parse(builder.build([result]), "custom").operators[0].options == options
    if options is not None:
        assert options_of(kind, bytes(data)) == options
