"""Standard output and error closed or full: an exit code and one line, never a bug of ours."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from patience import PATIENCE
from places import DIGITS, IMPORTABLE

from lapilli.cli import commands
from lapilli.cli.profile import profile
from lapilli.errors import ExitCode, ModelError
from lapilli.files import replacing
from lapilli.litert import runtime
from lapilli.printable import as_utf8

EXPLAIN = f"explain {shlex.quote(str(DIGITS))}"
LABELS = DIGITS.with_name("digits_labels.txt")
RUN = (
    f"run {shlex.quote(str(DIGITS))} --input x.npy --device emulator:a311d "
    f"--labels {shlex.quote(str(LABELS))}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.zeros((1, 16, 16, 1), np.uint8))
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line of the shell, with ``lapilli`` in it."""
    line = command.replace("lapilli", f"{shlex.quote(sys.executable)} -m lapilli", 1)
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=folder,
        env={**os.environ, "PYTHONPATH": IMPORTABLE},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("redirections", "code", "message"),
    [
        (">&-", 141, ""),
        (">/dev/full", ExitCode.INVALID_FILE, "output can't be written: No space left on device"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&-", 0, ""),
        (">&- 2>&- <&-", 141, ""),
        (">/dev/full 2>/dev/full", ExitCode.INVALID_FILE, ""),
    ],
)
@pytest.mark.parametrize("command", [EXPLAIN, f"{EXPLAIN} --json", "--help", RUN])
def test_streams_that_fail(
    folder: Path, command: str, redirections: str, code: int, message: str
) -> None:
    done = shell(f"lapilli {command} {redirections}", folder)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == bool(message)


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_an_error_keeps_its_code_where_nobody_can_read_it(folder: Path, redirections: str) -> None:
    done = shell(f"lapilli explain missing.tflite {redirections}", folder)
    assert done.returncode == ExitCode.INVALID_FILE
    assert done.stderr == ""


def test_a_file_does_not_get_the_place_of_a_closed_output(folder: Path) -> None:
    """Else what LiteRT prints would be in it."""
    done = shell(f"lapilli {RUN} --output o.npz >&- 2>&-", folder)
    assert done.returncode == 141
    with np.load(folder / "o.npz") as arrays:
        assert arrays["output_0"].shape == (1, 10)


def test_pythons_messages_pass_while_the_runtimes_are_caught(folder: Path) -> None:
    code = (
        "import logging, os; from lapilli.litert.runtime import native_messages\n"
        "with native_messages(): os.write(2, b'native\\n'); logging.getLogger().warning('ours')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": IMPORTABLE},
    )  # fmt: skip
    assert done.stderr == "ours\n"


def test_the_runtimes_messages_where_standard_error_is_no_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stderr
    with runtime.native_messages():
        assert sys.stderr is before
        sys.stderr.write("ours\n")
    assert capsys.readouterr().err == "ours\n"


# ------------------------------------------------------------------------------------------- names


def test_an_empty_name_is_no_place_to_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    x = [str(DIGITS), "--input", "x.npy", "--device", "emulator:a311d"]
    calls: list[list[Any]] = [
        ["compile", DIGITS, "-o", ""],
        ["compile", DIGITS, "--output", ""],
        ["run", *x, "--output", ""],
        ["run", *x, "--save-hang", ""],
        ["run", *x, "--labels", ""],
        ["run", str(DIGITS), "--input", "", "--device", "emulator:a311d"],
        ["diff", DIGITS, "--csv", ""],
        ["profile", DIGITS, "--no-run", "--html", ""],
        ["profile", DIGITS, "--no-run", "--trace", ""],
        ["selftest", "--device", "emulator:a311d", "--output", ""],
        ["emulate", "--record", "", "--", "true"],
    ]
    for arguments in calls:
        found = CliRunner().invoke(commands, [str(a) for a in arguments])
        assert found.exit_code in (ExitCode.INVALID_FILE, ExitCode.USAGE), (arguments, found.output)
        assert len(found.stderr.splitlines()) == 1, found.stderr
    assert [path.name for path in folder.iterdir()] == ["x.npy"]
    with pytest.raises(ModelError, match="no file's name"), replacing(""):
        pass


def test_a_name_that_is_no_text(folder: Path) -> None:
    """File names are bytes; those that are no UTF-8 are shown and written with a sign for it."""
    name = os.fsdecode(b"m\xff\xfe.tflite")
    model = folder / name
    model.write_bytes(DIGITS.read_bytes())
    files = {option: folder / f"x{option}" for option in ("--html", "--trace", "--csv")}
    arguments = [str(model), "--no-run", *(str(a) for pair in files.items() for a in pair)]
    for extra in ([], ["--json"]):
        found = CliRunner().invoke(profile, [*arguments, *extra])
        assert found.exit_code == 0, found.exception
    assert "m\ufffd\ufffd.tflite" in files["--html"].read_text("utf-8")
    for command in ("explain", "compile", "diff"):
        output = ["-o", str(folder / "x.lapilli")] if command == "compile" else []
        found = CliRunner().invoke(commands, [command, str(model), *output])
        assert found.exit_code == 0, found.output
    assert as_utf8("a\udcffb") == "a\ufffdb".encode()
