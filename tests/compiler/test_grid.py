"""Generated models on the emulator against LiteRT: a fixed sample, or all of them with --long.

``make grid`` runs all of it with a summary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from cases import (
    Case,
    ConvolutionCase,
    driver_additions,
    driver_convolutions,
    driver_depthwise,
    driver_grid,
    issue_grid,
    sample,
    steep_additions,
    subtractions,
)
from comparing import CHIPS, SCHEDULES, GraphCase, Outcome, check, refused_operators

DRIVER_SAMPLE, ISSUE_SAMPLE, GRAPH_SAMPLE = 300, 200, 60
GRAPHS = 500
SUBTRACTION_SAMPLE = 150
MAY_BE_REFUSED = {"a311d": set(), "imx8mp": {"scale_fits"}}
"""Rules that cases of the grids break: V8 has no fields for a scale of 2 and above."""
IN_GRAPHS = {"operator", "product_exact"}
"""Rules that random graphs break on purpose, so that they are cut into parts."""
MOST_REFUSED = 0.05
"""Share of the operators of random graphs; what is refused is compared with nothing."""
MOST_REFUSED_OF_A_PIECE = 0.12
"""Of the cases in a piece of a grid. Those for the A311D are all taken."""
CHUNK = 50


def alternate(cases: Sequence[Case | GraphCase]) -> list[object]:
    """Each case for one of the chips under one of the schedules, in turns."""
    targets = list(itertools.product(CHIPS, SCHEDULES))
    return [
        pytest.param(case, chip, schedule, id=f"{case.name}-{chip}-{schedule}")
        for case, (chip, schedule) in zip(cases, itertools.cycle(targets), strict=False)
    ]


def chunks(cases: Sequence[Case | GraphCase]) -> list[object]:
    """Pieces of a whole grid."""
    return [
        pytest.param(cases[first : first + CHUNK], id=f"{cases[first].name} and on")
        for first in range(0, len(cases), CHUNK)
    ]


def test_the_grids_have_the_sizes_asked_for() -> None:
    assert len(driver_convolutions()) == 5 * 3 * 5 * 6 * 2 * 2 - 5 * 6 * 2  # 5x5 VALID on 3x3
    assert len(driver_depthwise()) == 5 * 3 * 6 * 2 * 2 - 6 * 2
    assert 3900 <= len(driver_grid()) <= 4100
    assert len(issue_grid()) >= 2000
    names = [case.name for case in (*driver_grid(), *issue_grid())]
    assert len(set(names)) == len(names)


def test_a_case_is_the_same_every_time() -> None:
    for case in sample(issue_grid(), 5) + sample(driver_additions(), 5):
        assert case.model() == case.model()
        assert all(map(np.array_equal, case.feed(), case.feed()))
    assert GraphCase(7).graph().model() == GraphCase(7).graph().model()


@pytest.mark.parametrize(
    ("case", "chip", "schedule"), alternate(sample(driver_grid(), DRIVER_SAMPLE))
)
def test_the_drivers_own_grid(case: Case, chip: str, schedule: str) -> None:
    (outcome,) = check(case, [schedule], chip)
    assert outcome.right, outcome
    assert set(outcome.refused) <= MAY_BE_REFUSED[chip]


def fails_with_the_existing_driver(case: ConvolutionCase) -> bool:
    """Cases its own test program lists as failing on the A311D (hardware notes, overview 7)."""
    size, kernel = case.rows, case.kernel[0]
    if case.padding == "VALID" and case.stride == 2 and case.inputs > 1:
        return (size, kernel) in ((3, 3), (5, 3), (5, 5))
    if kernel != 5 or case.inputs > 1:
        return False
    if case.depthwise:
        return size == 5 and case.stride == 2 and case.padding == "SAME"
    return size in (5, 8) if case.stride == 1 else size > 3 and case.padding == "SAME"


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_the_existing_driver_fails_on(schedule: str, chip: str) -> None:
    cases = [*driver_convolutions(), *driver_depthwise()]
    chosen = [case for case in cases if fails_with_the_existing_driver(case)]
    assert len(chosen) == (4 + 2 * 2 + 3 * 4) * 6 + 3 * 5 + 1
    outcomes = [check(case, [schedule], chip)[0] for case in chosen]
    refused = {rule for outcome in outcomes for rule in outcome.refused}
    assert refused <= MAY_BE_REFUSED[chip]
    assert not [outcome for outcome in outcomes if not outcome.right]


@pytest.mark.parametrize(
    ("case", "chip", "schedule"), alternate(sample(issue_grid(), ISSUE_SAMPLE))
)
def test_odd_sizes_and_any_kernels(case: Case, chip: str, schedule: str) -> None:
    (outcome,) = check(case, [schedule], chip)
    assert outcome.right, outcome
    assert set(outcome.refused) <= MAY_BE_REFUSED[chip]


@pytest.mark.parametrize(
    ("case", "chip", "schedule"), alternate([GraphCase(i) for i in range(GRAPH_SAMPLE)])
)
def test_random_graphs(case: GraphCase, chip: str, schedule: str) -> None:
    (outcome,) = check(case, [schedule], chip)
    assert outcome.right, outcome
    assert set(outcome.refused) <= MAY_BE_REFUSED[chip] | IN_GRAPHS
    assert outcome.values, "nothing was compared"


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "count", [GRAPH_SAMPLE, pytest.param(GRAPHS, marks=pytest.mark.long)], ids=["sample", "all"]
)
def test_few_operators_of_random_graphs_are_left_to_the_cpu(count: int, chip: str) -> None:
    operators, refused = refused_operators([GraphCase(i) for i in range(count)], chip)
    assert sum(refused.values()) <= MOST_REFUSED * operators, refused
    assert set(refused) <= MAY_BE_REFUSED[chip] | IN_GRAPHS


def demand_few_refusals(outcomes: Sequence[Outcome], chip: str) -> None:
    """Of a piece of a grid; random graphs always have something for the NPU."""
    left = [outcome for outcome in outcomes if not outcome.values]
    most = 0 if chip == "a311d" else MOST_REFUSED_OF_A_PIECE
    assert len(left) <= most * len(outcomes), left
    assert {rule for outcome in left for rule in outcome.refused} <= MAY_BE_REFUSED[chip]


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "cases",
    chunks([*driver_grid(), *issue_grid(), *subtractions(), *map(GraphCase, range(GRAPHS))]),
)
def test_everything(cases: Sequence[Case | GraphCase], chip: str) -> None:
    outcomes = [outcome for case in cases for outcome in check(case, chip=chip)]
    assert not [outcome for outcome in outcomes if not outcome.right]
    demand_few_refusals(outcomes, chip)


def test_too_many_refusals_are_seen() -> None:
    """Refusing everything is right for ``check``, case by case."""
    refused = [Outcome("x", "best", refused=("scale_fits",)) for _ in range(CHUNK)]
    assert all(outcome.right for outcome in refused)
    for chip, some in (("a311d", 1), ("imx8mp", 7)):
        ran = [Outcome("y", "best", values=9)] * (CHUNK - some)
        with pytest.raises(AssertionError):
            demand_few_refusals(refused[:some] + ran, chip)
        demand_few_refusals(refused[: some - 1] + ran + ran[:1], chip)


# -------------------------------------------------------------------------------- addition weights


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_additions_whose_results_are_mostly_cut_off_still_are_right(
    schedule: str, chip: str
) -> None:
    """Output ranges down to a tenth of the operands'; the recorded driver's weights, of which the
    larger is always 255, are too coarse for a part of them."""
    outcomes = [check(case, [schedule], chip)[0] for case in steep_additions()]
    assert not [outcome for outcome in outcomes if not outcome.right]
    assert sum(bool(outcome.values) for outcome in outcomes) > len(outcomes) * 9 // 10


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_subtractions_of_any_shape_and_scales(schedule: str, chip: str) -> None:
    """Zero points at both ends are among them, fused ReLUs, and scales far apart."""
    cases = subtractions(SUBTRACTION_SAMPLE)
    outcomes = [check(case, [schedule], chip)[0] for case in cases]
    assert not [outcome for outcome in outcomes if not outcome.right]
    refused = {rule for outcome in outcomes for rule in outcome.refused}
    assert refused <= {"subtraction_exact", "scale_fits"}
    assert sum(bool(outcome.values) for outcome in outcomes) > len(outcomes) * 8 // 10
    assert {0, 255} <= {zero for case in cases for zero in case.zeros}
    assert any(case.activation == "RELU" for case in cases)
