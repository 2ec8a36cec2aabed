"""Which parts go to the NPU: those that pay, and always the best one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from image_operators import softmax
from models import ModelBuilder
from random_graphs import RandomGraph

from lapilli.compiler.cuts import ALL, FASTEST, Cuts, _losing, choose, partition_wish
from lapilli.compiler.part_cost import PartCosts
from lapilli.compiler.partition import Partition, partition
from lapilli.compiler.stages import CompileOptions, chip_named, compile_graph, prepare
from lapilli.compiler.verdict import judge_all
from lapilli.errors import UsageError
from lapilli.hw.chips import Chip
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.profile.assemble import Subject, profile_graph
from lapilli.timing.cpu import DEFAULT_RATES, RATES, CpuRates

CHIPS = [chip_named(name) for name in ("a311d", "imx8mp")]
SLOW = dataclasses.replace(
    DEFAULT_RATES, **{name: 1e3 for name in RATES if not name.endswith("seconds")}, name="slow"
)
"""A CPU that computes and copies a thousand bytes a second: every part pays."""
QUICK = dataclasses.replace(
    SLOW,
    **{name: 1e18 for name in RATES if not name.endswith("seconds")},
    operator_seconds=1e-12,
    name="quick",
)
"""No part pays."""


def in_a_row(sides: Sequence[int], channels: int = 8) -> Graph:
    """Convolutions from each side to the next one, by their strides, each with a SOFTMAX behind."""
    model = ModelBuilder()
    x = model.input((1, sides[0], sides[0], channels), 0.02, 128)
    for here, following in itertools.pairwise(sides):
        weights = np.full((channels, 3, 3, channels), 99, np.uint8)
        stride = here // following
        x = model.conv(x, weights, np.zeros(channels), 0.01, 120, 0.05, 3, stride=stride)
        x = softmax(model, x)
    return tflite.parse(model.build([x]), "in a row")


def parts_of(graph: Graph, chip: Chip, cuts: Cuts) -> list[tuple[int, ...]]:
    verdicts = choose(graph, judge_all(graph, chip), chip, cuts).verdicts
    found = partition(graph, [verdict.supported for verdict in verdicts])
    return [part.operators for part in found if part.on_npu]


def possible(graph: Graph, chip: Chip) -> list[Partition]:
    marks = [verdict.supported for verdict in judge_all(graph, chip)]
    return [part for part in partition(graph, marks) if part.on_npu]


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_a_large_part_pays_and_a_small_one_stays_on_the_cpu(chip: Chip) -> None:
    graph = in_a_row([112, 56, 4], 32)
    assert parts_of(graph, chip, Cuts(ALL)) == [(0,), (2,)]
    assert parts_of(graph, chip, Cuts(FASTEST)) == [(0,)]
    assert parts_of(graph, chip, Cuts(FASTEST, rates=SLOW)) == [(0,), (2,)]


@pytest.mark.parametrize("rates", [DEFAULT_RATES, QUICK, SLOW], ids=lambda rates: rates.name)
def test_a_model_that_is_one_part_is_on_the_npu_whatever_the_cpu(rates: CpuRates) -> None:
    graph = in_a_row([8, 4])
    assert parts_of(graph, CHIPS[0], Cuts(FASTEST, rates=rates)) == [(0,)]


def test_the_part_that_loses_least_stays_where_none_pays() -> None:
    graph = in_a_row([32, 16, 8, 4])
    (kept,) = parts_of(graph, CHIPS[0], Cuts(FASTEST, rates=QUICK))
    costs = PartCosts(graph, CHIPS[0], QUICK)
    saved = {part.operators: costs.of(part).saved_seconds for part in possible(graph, CHIPS[0])}
    assert max(saved.values()) < 0
    assert kept == max(saved, key=lambda part: saved[part])


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_could_be_left_out_or_kept_would_be_faster(seed: int) -> None:
    """Of all ways to keep some of the parts, none is faster but the one without any."""
    graph = tflite.parse(RandomGraph(seed).model(), "random")
    chip = CHIPS[seed % 2]
    rates = dataclasses.replace(DEFAULT_RATES, submit_seconds=2e-5, computed_bytes=1e7)
    parts = possible(graph, chip)[:8]
    costs = PartCosts(graph, chip, rates)
    kept = set(itertools.chain(*parts_of(graph, chip, Cuts(FASTEST, rates=rates))))
    times = {}
    for chosen in itertools.product((True, False), repeat=len(parts)):
        if any(chosen):
            times[chosen] = sum(
                costs.of(part).npu_seconds if on else costs.of(part).cpu_seconds
                for part, on in zip(parts, chosen, strict=True)
            )
    ours = tuple(set(part.operators) <= kept for part in parts)
    if parts and any(ours):
        assert times[ours] == pytest.approx(min(times.values()))


def test_an_operator_that_is_left_says_what_its_part_would_cost() -> None:
    graph = in_a_row([112, 56, 4], 32)
    choice = choose(graph, judge_all(graph, CHIPS[0]), CHIPS[0], Cuts(FASTEST))
    (large, small) = choice.costs
    assert (large.kept, small.kept) == (True, False)
    refused = choice.verdicts[2]
    assert (refused.rule, refused.supported) == ("partition", False)
    assert refused.found == small.told
    assert "partition=all" in refused.remedy
    assert small.npu_seconds == pytest.approx(
        small.job_seconds + DEFAULT_RATES.submit_seconds + small.copy_seconds
    )
    crossing = (56 * 56 + 4 * 4) * 32
    assert small.copy_seconds == pytest.approx(crossing / DEFAULT_RATES.border_bytes)
    work = 4 * 4 * 32 * 9 * 32 / DEFAULT_RATES.convolution_macs
    assert small.cpu_seconds == pytest.approx(work + DEFAULT_RATES.operator_seconds)


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
@pytest.mark.parametrize("seed", [1])
def test_a_part_s_jobs_cost_no_less_than_the_search_makes_of_them(chip: Chip, seed: int) -> None:
    graph = tflite.parse(RandomGraph(seed).model(), "random")
    subject = Subject("random", "model", chip.name, "best")
    program = compile_graph(graph, chip, "best")
    found = profile_graph(graph, chip, program.parts, subject)
    costs = PartCosts(graph, chip, DEFAULT_RATES)
    parts = [costs.of(part).job_seconds for part in possible(graph, chip)]
    assert found.npu_seconds <= sum(parts) * 1.0001
    assert sum(parts) < 4 * found.npu_seconds


def test_what_litert_may_have_no_kernel_for_is_not_left_to_it() -> None:
    graph = in_a_row([112, 56, 4], 32)
    custom = dataclasses.replace(graph.operators[2], kind="CUSTOM:Convolution2DTransposeBias")
    renamed = dataclasses.replace(
        graph, operators=(*graph.operators[:2], custom, *graph.operators[3:])
    )
    small = possible(graph, CHIPS[0])[1]
    costs = PartCosts(renamed, CHIPS[0], DEFAULT_RATES)
    costs._known[small.operators] = PartCosts(graph, CHIPS[0], DEFAULT_RATES).of(small)
    assert costs.of(small).saved_seconds < 0
    parts = [*possible(graph, CHIPS[0])[:1], small]
    assert small in _losing(parts, PartCosts(graph, CHIPS[0], DEFAULT_RATES))
    assert small not in _losing(parts, costs)


def test_small_parts_go_first_and_then_those_that_do_not_pay() -> None:
    graph = in_a_row([112, 56, 28, 4], 32)
    assert len(parts_of(graph, CHIPS[0], Cuts(ALL, 1))) == 3
    assert parts_of(graph, CHIPS[0], Cuts(ALL, 2)) == []
    assert len(parts_of(graph, CHIPS[0], Cuts(FASTEST, 1))) == 2


def test_compiling_follows_the_choice_and_takes_all_by_itself() -> None:
    graph, chip = in_a_row([112, 56, 4], 32), CHIPS[0]
    for cuts, count in ((Cuts(), 2), (Cuts(FASTEST), 1)):
        assert len(prepare(graph, chip, CompileOptions(cuts=cuts)).parts) == count


@pytest.mark.parametrize(
    ("asked", "schedule", "strict", "wish"),
    [
        (None, "best", False, FASTEST),
        (None, "best", True, ALL),
        (None, "reference", False, ALL),
        (ALL, "best", False, ALL),
        (FASTEST, "reference", True, FASTEST),
    ],
)
def test_what_holds_where_nobody_asked(
    asked: str | None, schedule: str, strict: bool, wish: str
) -> None:
    assert partition_wish(asked, schedule, strict) == wish


def test_another_partition_is_refused() -> None:
    with pytest.raises(UsageError, match="partition is one of fastest, all, not 'best'"):
        Cuts("best")
