"""docs/command-line.md is what the commands are, and names what their JSON holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import IMPORTABLE, REPOSITORY

from lapilli.cli import COMMANDS

TOOL = REPOSITORY / "tools" / "make_command_reference.py"
PAGE = REPOSITORY / "docs" / "command-line.md"
DIGITS = str(files("lapilli.data") / "digits.tflite")
CALLS: dict[str, list[str]] = {
    "compile": ["{model}", "-o", "x.lapilli"],
    "explain": ["{model}"],
    "run": ["{model}", "--input", "x.npy", "--device", "emulator:a311d"],
    "dump": ["x.lapilli"],
    "devices": [],
    "chips": [],
    "doctor": ["--device", "emulator:a311d"],
    "demo": ["--images", "2"],
}


def test_the_page_is_current() -> None:
    found = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def sections() -> dict[str, str]:
    """Each command's part of the page."""
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts}


def test_every_command_has_its_section_with_all_options() -> None:
    found = sections()
    for name in COMMANDS:
        done = call(name, "--help")
        assert name in found
        listed = done.stdout.partition("\nOptions:\n")[2]
        for option in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", listed, flags=re.MULTILINE):
            assert f"`{option}`" in found[name] or option == "--help"


def call(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from lapilli.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, IMPORTABLE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def keys_of(report: Any) -> set[str]:
    """Those of the object and of the objects in its lists."""
    found = set(report)
    for value in report.values():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found |= set(value[0])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("commands")
    np.save(found / "x.npy", np.zeros((1, 16, 16, 1), np.uint8))
    assert call("compile", DIGITS, "-o", "x.lapilli", folder=found).returncode == 0
    return found


@pytest.mark.parametrize("name", CALLS)
def test_the_page_names_the_keys_of_the_json(name: str, folder: Path) -> None:
    arguments = [argument.replace("{model}", DIGITS) for argument in CALLS[name]]
    done = call(name, *arguments, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    section = sections()[name]
    missing = {key for key in keys_of(json.loads(done.stdout)) if f"`{key}`" not in section}
    assert not missing
