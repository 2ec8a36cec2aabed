"""A profile's first sentence: what it waits for, who costs most, what to try."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from command_line import call
from places import DIGITS

from lapilli.compiler.blocking import Blocking, BlockingRule
from lapilli.profile.answer import REMEDIES, answer
from lapilli.profile.sources import Wishes, profile_file
from lapilli.timing.cycles import Bound

PROFILE = profile_file(str(DIGITS), Wishes(measure=False, cache=False))


def test_it_names_the_bound_the_costliest_and_what_to_try() -> None:
    words = answer(PROFILE)
    assert words.startswith("0.10 ms on the NPU, 100 % of it waiting for start-up; ")
    assert "cost most (" in words and words.endswith(f"To try: {REMEDIES['start-up']}.")


def test_every_bound_has_something_to_try() -> None:
    assert set(REMEDIES) == {bound.value for bound in Bound}


def test_what_stays_on_the_cpu_comes_first_if_it_is_much_and_else_the_schedule() -> None:
    rule = BlockingRule("r", "", "It must.", "x", "", (1,), 1, 50)
    much = replace(PROFILE, blocking=Blocking(1, 11, 50, 100, (rule,)))
    assert "first what keeps 50 % of the multiplications on the CPU" in answer(much)
    assert answer(replace(PROFILE, schedule="reference")).endswith("To try: the best schedule.")


def test_a_profile_without_jobs_has_an_answer_too() -> None:
    assert answer(replace(PROFILE, jobs=(), operators=())) == "The NPU has nothing to do."


def test_terminal_json_and_page_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = answer(PROFILE)
    result = call("profile", DIGITS, "--no-run")
    assert words in " ".join(result.stdout.split())
    found = json.loads(call("profile", DIGITS, "--no-run", "--json").stdout)
    assert found["answer"] == words
    assert found["limits"]["on_chip_bytes_per_cycle"] == 16
