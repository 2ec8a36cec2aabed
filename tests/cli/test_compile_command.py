"""``lapilli compile``: what is written where, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_one_line, call, process
from models import ModelBuilder
from places import DIGITS

import lapilli
from lapilli.errors import ExitCode
from lapilli.program import program_file


def float_model() -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    weights = np.full((4, 3, 3, 3), 100, np.uint8)
    output = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3)
    for tensor in builder.tensors:
        tensor.dtype, tensor.scales, tensor.zero_points = "float32", None, None
        tensor.data = tensor.data and np.zeros(len(tensor.data), np.float32).tobytes()
    return builder.build([output])


def test_compile_writes_here_under_the_models_name(folder: Path) -> None:
    result = call("compile", DIGITS)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "digits.lapilli: a311d, schedule best: 1 part, " in result.stderr
    assert "10 of 11 operators on the NPU" in result.stderr
    assert program_file.load(folder / "digits.lapilli").digest() == lapilli.compile(DIGITS).digest()


def test_compile_is_the_same_in_every_process(folder: Path) -> None:
    for number in range(2):
        result = process(
            "compile", DIGITS, "-o", f"{number}", cwd=folder, env={"PYTHONHASHSEED": f"{number}"}
        )
        assert result.returncode == 0
    assert (folder / "0").read_bytes() == (folder / "1").read_bytes()


def test_compile_json_is_one_object_on_stdout(folder: Path) -> None:
    result = call("compile", DIGITS, "--schedule", "reference", "--json", "-o", "x")
    found = json.loads(result.stdout)
    assert found["schedule"] == "reference"
    assert found["output_bytes"] == (folder / "x").stat().st_size
    assert found["digest"] == program_file.load("x").digest()
    assert (found["operators"], found["operators_on_npu"]) == (11, 10)
    assert found["jobs"] == sum(part["jobs"] for part in found["parts"])


def test_strict_names_what_stays_on_the_cpu_and_writes_nothing(folder: Path) -> None:
    result = call("compile", DIGITS, "--strict")
    assert result.exit_code == ExitCode.UNSUPPORTED
    lines = result.stderr.splitlines()
    assert lines[0].startswith("operator 10 SOFTMAX: The NPU takes CONV_2D")
    assert lines[-1].startswith("lapilli: digits.tflite: 1 of 11 operators would stay on the CPU")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("output", ["none/x.lapilli", "taken"])
def test_an_unwritable_output_is_one_line_and_exit_3(folder: Path, output: str) -> None:
    (folder / "taken").mkdir()
    assert_one_line(
        call("compile", DIGITS, "-o", output), ExitCode.INVALID_FILE, "can't be written"
    )
    assert [p.name for p in folder.rglob("*")] == ["taken"]


def test_a_failed_compile_keeps_the_old_program(program: Path) -> None:
    before = program.read_bytes()
    assert call("compile", DIGITS, "--strict", "-o", program).exit_code == ExitCode.UNSUPPORTED
    assert program.read_bytes() == before


def test_compiling_a_float_model_is_an_invalid_file(folder: Path) -> None:
    (folder / "float.tflite").write_bytes(float_model())
    result = call("compile", "float.tflite")
    assert_one_line(result, ExitCode.UNSUPPORTED, "takes none of its operators", "float32")
    assert not (folder / "float.lapilli").exists()
