"""Names, which anybody may have made, on the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import call, process
from models import ModelBuilder
from places import DIGITS

from lapilli.cli import text
from lapilli.errors import ExitCode


def hostile_model() -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    weights = np.full((4, 3, 3, 3), 100, np.uint8)
    output = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3)
    builder.tensors[image].name = "\x1b]0;owned\x07\x1b[2Jimage [red]x\u202e\r\n"
    return builder.build([output])


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("conv/Relu6", "conv/Relu6"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("\x9b2Jname", "name"),
        ("two\nlines\ttab", "two lines tab"),
        ("bell\x07 back\x08 \u202eevil \ud800", "bell\ufffd back\ufffd \ufffdevil \ufffd"),
        ("[bold]markup[/bold]", "[bold]markup[/bold]"),
    ],
)
def test_names_cannot_control_the_terminal(raw: str, shown: str) -> None:
    assert text.clean(raw) == shown


def test_long_names_lose_their_middle() -> None:
    assert text.clean("abcdefghij", 7) == "ab…ghij"
    assert text.clean("abcdefg", 7) == "abcdefg"


@pytest.mark.parametrize("arguments", [("compile",), ("explain",), ("compile", "--strict")])
def test_a_hostile_model_prints_plain_text(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    result = call(arguments[0], "x.tflite", *arguments[1:])
    assert result.output.replace("\n", "").isprintable()


def test_dump_of_a_hostile_program_prints_plain_text(folder: Path) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    assert call("compile", "x.tflite").exit_code == 0
    found = call("dump", "x.lapilli").stdout
    assert found.replace("\n", "").isprintable()
    assert "[red]x" in found


def test_names_outside_the_terminals_encoding_are_no_error(folder: Path) -> None:
    (folder / "x.tflite").write_bytes(hostile_model())
    result = process(
        "explain", "x.tflite", "--chip", "ä", cwd=folder, env={"PYTHONIOENCODING": "ascii"}
    )
    assert result.returncode == ExitCode.USAGE
    assert "Traceback" not in result.stderr


NARROW_CALLS = (
    ("profile", DIGITS, "--no-run"),
    ("profile", DIGITS, "--no-run", "--jobs"),
    ("diff", DIGITS),
    ("compare", DIGITS, DIGITS, "--schedule-a", "reference"),
)


@pytest.mark.parametrize("arguments", NARROW_CALLS, ids=lambda a: " ".join(map(str, a[::2])))
def test_tables_leave_columns_out_below_80(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    for columns in (64, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        result = call(*arguments)
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= columns
