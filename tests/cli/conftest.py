"""Fixtures for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import DIGITS

import lapilli
from lapilli.program import program_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Path:
    path = folder / "digits.lapilli"
    program_file.save(lapilli.compile(DIGITS), path)
    return path
