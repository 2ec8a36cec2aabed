"""``lapilli cache``, and what the other commands keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from places import DIGITS

from lapilli.model import tflite


@pytest.fixture
def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("LAPILLI_CACHE", str(folder / "cache"))
    return folder / "cache"


def compiled(*options: str) -> bool:
    """Whether the program came from the cache."""
    found = json.loads(call("compile", DIGITS, "--json", *options).stdout)
    assert isinstance(found["from_cache"], bool)
    return bool(found["from_cache"])


def listed() -> list[dict[str, object]]:
    found = json.loads(call("cache", "list", "--json").stdout)
    assert found["bytes"] == sum(entry["bytes"] for entry in found["entries"])
    return list(found["entries"])


def test_compile_keeps_and_takes_programs(kept: Path, folder: Path) -> None:
    assert not compiled("-o", "first")
    assert compiled("-o", "second")
    assert (folder / "first").read_bytes() == (folder / "second").read_bytes()
    assert not compiled("--schedule", "reference")
    assert not compiled("--no-zero-runs")
    assert len(listed()) == 3
    assert "from the cache" in call("compile", DIGITS).stderr


def test_no_cache_neither_takes_nor_keeps(kept: Path) -> None:
    assert not compiled("--no-cache")
    assert not kept.exists()
    compiled()
    assert not compiled("--no-cache")


@pytest.mark.parametrize(
    "command",
    [
        ("run", DIGITS, "--device", "emulator:a311d", "--input", "x.npy"),
        ("benchmark", DIGITS, "--device", "emulator:a311d", "--num_runs", "1", "--min_secs", "0",
         "--warmup_runs", "0", "--warmup_min_secs", "0"),
        ("profile", DIGITS),
    ],
)  # fmt: skip
def test_commands_that_run_a_model_keep_its_parts(
    command: tuple[str, ...], kept: Path, folder: Path
) -> None:
    graph = tflite.load(DIGITS)
    np.save(folder / "x.npy", np.zeros(graph.tensors[graph.inputs[0]].shape, np.uint8))
    assert call(*command, "--no-cache").exit_code == 0
    assert not kept.exists()
    assert call(*command).exit_code == 0
    first = listed()
    assert first
    assert call(*command).exit_code == 0
    assert listed() == first


def test_list_says_what_is_kept_and_clear_removes_it(kept: Path) -> None:
    compiled()
    (entry,) = listed()
    assert (entry["model"], entry["chip"], entry["operators"]) == ("digits.tflite", "a311d", 10)
    lines = call("cache", "list").stdout.splitlines()
    assert "digits.tflite" in lines[0]
    assert lines[1].startswith("1 program, ")
    cleared = call("cache", "clear").stdout
    assert cleared.startswith("1 program, ")
    assert str(kept) in cleared
    assert listed() == []
    assert json.loads(call("cache", "clear", "--json").stdout)["removed"] == 0


def test_names_in_entries_are_shown_on_one_line(kept: Path) -> None:
    compiled()
    (path,) = kept.iterdir()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"digits.tflite", b"a\\u001b[2Jb\\nc"))
    assert "\x1b" not in call("cache", "list").stdout


def test_with_the_variable_set_to_nothing_no_program_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPILLI_CACHE", "")
    assert not compiled()
    assert not compiled()
    assert "LAPILLI_CACHE is set to nothing" in call("cache", "list").stdout
    assert json.loads(call("cache", "list", "--json").stdout)["folder"] is None
    assert "LAPILLI_CACHE is set to nothing" in call("cache", "clear").stdout
