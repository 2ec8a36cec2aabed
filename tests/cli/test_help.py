"""Help: commands by what they are for, an example each, the words, suggestions, completion."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest
from command_line import assert_one_line, call, process
from patience import PATIENCE
from places import DIGITS, IMPORTABLE

from lapilli.cli import commands
from lapilli.cli.registry import COMMANDS, GROUPS
from lapilli.cli.terms import TERMS
from lapilli.errors import ExitCode
from lapilli.version import VERSION


def test_commands_are_listed_by_what_they_are_for() -> None:
    text = call("--help").stdout
    titles = [text.index(f"{title}:") for title in GROUPS.values()]
    assert titles == sorted(titles)
    assert {entry.group for entry in COMMANDS.values()} == set(GROUPS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_commands_help_ends_with_an_example_that_is_a_valid_call(name: str) -> None:
    example = COMMANDS[name].example
    assert (
        call(name, "--help")
        .stdout.rstrip()
        .endswith(f"Example:\n  {example}".replace("\n", "\n  "))
    )
    words = shlex.split(example)[1:]
    context = commands.make_context("lapilli", list(words), resilient_parsing=False)
    command = commands.get_command(context, words[0])
    assert command is not None
    command.make_context(words[0], words[1:])  # raises for an option or argument there is not


def test_help_of_a_command_is_its_help() -> None:
    assert call("help", "fit").stdout == call("fit", "--help").stdout
    assert call("help").stdout == call("--help").stdout
    assert_one_line(call("help", "nothing"), ExitCode.USAGE, "no help on 'nothing'", "terms")


@pytest.mark.parametrize("columns", [60, 80])
def test_the_words_are_explained_within_the_screen(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = call("help", "terms").stdout.splitlines()
    assert max(map(len, lines)) <= columns
    for word in ("TP", "NN", "part", "job", "tile", "superblock", "coefficients", "util", "dense"):
        assert any(word in term.word for term in TERMS), word
    assert set(json.loads(call("help", "terms", "--json").stdout)["terms"]) == {
        term.word for term in TERMS
    }


def test_version_names_what_a_report_needs() -> None:
    found = json.loads(call("version", "--json").stdout)
    assert found["lapilli"] == VERSION
    assert set(found) >= {"python", "numpy", "litert", "kernel", "machine"}
    assert f"lapilli  {VERSION}" in call("version").stdout


def test_mistyped_commands_and_options_get_a_suggestion() -> None:
    found = process("pofile")
    assert found.returncode == ExitCode.USAGE and found.stdout == ""
    assert "there is no command 'pofile'; did you mean profile?" in found.stderr
    found = process("run", "--devise", "x")
    assert found.returncode == ExitCode.USAGE
    assert "'--devise'" in found.stderr and "'--device'" in found.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lapilli run --chip vim", "plain,vim3"),
        ("lapilli run --device emulator-imx8mp-", "plain,emulator-imx8mp-a0"),
        ("lapilli expl", "plain,explain"),
        ("lapilli fit mod", "file,mod"),
    ],
)
def test_a_shell_completes_commands_chips_devices_and_files(words: str, offered: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": IMPORTABLE,
        "_LAPILLI_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    found = subprocess.run(
        [sys.executable, "-c", "import lapilli.cli; lapilli.cli.main()"],
        capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert found.stdout.splitlines() == [offered], found.stderr


def test_quiet_leaves_notes_out_and_verbose_shows_what_is_logged() -> None:
    noted = process("diff", DIGITS, "--chip", "vim3", "--json")
    quiet = process("-q", "diff", DIGITS, "--chip", "vim3", "--json")
    assert noted.stderr.startswith("lapilli: note: --chip vim3") and quiet.stderr == ""
    assert noted.stdout == quiet.stdout
    logged = process("-vv", "diff", DIGITS, "--json")
    assert logged.returncode == 0 and "lapilli.litert" in logged.stderr
