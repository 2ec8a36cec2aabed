"""A model that contradicts itself ends in one ModelError that names the place."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from models import ModelBuilder
from small_model import (
    BIAS,
    CONVOLVED,
    DEPTHWISE_KERNEL,
    DEPTHWISED,
    IMAGE,
    KERNEL,
    SUM,
    outcome,
    small_model,
)

from lapilli.compiler.stages import chip_named, compile_graph
from lapilli.compiler.verdict import judge_all
from lapilli.errors import ModelError, NothingForTheNpu
from lapilli.model.graph import Graph

Change = Callable[[ModelBuilder], object]


def tensor(index: int, **values: object) -> Change:
    return lambda builder: vars(builder.tensors[index]).update(values)


def operator(index: int, **values: object) -> Change:
    return lambda builder: vars(builder.operators[index]).update(values)


def option(index: int, **values: int) -> Change:
    def change(builder: ModelBuilder) -> None:
        options = builder.operators[index].options
        assert options is not None
        options[1].update(values)

    return change


def model(**values: object) -> Change:
    return lambda builder: vars(builder).update(values)


REFUSED: list[tuple[str, Change, str]] = [
    ("schema version", model(version=2), "model: found schema version 2; allowed: version 3"),
    ("no subgraph", model(subgraphs=0), "found no subgraph"),
    ("graph input -1", model(inputs=[-1]), "inputs: found tensor -1; allowed: 0 to 7"),
    ("graph input 9999", model(inputs=[9999]), "inputs: found tensor 9999"),
    ("no graph input", model(inputs=[]), "operator 0 'CONV_2D': found input tensor 0 'input'"),
    ("operator input 9999", operator(0, inputs=[9999, 1]), "operator 0 CONV_2D: inputs: found t"),
    ("operator input -2", operator(0, inputs=[0, 1, -2]), "tensor -2; allowed: .* or -1 if abs"),
    ("operator output -1", operator(0, outputs=[-1]), "outputs: found tensor -1"),
    ("operator output 2^31-1", operator(2, outputs=[2**31 - 1]), "found tensor 2147483647"),
    ("operator code -1", operator(0, kind=-1), "operator code 0: found number -1"),
    ("operator code -2^31", operator(0, kind=-(2**31)), "allowed: 0 and above|deprecated"),
    ("operator code's index", operator(0, code_index=3), "found operator code 3; .* 2|3 codes"),
    ("operator code's index 2^32-1", operator(0, code_index=2**32 - 1), "code 4294967295"),
    ("custom without name", operator(2, kind="CUSTOM:"), "custom operator without a name"),
    ("no kernel", operator(0, inputs=[0]), "found inputs \\[0\\]"),
    ("absent kernel", operator(0, inputs=[0, -1]), "found inputs \\[0, -1\\]"),
    ("no inputs at all", operator(0, inputs=None), "found inputs \\[\\]"),
    ("four inputs", operator(0, inputs=[0, 1, 2, 2]), "found inputs \\[0, 1, 2, 2\\]"),
    ("no outputs", operator(0, outputs=None), "outputs \\[\\]; allowed: .* one output"),
    ("two outputs", operator(0, outputs=[3, 6]), "outputs \\[3, 6\\]"),
    ("addition of one", operator(2, inputs=[3]), "ADD: found inputs \\[3\\]"),
    ("addition of none", operator(2, inputs=[3, -1]), "ADD: found inputs \\[3, -1\\]"),
    ("no options", operator(0, options=None), "CONV_2D: found no options"),
    ("other options", operator(0, options=("AddOptions", {})), "found options type 11"),
    ("unknown options", operator(0, options_type=255), "found options type 255"),
    ("stride 0", option(0, StrideH=0), "found stride of the rows 0; allowed: 1 and above"),
    ("stride -1", option(1, StrideW=-1), "found stride of the columns -1"),
    ("dilation 0", option(0, DilationHFactor=0), "found dilation of the rows 0"),
    ("dilation -2^31", option(1, DilationWFactor=-(2**31)), "dilation of the columns -2147483648"),
    ("padding 2", option(0, Padding=2), "found padding 2; allowed: 0 \\(SAME\\) or 1 \\(VALID\\)"),
    ("padding -1", option(0, Padding=-1), "found padding -1"),
    ("kernel beyond image", option(0, Padding=1, DilationHFactor=9), "images of 19 rows and more"),
    ("huge dilation", option(0, Padding=1, DilationHFactor=2**31 - 1), "4294967295 rows"),
    ("negative extent", tensor(IMAGE, shape=[1, -4, 4, 2]), "tensor 0 'input': found shape"),
    ("shape overflow", tensor(IMAGE, shape=[65536] * 4), "up to 2147483647 elements"),
    ("2^62 elements", tensor(IMAGE, shape=[2**31 - 1, 2**31 - 1]), "up to 2147483647 elements"),
    ("17 dimensions", tensor(IMAGE, shape=[1] * 17), "found 17 dimensions; allowed: up to 16"),
    ("no shape", tensor(IMAGE, shape=None), "shape \\[\\] of tensor 0 'input'"),
    ("scalar image", tensor(IMAGE, shape=[]), "allowed: four dimensions"),
    ("image without pixels", tensor(IMAGE, shape=[1, 0, 4, 2]), "none of them 0"),
    ("kernel without channels", tensor(KERNEL, shape=[2, 3, 3, 0]), "none of them 0"),
    ("kernel of 4", tensor(KERNEL, shape=[1, 3, 3, 4]), "divisor of them"),
    ("depthwise batch", tensor(DEPTHWISE_KERNEL, shape=[2, 3, 3, 1]), "allowed: a kernel \\[1, r"),
    ("long bias", tensor(BIAS, shape=[1, 3], data=bytes(12)), "found 3 values of bias"),
    (
        "short buffer",
        tensor(KERNEL, data=bytes(35)),
        "tensor 1 'first/weights': buffer 2: found 35",
    ),
    ("wider type", tensor(KERNEL, dtype="float64"), "allowed: 288 bytes for shape"),
    ("buffer 9999", tensor(KERNEL, buffer=9999), "found buffer 9999; allowed: the model's 9 buf"),
    ("buffer 2^32-1", tensor(KERNEL, buffer=2**32 - 1), "found buffer 4294967295"),
    (
        "data behind",
        tensor(KERNEL, data=None, data_offset=2**33, data_size=36),
        "data of 36 bytes at",
    ),
    ("data beyond the end", tensor(KERNEL, data=None, data_offset=64, data_size=2**40), "cut off"),
    ("data size only", tensor(KERNEL, data=None, data_size=2**40), "which nothing has written"),
    ("constant variable", tensor(KERNEL, variable=True), "found a variable with constant data"),
    ("negative type", tensor(IMAGE, dtype=-1), "found type number -1"),
    ("more zero points", tensor(IMAGE, zero_points=[1, 2]), "1 scales and 2 zero points"),
    ("no zero points", tensor(IMAGE, zero_points=None), "1 scales and 0 zero points"),
    (
        "three scales",
        tensor(KERNEL, scales=[1] * 3, zero_points=[0] * 3),
        "found 3 scales; .* 1 or",
    ),
    ("axis 4", tensor(KERNEL, axis=4), "found quantized dimension 4"),
    ("axis -1", tensor(KERNEL, axis=-1), "found quantized dimension -1"),
    (
        "scales along the inputs",
        tensor(KERNEL, scales=[1, 1], zero_points=[0, 0], axis=3),
        "scales along dimension 3 of the kernel; allowed: 0",
    ),
    (
        "reads its own output",
        operator(2, inputs=[3, SUM]),
        "operator 2 'ADD': found input tensor 7",
    ),
    ("cycle", lambda b: b.operators.reverse(), "which nothing has written"),
    ("writes a constant", tensor(SUM, data=bytes(32)), "output tensor 7 'sum', which is constant"),
    ("output never written", lambda b: b.operators.pop(), "graph: found output tensor 7 'sum'"),
]


@pytest.mark.parametrize(("change", "text"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_model_that_contradicts_itself_is_refused_and_the_place_named(
    change: Change, text: str
) -> None:
    builder = small_model()
    change(builder)
    result = outcome(builder.build([SUM]))
    assert isinstance(result, ModelError), result
    assert re.search(text, str(result)), str(result)


def variable_instead_of_input(builder: ModelBuilder) -> None:
    builder.inputs.clear()
    builder.tensors[IMAGE].variable = True


READ: list[tuple[str, Change]] = [
    ("unchanged", lambda builder: None),
    ("tensor without name", tensor(CONVOLVED, name=None)),
    ("name with line breaks", tensor(CONVOLVED, name="a\nb\x1b[2J")),
    ("no quantisation", tensor(IMAGE, scales=None, zero_points=None)),
    ("zero points only", tensor(IMAGE, scales=None)),
    ("no scales", tensor(IMAGE, scales=[], zero_points=[])),
    ("no bias", operator(0, inputs=[0, 1])),
    ("absent bias", operator(0, inputs=[0, 1, -1])),
    ("operator 210", operator(2, kind=210)),
    ("operator 2^31-1", operator(2, kind=2**31 - 1)),
    ("type 100", tensor(SUM, dtype=100)),
    ("activation tanh", option(0, FusedActivationFunction=4)),
    ("activation 99", option(0, FusedActivationFunction=99)),
    ("addition without options", operator(2, options=None)),
    ("variable as input", variable_instead_of_input),
    ("two subgraphs", model(subgraphs=2)),
    ("depth multiplier 0", option(1, DepthMultiplier=0)),
    ("other stride", option(0, StrideH=2)),
    ("five dimensions", tensor(CONVOLVED, shape=[1, 1, 4, 4, 2])),
    ("output channels", tensor(CONVOLVED, shape=[1, 4, 4, 3])),
    ("output batch", tensor(CONVOLVED, shape=[2, 4, 4, 2])),
    ("output without shape", tensor(CONVOLVED, shape=None)),
    ("output without dimensions", tensor(CONVOLVED, shape=[])),
    ("sum's shape", tensor(SUM, shape=[1, 4, 4, 1])),
    ("another extent", tensor(DEPTHWISED, shape=[1, 4, 3, 2])),
    ("sparse", tensor(KERNEL, sparse=True)),
    ("scale 0", tensor(KERNEL, scales=[0.0])),
    ("scale 0 of a bias", tensor(BIAS, scales=[0.0])),
    ("scale -1", tensor(IMAGE, scales=[-1.0])),
    ("scale NaN", tensor(BIAS, scales=[float("nan")])),
    ("scale infinite", tensor(SUM, scales=[float("inf")])),
    ("one of the scales", tensor(KERNEL, scales=[1, 0], zero_points=[0, 0])),
    ("zero point 256", tensor(IMAGE, zero_points=[256])),
    ("zero point -1", tensor(SUM, zero_points=[-1])),
    ("zero point 2^62", tensor(BIAS, zero_points=[2**62])),
    ("a bias along dimension 3", tensor(BIAS, axis=3)),
    ("written twice", lambda b: b.operators.append(b.operators[2])),
    ("writes a graph input", model(inputs=[IMAGE, SUM])),
    ("long buffer", tensor(KERNEL, data=bytes(37))),
]


@pytest.mark.parametrize(("name", "change"), READ, ids=[c[0] for c in READ])
def test_a_model_that_is_only_unusual_is_read(name: str, change: Change) -> None:
    """And judged, for both chips, by rules that have to bear it."""
    builder = small_model()
    change(builder)
    graph = outcome(builder.build([SUM]))
    assert isinstance(graph, Graph)
    for chip in ("a311d", "imx8mp"):
        assert len(judge_all(graph, chip_named(chip))) == len(graph.operators)
        if name == "written twice":  # stays on the CPU as a whole, which keeps the order
            with pytest.raises(NothingForTheNpu):
                compile_graph(graph, chip_named(chip))
        else:
            compile_graph(graph, chip_named(chip))


UNUSABLE = {"scale 0", "scale -1", "scale infinite", "one of the scales", "zero point 256",
            "zero point -1", "written twice", "sparse"}  # fmt: skip
"""What keeps an operator from the NPU, and not the model from being read."""


@pytest.mark.parametrize(
    ("name", "change"), [pytest.param(*case, id=case[0]) for case in READ if case[0] in UNUSABLE]
)
def test_the_rule_decides_for_each_operator(name: str, change: Change) -> None:
    builder = small_model()
    change(builder)
    graph = outcome(builder.build([SUM]))
    assert isinstance(graph, Graph)
    verdicts = judge_all(graph, chip_named("a311d"))
    assert not all(verdict.supported for verdict in verdicts)
    if name != "written twice":
        assert any(verdict.supported for verdict in verdicts)


def test_scales_of_other_operators_may_be_anything() -> None:
    builder = ModelBuilder()
    result = builder.tensor((1, 2), float("nan"))
    builder.operator("SOFTMAX", [builder.input((1, 2), 0.0)], [result])
    assert isinstance(outcome(builder.build([result])), Graph)


def test_names_are_quoted_and_shortened_in_messages() -> None:
    builder = small_model()
    builder.tensors[IMAGE].name = "line\nbreak" + "x" * 1000
    builder.tensors[IMAGE].axis = 9
    text = str(outcome(builder.build([SUM])))
    assert "line\\nbreakxxx" in text
    assert len(text) < 250
