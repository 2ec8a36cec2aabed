"""The command line, called in this process or in one of its own, and what it may say."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from click.testing import CliRunner, Result
from patience import PATIENCE
from places import IMPORTABLE

from lapilli.cli import commands


def call(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(a) for a in arguments])


def process(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": IMPORTABLE, **more.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "lapilli", *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=PATIENCE, check=False, **more,
    )  # fmt: skip


def assert_one_line(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]
