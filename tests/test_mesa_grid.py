"""tools/mesa_grid.py: the sample is fixed and has every known mistake; what is not as listed is
told."""

from __future__ import annotations

import io
import sys

from places import REPOSITORY
from rich.console import Console
from rule_checks import chip

sys.path.insert(0, str(REPOSITORY / "tools"))

from comparing import run_litert
from mesa_grid import (
    ADDED,
    COUNT,
    LARGEST_OPERATIONS,
    LARGEST_WEIGHTS,
    MISTAKES,
    SEED,
    Outcome,
    ResidualCase,
    cases_of,
    cause_of,
    judge,
    operations_of,
    residuals,
    weights_of,
)

SAMPLE = cases_of(COUNT, SEED)


def test_the_sample_is_fixed_and_small() -> None:
    assert cases_of(COUNT, SEED) == SAMPLE != cases_of(COUNT, SEED + 1)
    assert len(SAMPLE) == len({case.name for case in SAMPLE}) == COUNT
    assert all(weights_of(case) <= LARGEST_WEIGHTS for case in SAMPLE)
    assert all(operations_of(case) <= LARGEST_OPERATIONS for case in SAMPLE)


def test_every_known_mistake_is_in_it() -> None:
    """On the A311D; the newer chip has some of them."""
    causes = {cause_of(case, chip("a311d")) for case in SAMPLE}
    assert causes - {""} == {*(mistake.cause for mistake in MISTAKES), ADDED}
    newer = {cause_of(case, chip("imx8mp")) for case in SAMPLE}
    assert newer < causes


def test_the_document_has_every_mistake() -> None:
    text = (REPOSITORY / "docs" / "accuracy.md").read_text(encoding="utf-8")
    for cause in (*(mistake.cause for mistake in MISTAKES), ADDED):
        assert f"| {cause} |" in text


def test_an_addition_of_two_convolutions_is_what_litert_runs() -> None:
    case = next(case for case in residuals() if case.outputs == 32 and case.size == 5)
    assert isinstance(case, ResidualCase)
    (found,) = run_litert(case.model(), case.feed())
    assert found.shape == (1, 5, 5, 32)
    assert case.model() == case.model()
    assert int(found.max()) - int(found.min()) > 100


def told(outcomes: list[Outcome]) -> tuple[list[str], str]:
    out = io.StringIO()
    unexpected = judge(chip("a311d"), outcomes, Console(file=out, width=200))
    return unexpected, out.getvalue()


def test_what_is_not_as_listed_is_told() -> None:
    right = next(case for case in SAMPLE if not cause_of(case, chip("a311d")))
    wrong = next(case for case in SAMPLE if cause_of(case, chip("a311d")))
    unexpected, table = told([Outcome(right, 1, 1), Outcome(wrong, 200, 1)])
    assert not unexpected
    assert wrong.name in table and "2 cases on a311d: 2 run, 1 wrong" in table
    found = [Outcome(right, 7, 1, "Refused: x"), Outcome(wrong, 1, 1), Outcome(right, 0, 0)]
    unexpected, table = told(found)
    assert len(unexpected) == 2
    assert "is wrong; Refused: x" in unexpected[0] and "is right; " in unexpected[1]
    assert "1 left to the CPU" in table
    ended = Outcome(right, 255, 0, "the driver ends the program", ended=False)
    assert ended.wrong and len(told([ended])[0]) == 1
