"""Lowering hands over what is to be computed; how it is done is another's choice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import hand_graphs as by_hand
import numpy as np
import pytest
from rule_checks import chip

from lapilli.compiler.builder import Builder
from lapilli.compiler.fusions.fused import Fused
from lapilli.compiler.fusions.into_producer import into_producer
from lapilli.compiler.fusions.registry import fuse
from lapilli.compiler.intents import AdditionIntent, ConvolutionIntent
from lapilli.compiler.jobs import Crossing, ImageSize, PartJobs, Storage, TpJob, View
from lapilli.compiler.lower import lower
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.realise import realise
from lapilli.compiler.storages import settle
from lapilli.hw.chips import Chip
from lapilli.model.graph import Activation, Graph, Padding

RECORDED = LoweringOptions(as_recorded=True)


def intent_of(graph: Graph) -> ConvolutionIntent:
    intent = lower(graph, chip(), RECORDED).steps[1]
    assert isinstance(intent, ConvolutionIntent)
    return intent


def builder() -> Builder:
    return Builder(by_hand.addition(), chip(), RECORDED)


def part(made: Builder) -> PartJobs:
    steps = [step for step in made.steps if isinstance(step, TpJob)]
    return PartJobs((), tuple(steps), tuple(made.storages), (), ())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_keeps_its_kernels_stride_and_padding(stride: int) -> None:
    graph = by_hand.convolution(
        (1, 9, 8, 4), (5, 3), stride_rows=stride, stride_columns=stride, depthwise=False
    )
    values = np.arange(6 * 5 * 3 * 4).astype(np.uint8).reshape(6, 5, 3, 4)
    intent = intent_of(by_hand.with_tensor(graph, by_hand.WEIGHTS, data=values))
    assert np.array_equal(intent.kernels.values, values.transpose(0, 3, 1, 2))
    assert (intent.stride, intent.strided) == ((stride, stride), stride == 2)
    assert intent.input_size == ImageSize(8, 9, 4)
    assert intent.padding_before == (2, 1 if stride == 1 else 0)
    assert intent.padding_after == (2, 1)
    assert intent.padding_same
    assert intent.scale == np.float32(np.float32(0.5) * np.float32(0.01)) / np.float32(0.5)


def test_valid_convolutions_pad_nothing() -> None:
    intent = intent_of(by_hand.convolution(padding=Padding.VALID))
    assert (intent.padding_before, intent.padding_after) == ((0, 0), (0, 0))
    assert not intent.padding_same


def test_depthwise_kernels_have_one_plane_and_say_which() -> None:
    intent = intent_of(by_hand.convolution(outputs=8, depthwise=True, depth_multiplier=2))
    assert intent.kernels.values.shape == (8, 1, 3, 3)
    assert intent.kernels.first_channel.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert intent.depthwise and not intent.one_to_one


def test_an_addition_says_what_its_operands_bytes_stand_for() -> None:
    graph = by_hand.with_tensor(
        by_hand.addition(activation=Activation.RELU),
        by_hand.SECOND,
        quantization=by_hand.quantised(0.25, 7),
    )
    (intent,) = lower(graph, chip(), RECORDED).steps
    assert isinstance(intent, AdditionIntent)
    assert (intent.scales.second.scale, intent.scales.second.zero_point) == (0.25, 7)
    assert intent.source.size == 2 * intent.target.size == 240
    assert intent.relu


@pytest.mark.parametrize(("name", "units"), [("a311d", 3), ("imx8mp", 3)])
def test_the_same_intent_is_done_differently_by_the_schedules_needs(name: str, units: int) -> None:
    """Stride 2 over 3x3 kernels: transpose, reshuffle and convolution, then back; the kernels are
    spread by the way, not by lowering."""
    graph = by_hand.convolution(stride_rows=2, stride_columns=2)
    lowered = lower(graph, chip(name), RECORDED)
    jobs = realise(lowered, chip(name), RECORDED).jobs
    assert [job.kind for job in jobs] == ["transpose", "reshuffle", "convolution", "detranspose"]
    assert len(lowered.steps) == units


def test_storages_that_lie_in_another_become_views_of_it() -> None:
    """Three tensors in a fourth, as a concatenation has them; one of them is needed elsewhere."""
    made = builder()
    operator = made.graph.operators[0]
    source = made.store(4, "input")
    parts = [made.copy(operator, source) for _ in range(3)]
    whole = made.store(12, "output")
    for number, view in enumerate(parts):
        parts[number] = made.put(view, whole, 4 * number, operator)
    again = made.store(8)
    moved = made.put(parts[0], again, 4, operator)
    assert moved != parts[0], "a copy: it can't lie in two places"
    last = made.copy(operator, View(whole.storage, 6, 4))
    done = settle(replace(part(made), inputs=(Crossing(0, source),)), made.placed)
    assert [job.target for job in done.jobs[:3]] == [View(1, 0, 4), View(1, 4, 4), View(1, 8, 4)]
    assert (done.jobs[3].source, done.jobs[3].target) == (View(1, 0, 4), View(2, 4, 4))
    assert done.jobs[4].source == View(1, 6, 4)
    assert done.jobs[4].target.storage == 3 and last.size == 4
    assert [(s.role, s.size) for s in done.storages] == [
        ("input", 4), ("output", 12), ("tensor", 8), ("tensor", 4),
    ]  # fmt: skip


def test_a_whole_that_lies_in_another_takes_its_parts_along() -> None:
    made = builder()
    operator = made.graph.operators[0]
    source = made.store(4, "input")
    inner, outer = made.store(8), made.store(16)
    made.put(made.copy(operator, source), inner, 4, operator)
    made.put(inner, outer, 8, operator)
    done = settle(replace(part(made), inputs=(Crossing(0, source),)), made.placed)
    assert done.jobs[0].target == View(1, 12, 4)
    assert len(made.steps) == 1


def test_operands_of_an_addition_are_copied_only_where_they_must() -> None:
    made = builder()
    operator = made.graph.operators[0]
    first, second, third = (made.store(4) for _ in range(3))
    assert made.beside(first, second, operator) == (first, second)
    assert not made.steps
    copied, behind = made.beside(second, third, operator)
    assert copied.storage == made.steps[0].target.storage
    assert behind == third
    a, b = made.beside(third, third, operator)
    assert len({a.storage, b.storage, third.storage}) == 3
    half = View(made.store(8).storage, 0, 4)
    assert not made.movable(half)


def test_storages_in_each_other_are_a_bug() -> None:
    storages = (Storage("tensor", 4), Storage("tensor", 4))
    with pytest.raises(AssertionError, match="in each other"):
        settle(PartJobs((), (), storages, (), ()), {0: (1, 0), 1: (0, 0)})


def test_fusions_run_in_order_before_lowering() -> None:
    seen = []

    def first(before: Fused, chip: Chip, excluded: Collection[int]) -> Fused:
        """It puts the ReLU into the convolution."""
        seen.append("first")
        return into_producer(before, chip, excluded)

    def second(before: Fused, chip: Chip, excluded: Collection[int]) -> Fused:
        """It sees what the first one made."""
        seen.append("second")
        assert len(before.graph.operators) == 1
        return before

    graph = by_hand.convolution()
    relu = replace(graph.operators[0], index=1, kind="RELU", inputs=(3,), outputs=(4,))
    tensors = (*graph.tensors, by_hand.tensor(4, "cut", (1, 8, 8, 6)))
    two = replace(graph, tensors=tensors, operators=(*graph.operators, relu), outputs=(4,))
    fused = fuse(two, chip(), (), (first, second))
    assert seen == ["first", "second"]
    assert intent_of(fused.graph).relu
    assert fused.folded == {1: 0}
    assert fuse(two, chip(), (), ()).graph is two
