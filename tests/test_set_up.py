"""The first run says what it installs, and what to do if that fails; see tools/set_up.sh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE
from places import REPOSITORY

SCRIPT = REPOSITORY / "tools" / "set_up.sh"
REAL = """
#!/bin/sh
case "$*" in
*version_info\\[:2\\]*) echo 3.12 ;;
*version_info*) exit 0 ;;
*"-m venv"*) {venv} ;;
esac
"""
MAKES = 'mkdir -p "$4/bin"; touch "$4/pyvenv.cfg"; {pip}; chmod +x "$4/bin/python"'
WITH_PIP = MAKES.format(pip="""printf '#!/bin/sh\\necho "$@" >>pip.log\\n' >"$4/bin/python" """)
BROKEN_PIP = MAKES.format(pip="""printf '#!/bin/sh\\ntest "$3" = --version\\n' >"$4/bin/python" """)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ein Ort für alles"
    made.mkdir()
    return made


def python(folder: Path, text: str) -> str:
    """A program that is asked instead of Python."""
    path = folder / "python"
    path.write_text(text.strip() + "\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def set_up(
    folder: Path, python: str, what: str = "install", minutes: str = "5"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), what, "my venv", "all"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHON": python, "LAPILLI_SET_UP_MINUTES": minutes},
        timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_what_is_done_is_said_before_it_is_done(folder: Path) -> None:
    done = set_up(folder, python(folder, REAL.format(venv=WITH_PIP)))
    assert (done.returncode, done.stderr) == (0, "")
    making, installing, end = done.stdout.splitlines()
    assert making == "Making a virtual environment in my venv with Python 3.12: some seconds."
    assert installing.startswith("Installing Lapilli into my venv, with NumPy, LiteRT and Pillow")
    assert " MB to download" in installing and "minute" in installing
    assert end == "Installed."
    assert "-m pip install" in (folder / "pip.log").read_text()


def test_an_environment_is_made_once(folder: Path) -> None:
    program = python(folder, REAL.format(venv=WITH_PIP))
    assert set_up(folder, program).returncode == 0
    assert "Making" not in set_up(folder, program).stdout


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            None,
            ("There is no ", "3.10 or\nnewer", "apt install python3 python3-venv", "make PYTHON="),
        ),
        ("#!/bin/sh\necho no >&2; exit 1", ("does not run", "make PYTHON=")),
        ("#!/bin/sh\ncase $2 in *:2*) echo 3.9;; *) exit 1;; esac", ("is Python 3.9", "3.10")),
        (REAL.format(venv="exit 1"), ("-m venv failed", "apt install python3-venv", "3.12-venv")),
        (REAL.format(venv="exec sleep 900"), ("did not end in 0.01 minutes", "make VENV=")),
        (REAL.format(venv=BROKEN_PIP), ("pip could not install", "HTTPS_PROXY", "PIP_INDEX_URL")),
    ],
    ids=["no Python", "broken", "too old", "no venv", "hangs", "no package"],
)
def test_what_fails_is_said_with_its_remedy(
    folder: Path, program: str | None, words: tuple[str, ...]
) -> None:
    name = str(folder / "none") if program is None else python(folder, program)
    done = set_up(folder, name, minutes="0.01" if "sleep" in (program or "") else "5")
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr, done.stderr


def test_half_an_environment_is_not_left_behind(folder: Path) -> None:
    half = 'mkdir -p "$4/bin"; touch "$4/pyvenv.cfg" "$4/bin/python"; exit 1'
    assert set_up(folder, python(folder, REAL.format(venv=half))).returncode == 1
    assert not (folder / "my venv").exists()


def test_a_folder_that_is_something_else_is_left_alone(folder: Path) -> None:
    (folder / "my venv").mkdir()
    (folder / "my venv" / "thesis.txt").touch()
    done = set_up(folder, python(folder, REAL.format(venv=WITH_PIP)))
    assert done.returncode == 1
    assert "is there and no virtual environment" in done.stderr
    assert [path.name for path in (folder / "my venv").iterdir()] == ["thesis.txt"]
