"""Generated models of every operator without kernels, on the emulator against LiteRT: a fixed
sample, or all of them with --long; ``make grid`` runs all with a summary."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from comparing import CHIPS, SCHEDULES, GraphCase, check, refused_operators
from operator_cases import FAMILIES, OperatorCase, operator_cases

SAMPLE, ALL = 48, 250
GRAPH_SAMPLE, GRAPHS = 24, 250
MAY_BE_REFUSED = {
    # SAME with windows that are not square has four numbers of pixels inside.
    "average": {"few_counts"},
    # Rows and channels together, or columns and channels.
    "mean": {"mean_axes"},
    # Three dimensions packed along the first give a batch.
    "join": {"batch_of_one"},
    # A step of the output is down to 30 products of two steps.
    "product": {"product_exact"},
    # Functions of a byte that are too steep for a table.
    "dimensions": {"table_exact"},
    # Any size, as well as those whose pixels repeat.
    "nearest": {"places_repeat"},
    # 7 pixels become 15.
    "bilinear": {"few_phases"},
}
EXACT = {"reshape", "split", "slice", "pad", "extremum", "largest", "nearest", "blocks", "most"}
"""Families in which bytes are moved or compared."""
TARGETS = list(itertools.product(CHIPS, SCHEDULES))


def check_all(cases: list[OperatorCase], every: bool) -> None:
    """Each case on one of the chips under one of the schedules in turns, or on ``every`` one."""
    ran = Counter[str]()
    for number, case in enumerate(cases):
        targets = TARGETS if every else [TARGETS[number % len(TARGETS)]]
        for chip, schedule in targets:
            (outcome,) = check(case, [schedule], chip)
            assert outcome.right, outcome
            assert set(outcome.refused) <= MAY_BE_REFUSED.get(case.group, set()), outcome
            assert outcome.unequal == 0 or case.group not in EXACT, outcome
            ran[chip] += bool(outcome.values)
    # Each chip has half of the cases, or all.
    assert all(ran[chip] > len(cases) // 3 for chip in CHIPS), ran


@pytest.mark.parametrize("family", FAMILIES)
def test_operators_are_within_one(family: str) -> None:
    check_all(operator_cases(family, SAMPLE), every=False)


@pytest.mark.parametrize("number", range(GRAPH_SAMPLE))
def test_graphs_of_all_kinds(number: int) -> None:
    chip, schedule = TARGETS[number % len(TARGETS)]
    (outcome,) = check(GraphCase(number, further=True), [schedule], chip)
    assert outcome.right, outcome
    assert outcome.values, "nothing was compared"


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "count", [GRAPH_SAMPLE, pytest.param(GRAPHS, marks=pytest.mark.long)], ids=["sample", "all"]
)
def test_few_operators_of_graphs_of_all_kinds_are_left_to_the_cpu(count: int, chip: str) -> None:
    """None on the A311D; V8 has no fields for a scale of 2 and above."""
    cases = [GraphCase(number, further=True) for number in range(count)]
    operators, refused = refused_operators(cases, chip)
    assert sum(refused.values()) <= (0 if chip == "a311d" else operators // 20), refused
    assert set(refused) <= {"scale_fits"}


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_all_operators_are_within_one(family: str) -> None:
    check_all(operator_cases(family, ALL), every=True)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, GRAPHS, 50))
def test_all_graphs_of_all_kinds(first: int) -> None:
    cases = [GraphCase(number, further=True) for number in range(first, first + 50)]
    outcomes = [outcome for case in cases for chip in CHIPS for outcome in check(case, chip=chip)]
    assert not [outcome for outcome in outcomes if not outcome.right]
    assert all(outcome.values for outcome in outcomes)


def test_a_case_is_the_same_every_time() -> None:
    for family in FAMILIES:
        case = OperatorCase(family, 3)
        assert case.model() == case.model()
    assert GraphCase(7, further=True).graph().model() == GraphCase(7, further=True).graph().model()


def test_families_have_what_they_are_to_have() -> None:
    """Both types and zero points at both ends; at least 3,000 cases for each chip in all."""
    assert len(FAMILIES) * ALL + GRAPHS >= 3000
    for family in FAMILIES:
        built = [case.built()[0] for case in operator_cases(family, SAMPLE)]
        assert {builder.dtype for builder in built} == {"uint8", "int8"}
        points = {
            (spec.zero_points or (0,))[0] + (128 if spec.dtype == "int8" else 0)
            for builder in built
            for spec in builder.tensors
            if spec.dtype in ("uint8", "int8")
        }
        assert {0, 128, 255} <= points
