"""tools/mutants.py changes what it says, in a copy alone, and takes it back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from places import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools"))

import mutants
from mutants import Copy, Mutant, chosen
from mutants_accepted import ACCEPTED
from mutations import changes_something, mutations
from nearest_tests import nearest

SOURCE = '''"""A docstring with 1 and 2."""
from x import y

LIMIT: int = 7


def f(a: int | None, b: int = 3) -> bool:
    """1 < 2"""
    log.debug("of %d", a + 1)
    logging.getLogger("x").debug("%s", a)
    if a < b and not c:
        raise ValueError(f"{a + 1} of {b - 1}")
    total += a * 2
    a = a.reshape(-1)
    c = zip(a, strict=True)
    return g(a, b, key=min(a, -b))
'''
EXPECTED = [
    "7 -> 8",
    "3 -> 4",
    "a < b and not c -> (a < b)",
    "a < b and not c -> (not c)",
    "a < b and not c -> (not (a < b and (not c)))",
    "a < b and not c -> (a < b or not c)",
    "a < b -> (a <= b)",
    "not c -> (c)",
    'raise ValueError(f"{a + 1} of {b - 1}") -> pass',
    "total += a * 2 -> pass",
    "a * 2 -> (a // 2)",
    "2 -> 3",
    "g(a, b, key=min(a, -b)) -> g(b, a, key=min(a, -b))",
    "min(a, -b) -> min(-b, a)",
    "min -> max",
    "-b -> (b)",
]


def test_every_small_change_that_can_matter_is_found() -> None:
    found = mutations(SOURCE)
    assert sorted(str(change) for change in found) == sorted(EXPECTED)
    for change in found:
        assert changes_something(change, SOURCE)
        assert SOURCE.splitlines()[change.line - 1].strip() == change.shown
    assert {change.place for change in found} == {"<module>", "f"}


def test_letters_of_several_bytes_shift_nothing() -> None:
    (change,) = mutations('a = "ä€"; b = 1\n')
    assert change.apply('a = "ä€"; b = 1\n') == 'a = "ä€"; b = 2\n'


def test_the_choice_is_the_same_every_time_and_follows_the_seed() -> None:
    places = ["lapilli/device", "lapilli/compiler/partition.py"]
    first, again, other = (chosen(places, 12, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 12
    assert chosen(places, 5, 0) == first[:5]


def test_accepted_changes_still_are_possible() -> None:
    for (path, shown, text), reason in ACCEPTED.items():
        source = (REPOSITORY / path).read_text(encoding="utf-8")
        assert (shown, text) in {(c.shown, str(c)) for c in mutations(source)}, (path, shown)
        assert len(reason) > 20


def test_the_nearest_tests_are_those_named_after_a_file() -> None:
    for path, test in (
        ("device/pipeline.py", "device/test_pipeline.py"),
        ("emulator/tp.py", "emulator/test_emulator_tp"),
        ("compiler/partition.py", "compiler/test_partition.py"),
    ):
        found = nearest(REPOSITORY / "lapilli" / path, REPOSITORY, 3)
        assert len(found) == 3
        assert str(found[0].relative_to(REPOSITORY / "tests")).startswith(test)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A project of one file and one test."""
    files = {
        "lapilli/__init__.py": "",
        "lapilli/room/__init__.py": "",
        "lapilli/room/sums.py": "def up(n):\n    i = 0\n    while i < n:\n        i += 1\n"
        "    return i\n\n\ndef unused():\n    return 5\n",
        "tests/room/test_sums.py": "from lapilli.room import sums\n\n\n"
        "def test_up():\n    assert sums.up(3) == 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Copy(tmp_path)


def test_changes_are_noticed_missed_or_stopped_and_taken_back(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "COMPUTING_SECONDS", 2)
    path = copy.root / "lapilli/room/sums.py"
    source = path.read_text(encoding="utf-8")
    found = {}
    for change in mutations(source):
        if change.kind in ("comparison", "statement dropped") or change.shown == "return 5":
            result = copy.judge(Mutant("lapilli/room/sums.py", change, 0))
            found[change.shown, str(change)] = (result.noticed, result.by)
        assert path.read_text(encoding="utf-8") == source
    test = "tests/room/test_sums.py::test_up"
    assert found == {
        ("while i < n:", "i < n -> (i <= n)"): (True, test),
        ("i += 1", "i += 1 -> pass"): (False, "computed for 2 s"),
        ("return 5", "5 -> 6"): (False, "nothing in 1 test files"),
    }


def test_a_test_that_fails_anyway_has_noticed_nothing(copy: Copy) -> None:
    test = copy.root / "tests/room/test_sums.py"
    test.write_text(test.read_text(encoding="utf-8") + "    assert False\n", encoding="utf-8")
    path = copy.root / "lapilli/room/sums.py"
    change = next(c for c in mutations(path.read_text(encoding="utf-8")) if c.kind == "comparison")
    result = copy.judge(Mutant("lapilli/room/sums.py", change, 0))
    assert (result.noticed, result.by) == (
        False,
        "tests/room/test_sums.py::test_up fails without the change",
    )
