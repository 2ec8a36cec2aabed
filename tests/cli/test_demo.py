"""``lapilli demo``: what a newcomer sees first."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lapilli.cli import commands
from lapilli.errors import ExitCode

pytest.importorskip("ai_edge_litert")


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_npu_and_cpu_read_the_held_back_digits_alike(chip: str) -> None:
    result = CliRunner().invoke(commands, ["demo", "--json", "--device", f"emulator:{chip}"])
    assert result.exit_code == ExitCode.OK, result.output
    report = json.loads(result.stdout)
    assert report["images"] == 360
    assert report["npu_accuracy"] > 0.98
    assert report["same_answer"] >= 359
    assert (report["npu_operators"], report["operators"]) == (10, 11)
    kinds = {job["kind"] for job in report["jobs"]}
    assert {"convolution", "depthwise", "addition"} <= kinds


def test_the_screen_shows_digits_accuracy_and_jobs() -> None:
    result = CliRunner().invoke(commands, ["demo", "--images", "40"])
    assert result.exit_code == ExitCode.OK, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("█" in line for line in lines)
    assert sum("the NPU read" in line for line in lines) == 1
    assert any("of 40 held-back images" in line for line in lines)
    assert any(line.split()[1:3] == ["NN", "addition"] for line in lines if len(line.split()) > 3)


def test_an_unknown_device_is_one_line() -> None:
    result = CliRunner().invoke(commands, ["demo", "--device", "emulator:nothing"])
    assert result.exit_code == ExitCode.USAGE
    assert len(result.stderr.strip().splitlines()) == 1
