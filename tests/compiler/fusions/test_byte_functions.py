"""Functions of one byte in a row, which become one look-up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from comparing import CHIPS, SCHEDULES, Array, compare, device, run_litert
from further_operators import multiply, quantize
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.explanation import explain, to_json
from lapilli.compiler.stages import compile_graph
from lapilli.compiler.verdict import fused, judge_all
from lapilli.device.runner import LoadedPart
from lapilli.diff.layers import diff
from lapilli.model import tflite
from lapilli.program.program import Part

SHAPE = (1, 9, 7, 11)
LEAST = {"uint8": 0, "int8": -128}


def given(builder: ModelBuilder, scale: float, zero_point: int) -> int:
    return builder.input(SHAPE, scale, zero_point + LEAST[builder.dtype])


def unary(builder: ModelBuilder, kind: str, x: int, scale: float, zero_point: int) -> int:
    shape = builder.tensors[x].shape
    assert shape is not None
    y = builder.tensor(shape, scale, zero_point + LEAST[builder.dtype])
    builder.operator(kind, [x], [y])
    return y


def number(builder: ModelBuilder, stored: int, scale: float, zero_point: int) -> int:
    data = np.array([stored + LEAST[builder.dtype]], builder.dtype)
    return builder.constant(data, scale, zero_point + LEAST[builder.dtype])


def swish(builder: ModelBuilder, x: int, swap: bool = False) -> tuple[int, int]:
    """The LOGISTIC and x times it."""
    gate = unary(builder, "LOGISTIC", x, 1 / 256, 0)
    operands = (gate, x) if swap else (x, gate)
    return gate, multiply(builder, *operands, (0.021, 14 + LEAST[builder.dtype]))


def hard_swish(builder: ModelBuilder, x: int) -> int:
    """x * relu6(x + 3) / 6, as some converters write it."""
    zero = LEAST[builder.dtype]
    raised = builder.add(x, number(builder, 200, 0.015, 0), 0.045, 66 + zero)
    gate = unary(builder, "RELU6", raised, 6 / 255, 0)
    product = multiply(builder, gate, x, (0.13, 20 + zero))
    sixth = number(builder, 255, 1 / 6 / 255, 0)
    return multiply(builder, product, sixth, (0.13 / 6, 20 + zero))


def part_of(model: bytes, name: str, schedule: str = "best") -> Part:
    (part,) = compile_graph(tflite.parse(model, "model"), chip(name), schedule).parts
    return part


def kinds(part: Part) -> list[str]:
    return list(dict.fromkeys(job.kind for job in part.jobs))


def worst(model: bytes, part: Part, name: str) -> int:
    """Against LiteRT, on all bytes."""
    graph = tflite.parse(model, "model")
    rng = np.random.default_rng(0)
    inputs: list[Array] = []
    for tensor in (graph.tensors[i] for i in graph.inputs):
        values = np.concatenate([np.arange(256), rng.integers(0, 256, tensor.size)])[: tensor.size]
        inputs.append(values.astype(np.uint8).view(tensor.dtype).reshape(tensor.shape))
    with LoadedPart(device(name), part) as loaded:
        found = loaded.run(dict(zip(graph.inputs, inputs, strict=True)))
    expected = run_litert(model, inputs)
    return max(compare(found[t], e).worst for t, e in zip(graph.outputs, expected, strict=True))


def folded(model: bytes) -> dict[int, int | None]:
    verdicts = judge_all(tflite.parse(model, "model"), chip())
    assert all(verdict.supported for verdict in verdicts), verdicts
    return {v.operator: v.folded_into for v in verdicts if v.folded_into is not None}


# ------------------------------------------------------------------------------------ put together


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("swap", [False, True])
def test_x_times_its_logistic_is_one_table(
    swap: bool, dtype: str, schedule: str, name: str
) -> None:
    builder = ModelBuilder(dtype)
    _, y = swish(builder, given(builder, 0.05, 120), swap)
    model = builder.build([y])
    assert folded(model) == {0: 1}
    part = part_of(model, name, schedule)
    assert kinds(part) == ["look_up"]
    assert part.operators == (0, 1)
    assert worst(model, part, name) <= 1


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_hard_swish_of_five_operators_is_one_table(dtype: str, name: str) -> None:
    builder = ModelBuilder(dtype)
    y = hard_swish(builder, given(builder, 0.04, 131))
    model = builder.build([y])
    assert folded(model) == {0: 3, 1: 3, 2: 3}
    part = part_of(model, name)
    assert kinds(part) == ["look_up"]
    assert worst(model, part, name) <= 1


@pytest.mark.parametrize("name", CHIPS)
def test_a_square_written_as_a_product_is_one_table(name: str) -> None:
    builder = ModelBuilder()
    x = given(builder, 0.05, 120)
    model = builder.build([multiply(builder, x, x, (0.18, 0))])
    assert folded(model) == {}
    part = part_of(model, name)
    assert kinds(part) == ["look_up"]
    assert worst(model, part, name) <= 1


@pytest.mark.parametrize(
    ("first", "one"),
    [
        ((0.05, 128), {0: 3, 1: 3, 2: 3}),
        # 5/6: each sixth byte is halfway between two, and either is three steps of the product.
        ((0.06, 128), {1: 3, 2: 3}),
    ],
)
def test_another_scale_becomes_part_of_a_table_unless_a_tie_decides(
    first: tuple[float, int], one: dict[int, int]
) -> None:
    builder = ModelBuilder()
    _, y = swish(builder, quantize(builder, given(builder, 0.05, 120), first))
    model = builder.build([quantize(builder, y, (0.03, 20))])
    assert folded(model) == one
    part = part_of(model, "a311d")
    assert kinds(part) == (["look_up"] if 0 in one else ["quantize", "look_up"])
    assert worst(model, part, "a311d") <= (1 if 0 in one else 3)


# -------------------------------------------------------------------------------------- left alone


def test_a_gate_that_others_read_stays_and_the_product_does_not_wait_for_it() -> None:
    builder = ModelBuilder()
    gate, y = swish(builder, given(builder, 0.05, 120))
    model = builder.build([y, gate])
    assert folded(model) == {}
    part = part_of(model, "a311d")
    assert kinds(part) == ["logistic", "look_up"]
    assert worst(model, part, "a311d") <= 1


def test_a_product_of_two_tensors_is_no_function_of_a_byte() -> None:
    builder = ModelBuilder()
    x, other = given(builder, 0.05, 120), given(builder, 0.05, 120)
    gate = unary(builder, "LOGISTIC", other, 1 / 256, 0)
    model = builder.build([multiply(builder, x, gate, (0.021, 14))])
    part = part_of(model, "a311d")
    assert folded(model) == {}
    assert kinds(part)[:1] == ["logistic"]
    assert "square" in kinds(part)


def test_what_no_table_gives_is_left_as_it_is() -> None:
    """A chain that is too steep for entries eight bytes apart; its first operator is taken."""
    builder = ModelBuilder("int8")
    x = given(builder, 0.01, 128)
    y = quantize(builder, x, (0.15, -128 + 128))
    z = builder.tensor(SHAPE, 0.2, -128)
    builder.operator("EXP", [y], [z], ("ExpOptions", {}))
    graph = tflite.parse(builder.build([z]), "steps")
    assert fused(graph, chip()).folded == {}
    assert all(verdict.supported for verdict in judge_all(graph, chip()))


def test_tensors_of_another_shape_are_not_seen_through() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 1, 1, 4), 0.05, 120)
    gate = unary(builder, "LOGISTIC", x, 1 / 256, 0)
    other = builder.input((1, 5, 5, 4), 0.05, 120)
    y = multiply(builder, other, gate, (0.021, 14))
    graph = tflite.parse(builder.build([y]), "gate")
    assert fused(graph, chip()).folded == {}


# ------------------------------------------------------------------------------------ what is told


def model_with_both() -> bytes:
    """Convolution, swish, convolution, and a RELU behind that goes into it."""
    builder = ModelBuilder()
    rng = np.random.default_rng(4)
    x = builder.input((1, 8, 6, 5), 0.02, 128)
    x = builder.conv(
        x, rng.integers(0, 256, (9, 3, 3, 5), np.uint8), np.zeros(9), 0.004, 128, 0.05, 125
    )
    _, x = swish(builder, x)
    weights = rng.integers(0, 256, (7, 1, 1, 9), np.uint8)
    x = builder.conv(x, weights, np.zeros(7), 0.004, 128, 0.02, 100)
    return builder.build([unary(builder, "RELU", x, 0.02 * 155 / 255, 0)])


def test_explain_says_what_is_folded_into_what() -> None:
    report = to_json(explain(tflite.parse(model_with_both(), "both"), chip()))
    found = {line["operator"]: (line["on"], line["folded_into"]) for line in report["operators"]}
    assert found == {
        0: ("NPU", None),
        1: ("NPU", 2),
        2: ("NPU", None),
        3: ("NPU", None),
        4: ("NPU", 3),
    }


@pytest.mark.parametrize("name", CHIPS)
def test_diff_shows_every_tensor_that_there_is(name: str) -> None:
    found = diff(model_with_both(), f"emulator:{name}")
    layers = {layer.operator: layer for layer in found.layers}
    assert {i: layer.one_with for i, layer in layers.items()} == {
        0: (),
        1: (1, 2),
        2: (),
        3: (3, 4),
        4: (),
    }
    for index in (0, 2, 4):
        alone, accumulated = layers[index].alone, layers[index].accumulated
        assert alone is not None and accumulated is not None
        assert alone.maximum is not None and alone.maximum <= 1
    for index in (1, 3):
        assert (layers[index].alone, layers[index].accumulated) == (None, None)
        assert layers[index].part == 0


def jobs_by_operator(parts: Sequence[Part]) -> set[int]:
    return {job.operator for part in parts for job in part.jobs}


def test_jobs_belong_to_the_operators_that_are_left() -> None:
    program = compile_graph(tflite.parse(model_with_both(), "both"), chip())
    assert jobs_by_operator(program.parts) == {0, 2, 3}
    assert program.parts[0].operators == (0, 1, 2, 3, 4)
