"""Ctrl-C ends every command with 130, whatever is under way; the second one ends it at once."""

from __future__ import annotations

import os
import signal
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
from lapilli.compiler.encode import weights_v7
from lapilli.emulator.nn import NNUnit
from lapilli.model import tflite

EMULATOR = ["--device", "emulator:a311d"]
WITH_INFERENCES: dict[str, list[str]] = {
    "run": [str(DIGITS), "--input", "x.npy", *EMULATOR],
    "benchmark": [str(DIGITS), *EMULATOR],
    "diff": [str(DIGITS)],
    "profile": [str(DIGITS), "--input", "x.npy"],
    "demo": ["--images", "3"],
    "selftest": EMULATOR,
}
WITHOUT: dict[str, list[str]] = {
    "compile": [str(DIGITS)],
    "explain": [str(DIGITS)],
    "compare": [str(DIGITS), str(DIGITS)],
    "run": [str(DIGITS), "--input", "x.npy", *EMULATOR],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.save(tmp_path / "x.npy", np.zeros((1, 16, 16, 1), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupted(name: str, arguments: list[str]) -> None:
    found = CliRunner().invoke(commands, [name, *arguments])
    assert found.exit_code == 130, (found.output, found.exception)
    assert found.stderr.splitlines()[-1] == "lapilli: interrupted"
    assert "internal error" not in found.stderr


@pytest.mark.parametrize("moment", [1, 7])
@pytest.mark.parametrize("name", WITH_INFERENCES)
def test_during_an_inference(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, moment: int
) -> None:
    """The handler runs in a callback that LiteRT's C code has called."""
    run, calls = NNUnit.run, []

    def run_interrupted(self: NNUnit, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == moment:
            signal.raise_signal(signal.SIGINT)
        return run(self, *arguments)

    monkeypatch.setattr(NNUnit, "run", run_interrupted)
    interrupted(name, WITH_INFERENCES[name])
    assert len(calls) == moment, "nothing went on"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *((name, (tflite, "parse")) for name in WITHOUT),
        *((name, (weights_v7, "encode")) for name in ("compile", "compare", "run")),
    ],
)
def test_while_a_model_is_read_or_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: tuple[Any, str]
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(*place, fails)
    interrupted(name, WITHOUT[name])
    assert [path.name for path in folder.iterdir()] == ["x.npy"], "no half of a file"


SWALLOWS = """
import contextlib, signal, sys, threading
from lapilli.cli import commands, main
import click

@click.command()
def swallows():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("first", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    threading.Event().wait()

commands.get_command = lambda context, name: swallows
sys.argv = ["lapilli", "swallows"]
main()
"""


def test_the_second_ends_at_once() -> None:
    """Also where the first was lost, as exceptions in callbacks and destructors are."""
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": IMPORTABLE}, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stdout == "first\n"
    assert done.stderr == "lapilli: interrupted\n"
