"""Where tensors lie that are parts of others: written in place, as views, or copied."""

from __future__ import annotations

import further_operators as build
import numpy as np
import pytest
from comparing import CHIPS
from models import ModelBuilder
from on_npu import whole, worst

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import View
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.stages import chip_named
from lapilli.model import tflite

RNG = np.random.default_rng(2)


def convolved(builder: ModelBuilder, x: int, channels: int) -> int:
    """A 1x1 convolution with the input's quantisation."""
    inputs = build.shape_of(builder, x)[3]
    weights = RNG.integers(0, 256, (channels, 1, 1, inputs)).astype(np.uint8)
    bias = np.zeros(channels, np.int32)
    return builder.conv(x, weights, bias, 0.004, 128, *build.quantization_of(builder, x))


def kinds(builder: ModelBuilder, outputs: list[int], chip: str) -> list[str]:
    """Of the jobs, those of a TP operation on several cores once; the values are right."""
    assert worst(builder, outputs, chip) <= 2, "an error of 1 may be doubled on the way"
    part = whole(tflite.parse(builder.build(outputs), "model"), chip)
    found = [part.jobs[0].kind]
    for before, job in zip(part.jobs, part.jobs[1:], strict=False):
        if job.unit == "NN" or (before.kind, before.operator) != (job.kind, job.operator):
            found.append(job.kind)
    return [kind for kind in found if kind not in ("transpose", "detranspose")]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("channels", [(8, 16), (5, 7), (3, 24)])
def test_producers_write_into_the_concatenation(chip: str, channels: tuple[int, int]) -> None:
    builder = ModelBuilder()
    x = builder.input((1, 5, 7, 4), 0.05, 120)
    parts = [convolved(builder, x, count) for count in channels]
    joined = build.concatenate(builder, parts, 3)
    found = kinds(builder, [convolved(builder, joined, 6)], chip)
    assert found == ["convolution"] * 3


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("order", "copies"), [((0, 1), 0), ((1, 0), 1)])
def test_planes_that_fill_up_a_core_are_written_before_what_lies_there(
    order: tuple[int, int], copies: int, chip: str
) -> None:
    """A producer of 9 channels may write some planes more behind them: it must come before the one
    of the channels there, else its result is copied."""
    builder = ModelBuilder()
    x = builder.input((1, 5, 7, 4), 0.05, 120)
    made = [convolved(builder, x, 9) for _ in range(2)]
    joined = build.concatenate(builder, [made[i] for i in order], 3)
    found = kinds(builder, [convolved(builder, joined, 6)], chip)
    assert found.count("copy") == copies


@pytest.mark.parametrize("chip", CHIPS)
def test_a_concatenation_in_another_takes_its_parts_along(chip: str) -> None:
    """As in a DenseNet: every layer reads all there was before."""
    builder = ModelBuilder()
    x = builder.input((1, 6, 6, 8), 0.05, 120)
    features = convolved(builder, x, 8)
    for _ in range(3):
        features = build.concatenate(builder, [features, convolved(builder, features, 8)], 3)
    assert kinds(builder, [features], chip) == ["convolution"] * 4


@pytest.mark.parametrize("chip", CHIPS)
def test_halves_that_come_back_in_their_order_are_never_moved(chip: str) -> None:
    """A cross-stage-partial block: both halves, and what was made of one of them."""
    builder = ModelBuilder()
    x = convolved(builder, builder.input((1, 6, 5, 4), 0.05, 120), 16)
    first, second = build.split(builder, x, 3, 2)
    joined = build.concatenate(builder, [first, second, convolved(builder, second, 8)], 3)
    assert kinds(builder, [convolved(builder, joined, 4)], chip) == ["convolution"] * 3


@pytest.mark.parametrize("chip", CHIPS)
def test_a_half_that_goes_elsewhere_is_copied(chip: str) -> None:
    builder = ModelBuilder()
    x = convolved(builder, builder.input((1, 6, 5, 4), 0.05, 120), 16)
    first, second = build.split(builder, x, 3, 2)
    joined = build.concatenate(builder, [second, convolved(builder, first, 8), first], 3)
    found = kinds(builder, [convolved(builder, joined, 4)], chip)
    assert found.count("copy") == 1, "both halves in one operation"


@pytest.mark.parametrize("chip", CHIPS)
def test_a_tensor_in_two_concatenations_lies_in_one_and_is_copied_to_the_other(chip: str) -> None:
    builder = ModelBuilder()
    x = builder.input((1, 6, 5, 4), 0.05, 120)
    shared, others = convolved(builder, x, 8), [convolved(builder, x, 8) for _ in range(2)]
    joined = [build.concatenate(builder, [shared, other], 3) for other in others]
    assert kinds(builder, joined, chip).count("copy") == 1


@pytest.mark.parametrize("chip", CHIPS)
def test_graph_inputs_are_copied(chip: str) -> None:
    """The host fills them; one that comes twice has two places."""
    builder = ModelBuilder()
    a, b = (builder.input((1, 4, 3, 1), 0.05, 120) for _ in range(2))
    assert set(kinds(builder, [build.concatenate(builder, [a, b, a], 1)], chip)) == {"copy"}


@pytest.mark.parametrize("chip", CHIPS)
def test_views_reach_an_output_of_their_own(chip: str) -> None:
    """Inputs lead to outputs without any operator that writes: their bytes are copied once."""
    builder = ModelBuilder()
    x = builder.input((1, 6, 5, 4), 0.05, 120)
    top, bottom = build.split(builder, x, 1, 2)
    flat = build.reshape(builder, bottom, (1, 60))
    assert set(kinds(builder, [top, flat], chip)) == {"copy"}


@pytest.mark.parametrize("chip", CHIPS)
def test_heads_of_a_detector_are_laid_one_behind_the_other(chip: str) -> None:
    """Maps of three sizes, as rows of boxes: moved back to NHWC, each into its place."""
    builder = ModelBuilder()
    boxes = []
    for side in (6, 3, 1):
        x = builder.input((1, side, side, 8), 0.05, 120)
        boxes.append(build.reshape(builder, convolved(builder, x, 12), (1, side * side * 3, 4)))
    found = kinds(builder, [build.concatenate(builder, boxes, 1)], chip)
    assert found == ["convolution"] * 3


@pytest.mark.parametrize("chip", CHIPS)
def test_a_fully_connected_layer_takes_planes_as_they_are(chip: str) -> None:
    builder = ModelBuilder()
    x = convolved(builder, builder.input((1, 4, 3, 8), 0.05, 120), 10)
    flat = build.reshape(builder, x, (1, 120))
    weights = RNG.integers(0, 256, (7, 120)).astype(np.uint8)
    y = build.fully_connected(builder, flat, weights, None, (0.004, 128), (0.2, 128))
    part = whole(tflite.parse(builder.build([y]), "model"), chip)
    assert "detranspose" not in [job.kind for job in part.jobs]
    assert kinds(builder, [y], chip) == ["convolution"] * 2


def test_neighbours_are_laid_as_one() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 6, 5, 4), 0.05, 120)
    graph = tflite.parse(builder.build([builder.add(x, x, 0.1, 120)]), "sum")
    made = Builder(graph, chip_named("a311d"), LoweringOptions())
    given = made.store(8, "input")
    ours = made.copy(graph.operators[0], given)
    halves = [View(ours.storage, 4 * i, 4) for i in range(2)]
    laid = made.lay([*halves, given], graph.operators[0])
    assert made.placed == {ours.storage: (laid.storage, 0)}
    assert made.steps[-1].target == View(laid.storage, 8, 8)
