"""The command line: what goes where, exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import assert_one_line, call, process
from places import DIGITS, IMPORTABLE

import lapilli
from lapilli.cli import COMMANDS, commands, text
from lapilli.cli.text import to_type
from lapilli.compiler import stages as compiler
from lapilli.errors import DeviceError, ExitCode, Fault, HangError, LapilliError, Unsupported

COMMANDS_HERE = ("compile", "dump", "explain", "replay")


def test_help_lists_every_command() -> None:
    result = process("--help")
    assert result.returncode == ExitCode.OK
    for name, entry in COMMANDS.items():
        assert name in result.stdout and entry.help in result.stdout


def test_help_is_quick_as_it_imports_little_beside_click() -> None:
    code = (
        "import sys, click.testing, locale\nbefore = set(sys.modules)\n"
        "from lapilli.cli import commands\n"
        "click.testing.CliRunner().invoke(commands, ['--help'])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": IMPORTABLE},
    ).stdout.split()  # fmt: skip
    assert len(found) < 40  # click itself takes some 90
    assert sum(name.split(".")[0] == "lapilli" for name in found) < 12
    assert not {"numpy", "rich", "lapilli.cli.compile"} & set(found)


@pytest.mark.parametrize("name", COMMANDS_HERE)
def test_every_command_has_help_and_json(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == ExitCode.OK
    assert "--json" in result.stdout


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout == f"lapilli {lapilli.__version__}\n"


def test_no_command_shows_the_help() -> None:
    result = call()
    assert result.exit_code == ExitCode.USAGE
    assert "Try it:" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("nonsense",),
        ("compile",),
        ("compile", DIGITS, "--nonsense"),
        ("compile", DIGITS, "extra"),
        ("dump", "x", "--part", "one"),
        ("replay", "x.npz"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: tuple[object, ...]) -> None:
    assert_one_line(call(*arguments), ExitCode.USAGE, "--help)")


def _raising(error: BaseException) -> click.Command:
    @click.command()
    def fails() -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DeviceError("no such node"), 5, "lapilli: no such node"),
        (HangError("5 s"), 7, "lapilli: 5 s"),
        (Fault("job 3: word 5"), 7, "lapilli: job 3: word 5"),
        (LapilliError("\x1b[31mred\n"), 1, "lapilli: red"),
        (
            ZeroDivisionError("x"),
            1,
            "internal error, please report: ZeroDivisionError: x (lapilli/cli/",
        ),
        (AssertionError(), 1, "internal error, please report: AssertionError"),
        (MemoryError(), 1, "internal error"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_end_with_their_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    monkeypatch.delenv("LAPILLI_TRACEBACK", raising=False)
    monkeypatch.setattr(commands, "get_command", lambda context, name: _raising(error))
    result = call("fails")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stderr.strip().startswith(message) or message in result.stderr
    assert len(result.stderr.splitlines()) == (1 if message else 0)


@pytest.mark.parametrize("folder", ["/home/lapilli/site-packages/other", "/src/my lapilli/lapilli"])
def test_the_file_to_report_is_ours_whatever_other_folders_are_called(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    theirs: dict[str, Any] = {}
    exec(compile("def notes():\n    yield 1 / 0", f"{folder}/notes.py", "exec"), theirs)
    command = click.Command("fails", callback=lambda: text.say(theirs["notes"]()))
    monkeypatch.setattr(commands, "get_command", lambda context, name: command)
    assert " (lapilli/cli/text.py:" in call("fails").stderr


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(commands, "get_command", lambda c, n: _raising(ZeroDivisionError("x")))
    if how == "variable":
        monkeypatch.setenv("LAPILLI_TRACEBACK", "1")
    result = call(*(["--debug"] if how == "option" else []), "fails")
    assert result.exit_code == ExitCode.BUG
    assert "Traceback" in result.stderr


def test_a_closed_output_is_no_error(program: Path) -> None:
    command = shlex.join([sys.executable, "-m", "lapilli", "dump", str(program)])
    code = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(
        ["bash", "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": IMPORTABLE},
    )  # fmt: skip
    assert found.stderr == ""
    assert found.stdout.splitlines()[1] in ("141", "0")


# ------------------------------------------------------------------------------- wrong files, chips


@pytest.mark.parametrize("name", COMMANDS_HERE)
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "zip", "pipe", "zero"])
def test_a_wrong_input_file_is_one_line_and_exit_3(folder: Path, name: str, kind: str) -> None:
    path = folder / "input"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(
            {"empty": b"", "text": b"hello " * 99, "zip": b"PK\x03\x04" * 9}.get(kind, b"x")
        )
    shown = str(path) if kind != "zero" else "a\0b"
    more = ["-o", "out.npz"] if name == "replay" else []
    assert_one_line(call(name, shown, *more), ExitCode.INVALID_FILE)
    assert [p.name for p in folder.iterdir() if p != path] == []


def test_a_wrong_file_in_a_real_process() -> None:
    result = process("compile", "/nonexistent/x.tflite")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("lapilli: /nonexistent/x.tflite: ")
    assert len(result.stderr.splitlines()) == 1


def test_dumping_a_model_says_how_to_compile_it() -> None:
    assert_one_line(call("dump", DIGITS), ExitCode.INVALID_FILE, "lapilli compile MODEL.tflite")


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", DIGITS, "--chip", "a312d"),
        ("explain", DIGITS, "--chip", "a312d"),
        ("replay", "x.npz", "-o", "y.npz", "--chip", "a312d"),
    ],
)
def test_an_unknown_chip_is_a_usage_error_that_names_the_known(
    folder: Path, arguments: tuple[object, ...]
) -> None:
    assert_one_line(call(*arguments), ExitCode.USAGE, "unknown chip 'a312d'", "known: ", "a311d")


def test_an_unknown_schedule_is_a_usage_error(folder: Path) -> None:
    result = call("compile", DIGITS, "--schedule", "worst")
    assert_one_line(result, ExitCode.USAGE, "unknown schedule 'worst'", "reference, best")


@pytest.mark.parametrize("name", ["compile", "explain"])
def test_a_chip_we_cannot_compile_for_is_unsupported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(chip: str) -> None:
        raise Unsupported(f"chip {chip} is of generation V9")

    monkeypatch.setattr(compiler, "chip_named", refuse)
    result = call(name, DIGITS, "--chip", "a311d")
    assert_one_line(result, ExitCode.UNSUPPORTED, "chip a311d is of generation V9")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_a_program_for_each_chip_is_told_with_what_stays_on_the_cpu(
    folder: Path, chip: str
) -> None:
    result = call("compile", DIGITS, "--chip", chip)
    assert result.exit_code == ExitCode.OK
    assert (folder / "digits.lapilli").exists()
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"digits.lapilli: {chip}, schedule best: 1 part, ")
    assert lines[1].startswith("On the CPU: 1 of 11 operators")
    assert " ".join(result.stderr.split()).endswith(
        "Next: " + to_type("explain", str(DIGITS), chip)
    )
