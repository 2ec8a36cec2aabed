"""What is asked of the search reaches the compiler, from wherever it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import assert_one_line, call
from places import DIGITS
from rule_checks import chip

from lapilli.compiler.schedule.search_options import SearchOptions, lever_names
from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.diff.layers import diff
from lapilli.errors import ExitCode, UsageError
from lapilli.litert.delegate import Delegate
from lapilli.litert.inference import Inference
from lapilli.litert.plugin import create
from lapilli.model import tflite
from lapilli.profile.benchmark import Benchmark
from lapilli.program.program import Part

DEVICE = "emulator:a311d"
COMMANDS = (
    ("compile", "--chip", "a311d"),
    ("run", "--device", DEVICE),
    ("profile", "--device", DEVICE),
    ("benchmark", "--device", DEVICE),
    ("diff", "--device", DEVICE),
)


def content(part: Part) -> tuple[bytes, ...]:
    data = (buffer.data for buffer in part.buffers)
    return (part.commands.tobytes(), *(b"" if each is None else each.tobytes() for each in data))


def by_delegate(**options: object) -> tuple[bytes, ...]:
    inference = Inference(DIGITS, device=DEVICE, cache=False, **options)
    try:
        return content(inference.delegate.parts[0])
    finally:
        inference.close()


def by_plugin(**options: str) -> Delegate:
    return create({"device": DEVICE, "cache": "false", **options})


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[bytes, ...]]:
    graph = tflite.load(DIGITS)
    asked = {
        "usual": CompileOptions(),
        "without parity": CompileOptions(without=frozenset({"parity"})),
    }
    found = {
        name: content(compile_graph(graph, chip("a311d"), options=options).parts[0])
        for name, options in asked.items()
    }
    assert found["usual"] != found["without parity"]
    return found


def test_the_delegate_s_options(expected: dict[str, tuple[bytes, ...]]) -> None:
    assert by_delegate() == expected["usual"]
    for names in ("parity", ["parity"], "parity, "):
        assert by_delegate(without=names) == expected["without parity"]
    assert by_delegate(effort=2) and by_delegate(experimental="partial-image")


def test_the_plugin_s_options_are_text() -> None:
    delegate = by_plugin(without="parity,fold", experimental="partial-image", effort="2")
    options = delegate._session.options
    assert options.search == SearchOptions(
        frozenset({"parity", "fold"}), frozenset({"partial-image"}), 2
    )
    delegate.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"without": "no-such"}, "unknown lever 'no-such'; known: one-pass"),
        ({"experimental": "fold"}, "'fold' is no experimental lever for V7; known: "),
        ({"effort": 3}, "effort is 0 to 2, not 3"),
        ({"effort": True}, "effort is an integer from 0 to 2, not True"),
        ({"effort": "1"}, "effort is an integer from 0 to 2, not '1'"),
        ({"without": 3}, "without is a lever's name or several, not 3"),
        ({"experimental": [3]}, r"experimental is a lever's name or several, not \[3\]"),
    ],
)
def test_the_delegate_refuses_at_once(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Delegate(DEVICE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"), [("effort", "much"), ("effort", "-1"), ("without", "none")]
)
def test_the_plugin_refuses_at_once(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=option if option == "effort" else "unknown lever 'none'"):
        by_plugin(**{option: value})


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_that_compiles_has_them(command: tuple[str, ...], folder: Path) -> None:
    name, *device = command
    result = call(name, DIGITS, *device, "--without", "no-such")
    assert_one_line(result, ExitCode.USAGE, "unknown lever 'no-such'")
    assert not list(folder.glob("*.lapilli"))


def test_a_profile_is_of_the_schedule_asked_for() -> None:
    def seconds(*options: str) -> float:
        result = call("profile", DIGITS, "--no-run", "--no-cache", "--json", *options)
        return float(json.loads(result.stdout)["totals"]["npu_seconds"])

    assert seconds() < seconds("--without", "parity")


@pytest.mark.parametrize("ask", [Benchmark, diff], ids=["benchmark", "diff"])
def test_programs_in_python_have_them_too(ask: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="unknown lever 'none'"):
        ask(DIGITS, DEVICE, search=SearchOptions(without=frozenset({"none"})))


def test_names_are_a_text_or_several() -> None:
    assert lever_names("", "without") == lever_names((), "without") == frozenset()
    assert lever_names(" fold ,groups", "without") == frozenset({"fold", "groups"})
