"""Damaged .tflite files are refused with one of our errors, or compiled and run."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from model_mutants import Mutant, mutants, seed_models, travel

from lapilli.compiler import stages as compiler
from lapilli.errors import Fault

SEED = 1
NORMAL, LONG, CHUNK = 200, 20_000, 100


def check(count: int, first: int) -> Counter[str]:
    chosen = itertools.islice(mutants(count, SEED), first, first + CHUNK)
    outcomes = [travel(mutant) for mutant in chosen]
    wrong = [
        f"{o.mutant.seed_model}: {o.mutant.change}: {o.problem}" for o in outcomes if o.problem
    ]
    assert not wrong, "\n".join(wrong)
    return Counter(outcome.ended for outcome in outcomes)


@pytest.mark.parametrize("first", range(0, NORMAL, CHUNK))
def test_two_hundred_damaged_models(first: int) -> None:
    ended = check(NORMAL, first)
    assert ended["ran"] > CHUNK // 20
    assert ended["refused"] > CHUNK // 20


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, LONG, CHUNK))
def test_twenty_thousand_damaged_models(first: int) -> None:
    check(LONG, first)


def test_the_models_are_sound_before_they_are_damaged() -> None:
    outcomes = [travel(Mutant(name, "", data)) for name, data in seed_models().items()]
    assert not [outcome for outcome in outcomes if outcome.problem]
    assert len(outcomes) >= 10
    assert [o.mutant.seed_model for o in outcomes if o.ended != "ran"] == []


def test_mutants_are_always_the_same() -> None:
    assert list(mutants(50, 7)) == list(mutants(50, 7))
    assert list(mutants(50, 7)) != list(mutants(50, 8))
    changed = [m.data != seed_models()[m.seed_model] for m in mutants(50, 7)]
    assert sum(changed) > 40


@pytest.mark.parametrize("error", [KeyError("x"), Fault("job 0"), MemoryError()])
def test_other_errors_are_noticed(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(compiler.verdict, "judge_all", broken)
    name, data = next(iter(seed_models().items()))
    assert travel(Mutant(name, "", data)).problem
