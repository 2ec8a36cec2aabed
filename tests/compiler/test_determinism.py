"""The same model, chip and options give the same bytes: in any process, at any time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from digests import CHIPS, FILE, digests
from models import ModelBuilder
from places import IMPORTABLE, PACKAGE
from shared_data import shared_data

from lapilli.compiler.stages import SCHEDULES, compile_model
from lapilli.program.program import Program

SCRIPT = """
import sys
from lapilli.compiler.stages import SCHEDULES, compile_model
for path in sys.argv[1:]:
    for chip in ("a311d", "imx8mp"):
        for schedule in SCHEDULES:
            print(compile_model(path, chip, schedule).digest())
"""
SMALL_MODELS = ("ops/mb0", "ops/mb1", "ops/mobiledet8", "random/r33", "random/pad0")


@pytest.fixture(scope="module")
def branching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with branches, several inputs and outputs, and more than one part."""
    rng = np.random.default_rng(0)
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 4), scale=0.02, zero_point=128)
    weights = rng.integers(0, 256, (4, 3, 3, 4)).astype(np.uint8)
    left = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3)
    right = builder.conv(image, weights, None, 0.02, 120, scale=0.05, zero_point=9)
    total = builder.add(left, right, scale=0.1, zero_point=5)
    again = builder.conv(total, weights, None, 0.02, 120, scale=0.05, zero_point=9)
    path = tmp_path_factory.mktemp("models") / "branching.tflite"
    path.write_bytes(builder.build([again, total, left]))
    return path


def small_models() -> list[Path]:
    return [shared_data() / "models" / f"{name}.tflite" for name in SMALL_MODELS]


def in_another_process(
    paths: list[Path], hash_seed: str, python: str = sys.executable, package: str = IMPORTABLE
) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": package}
    command = [python, "-c", SCRIPT, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def in_this_process(paths: list[Path]) -> list[str]:
    return [
        compile_model(path, chip, name).digest()
        for path in paths
        for chip in CHIPS
        for name in SCHEDULES
    ]


def test_five_processes_give_the_same_programs(branching: Path) -> None:
    paths = [*small_models(), branching]
    here = in_this_process(paths)
    for hash_seed in ("0", "1", "2", "77", "4242"):
        assert in_another_process(paths, hash_seed) == here


def other_python() -> str | None:
    """A Python of another version that has what the compiler needs, if there is one.

    ``LAPILLI_OTHER_PYTHON`` may name it; else those on the path are asked.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [f"python3.{minor}" for minor in range(10, 20) if f"3.{minor}" != own]
    for name in (os.environ.get("LAPILLI_OTHER_PYTHON"), *names):
        found = shutil.which(name) if name else None
        if found is None:
            continue
        needs = "import sys, numpy, flatbuffers, tflite; assert sys.version_info >= (3, 10)"
        if not subprocess.run([found, "-c", needs], capture_output=True, check=False).returncode:
            return found
    return None


def test_another_version_of_python_gives_the_same_programs(branching: Path, tmp_path: Path) -> None:
    python = other_python()
    if python is None:
        pytest.skip("no other Python with numpy, flatbuffers and tflite")
    (tmp_path / "lapilli").symlink_to(PACKAGE)  # alone: what lies beside it is for this Python
    paths = [*small_models(), branching]
    found = in_another_process(paths, "0", python, str(tmp_path))
    assert found == in_this_process(paths)


def test_a_second_compile_gives_the_same_program(branching: Path) -> None:
    """Nothing survives a compile that the next one would see."""
    models = [*small_models(), branching]
    first = [compile_model(path).digest() for path in models]
    assert [compile_model(path).digest() for path in reversed(models)] == first[::-1]


def test_a_file_and_its_bytes_give_the_same_program(branching: Path) -> None:
    assert compile_model(branching).digest() == compile_model(branching.read_bytes()).digest()


def test_the_digest_covers_every_byte_the_device_reads(branching: Path) -> None:
    program = compile_model(branching)
    assert {program.digest()} == {compile_model(branching).digest()}
    part = program.parts[0]
    changed = []
    for number, buffer in enumerate(part.buffers):
        if buffer.data is not None:
            data = buffer.data.copy()
            data[len(data) // 2] ^= 1
            buffers = list(part.buffers)
            buffers[number] = type(buffer)(buffer.role, buffer.size, buffer.address, data)
            changed.append(with_part(program, buffers=tuple(buffers)))
    commands = part.commands.copy()
    commands[9] ^= 1
    changed.append(with_part(program, commands=commands))
    found = {other.digest() for other in changed}
    assert len(found) == len(changed) == 3
    assert program.digest() not in found


def with_part(program: Program, **changes: object) -> Program:
    first = replace(program.parts[0], **changes)  # type: ignore[arg-type]
    return replace(program, parts=(first, *program.parts[1:]))


@pytest.mark.parametrize("chip", CHIPS)
def test_programs_are_the_kept_ones(chip: str) -> None:
    kept, found = json.loads(FILE.read_text())[chip], digests(shared_data() / "models", chip)
    changed = sorted(name for name in kept.keys() & found.keys() if kept[name] != found[name])
    assert not changed, f"{len(changed)} programs changed: {changed}; meant so? make digests"
    assert kept.keys() == found.keys(), "models came or went; make digests"
