"""The tests themselves: none fails as the machine is busy or the folder has another name.

What may look as if it did is listed with its reason, and a row that nothing needs is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
OWN_NAME = Path(__file__).name
SOURCES = {
    str(path.relative_to(TESTS)): path.read_text(encoding="utf-8")
    for path in sorted(TESTS.rglob("*.py"))
    if path.name != OWN_NAME
}

CLOCK = re.compile(
    r"\b(?:perf_counter|monotonic|process_time|thread_time|clock_gettime|default_timer|timeit)\w*"
    r"|\b(?:time|monotonic|perf_counter|process_time)_ns\b|\bru_[us]time\b"
    r"|\bfrom time import\b|\btime\.(?:time|sleep)\b|\bdatetime\.(?:now|today|utcnow)\b"
)
CLOCKS_ALLOWED = {
    ("chromium.py", "monotonic"): "asks another process again until PATIENCE is over",
    ("chromium.py", "time.sleep"): "between two such questions",
    ("device/test_counters.py", "time.sleep"): "replaced: what happens late happens in it",
    ("profile/test_benchmark_command.py", "perf_counter"): "replaced by a clock of the test's own",
    ("through_preload.py", "monotonic"): "asks a thread again until PATIENCE is over; the board's",
    ("through_preload.py", "time.sleep"): "between two such questions",
    ("virtual_npu.py", "monotonic"): "a clock that goes on when somebody sleeps by it",
    ("work.py", "process_time"): "how long this process computes, not how long anybody waits",
}

WAITING = {"join", "wait", "result", "exception", "communicate", "settimeout"}
WAITS_ALLOWED = {
    ("device/test_drm_device.py", "join"): "for what may not come: a busy machine is lenient here",
    ("emulator/test_emulator_faults.py", "wait"): "a fence's number",
}


def clocks(source: str) -> set[str]:
    """Whatever of a clock's names stands in a file, also in what other processes are to run."""
    return {match[0] for match in CLOCK.finditer(source)}


def short_waits(source: str) -> Iterator[str]:
    """Functions that get a time-out as a number of their own instead of PATIENCE."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        given = [word.value for word in node.keywords if word.arg == "timeout"]
        given += node.args[:1] if name in WAITING else []
        if any(
            isinstance(each, ast.Constant) and type(each.value) in (int, float) for each in given
        ):
            yield name


def modules_imported(source: str) -> set[str]:
    """First names, also of imports within functions and in what other processes are to run."""
    return set(re.findall(r"^\s*(?:from|import) (\w+)", source, re.M))


def test_no_test_looks_at_the_clock() -> None:
    found = {(name, clock) for name, source in SOURCES.items() for clock in clocks(source)}
    assert found == set(CLOCKS_ALLOWED)


def test_no_test_waits_for_seconds_of_its_own() -> None:
    found = {(name, wait) for name, source in SOURCES.items() for wait in short_waits(source)}
    assert found == set(WAITS_ALLOWED)


def test_examples_are_timed_nowhere_and_chosen_in_one_place() -> None:
    words = re.compile(r"\b(?:deadline|HealthCheck|derandomize|load_profile|print_blob)\b")
    assert {name for name, source in SOURCES.items() if words.search(source)} == {"conftest.py"}


def test_no_test_imports_another_test() -> None:
    for name, source in SOURCES.items():
        wrong = {m for m in modules_imported(source) if m == "tests" or m.startswith("test_")}
        assert not wrong, f"{name} imports {wrong}; what tests share are modules of tests/"


def test_helpers_lie_in_the_one_folder_that_tests_import_from() -> None:
    for path in map(Path, SOURCES):
        if len(path.parts) > 1:
            assert path.name.startswith("test_") or path.name == "conftest.py", path


def test_one_file_knows_where_the_package_and_the_repository_lie() -> None:
    found = {name for name, source in SOURCES.items() if "__file__" in source}
    assert found == {"places.py", "digests.py", "emulated_program.py"}, "programs know their own"


def test_no_test_has_a_folder_of_its_own_choice() -> None:
    for name, source in SOURCES.items():
        assert not re.search(r"""["'](?:/var)?/tmp\b|gettempdir\(|mktemp\(\)""", source), name


def test_what_is_looked_for_is_seen() -> None:
    assert clocks("code = 'import time; time.time()'\nfrom time import sleep") == {
        "time.time",
        "from time import",
    }
    assert clocks("a = time.perf_counter_ns(); b = loop.monotonic(); run.seconds") == {
        "perf_counter_ns",
        "monotonic",
    }
    assert clocks("timeout = the_time(now)\nimport time") == set()
    assert list(short_waits("run(x, timeout=60); thread.join(5); ', '.join(x); f.result()")) == [
        "run",
        "join",
    ]
    assert list(short_waits("run(x, timeout=PATIENCE); thread.join(PATIENCE); d.wait(fence)")) == []
    assert modules_imported("import test_a\n\ndef f():\n    from test_b import c") == {
        "test_a",
        "test_b",
    }
