"""A program's name changes with everything that its bytes depend on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from lapilli.cache import key as keys
from lapilli.cache.folder import VARIABLE, cache_folder
from lapilli.cache.key import part_key, program_key
from lapilli.compiler.cuts import Cuts
from lapilli.compiler.per_channel import LEFT_ALONE, PerChannel
from lapilli.compiler.stages import DEFAULT_OPTIONS, CompileOptions
from lapilli.hw.chips import CHIPS, Chip, find_by_name


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def another(value: Any) -> Any:
    """A different value of the same kind. Fails for kinds that no option had so far."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, "another")
    if value is None or isinstance(value, frozenset):
        return (value or frozenset()) | {"another"}
    if isinstance(value, Cuts):
        return replace(value, min_partition=value.min_partition + 1)
    if isinstance(value, PerChannel):
        return LEFT_ALONE
    raise AssertionError(f"how to change {value!r}? Say it here")


def program(**changes: Any) -> str:
    given: dict[str, Any] = {
        "model_digest": "00" * 32,
        "name": "model.tflite",
        "chip": chip(),
        "schedule": "best",
        "options": DEFAULT_OPTIONS,
    }
    return program_key(**(given | changes))


def part(**changes: Any) -> str:
    given: dict[str, Any] = {
        "source": "00" * 32,
        "inputs": (1, 2),
        "outputs": (3,),
        "chip": chip(),
        "schedule": "best",
        "options": DEFAULT_OPTIONS,
    }
    return part_key(**(given | changes))


@pytest.mark.parametrize("option", [each.name for each in fields(CompileOptions)])
def test_each_option_of_the_compiler_changes_it(option: str) -> None:
    changed = replace(DEFAULT_OPTIONS, **{option: another(getattr(DEFAULT_OPTIONS, option))})
    assert program(options=changed) != program()
    assert part(options=changed) != part()


def test_model_name_chip_and_schedule_change_it() -> None:
    found = [
        program(),
        program(model_digest="01" * 32),
        program(name="other.tflite"),
        program(schedule="reference"),
        *(program(chip=each) for each in CHIPS if each.name != "a311d"),
    ]
    assert len(set(found)) == len(found)


def test_what_a_part_is_made_of_and_its_borders_change_it() -> None:
    found = [
        part(),
        part(source="01" * 32),
        part(inputs=(2, 1)),
        part(inputs=(1,), outputs=(2, 3)),
        part(outputs=(3, 4)),
        part(schedule="reference"),
        part(chip=chip("imx8mp")),
        program(model_digest="00" * 32),
    ]
    assert len(set(found)) == len(found)


def test_version_and_the_compiler_s_files_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = program()
    monkeypatch.setattr(keys, "VERSION", "99.0")
    newer = program()
    monkeypatch.undo()
    monkeypatch.setattr(keys, "compiler_fingerprint", lambda: "worked on")
    assert len({before, newer, program()}) == 3


def test_the_compiler_s_files_are_told_by_name_size_and_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_PACKAGE", tmp_path)
    found = []

    def note() -> None:
        keys.compiler_fingerprint.cache_clear()
        found.append(keys.compiler_fingerprint())

    source = tmp_path / "part" / "file.py"
    source.parent.mkdir()
    source.write_text("a = 1\n")
    os.utime(source, ns=(0, 1))
    note()
    os.utime(source, ns=(0, 2))
    note()
    source.write_text("a = 11\n")
    os.utime(source, ns=(0, 2))
    note()
    source.rename(tmp_path / "part" / "other.py")
    note()
    assert len(set(found)) == 4
    (tmp_path / "notes.txt").write_text("no part of the compiler")
    note()
    assert found[-1] == found[-2]
    keys.compiler_fingerprint.cache_clear()


def test_every_process_finds_the_same() -> None:
    code = (
        "from lapilli.cache.key import program_key; from lapilli.hw.chips import find_by_name; "
        "from lapilli.compiler.stages import DEFAULT_OPTIONS; "
        "print(program_key('00' * 32, 'model.tflite', find_by_name('a311d'), 'best', "
        "DEFAULT_OPTIONS))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.stdout.strip() == program()


def test_the_folder_is_the_platform_s_or_what_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv(VARIABLE, "")
    assert cache_folder() is None
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lapilli" / "programs"
