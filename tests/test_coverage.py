"""Networks as people have them are one part up to what ends them, on both chips."""

from __future__ import annotations

import subprocess
import sys

import pytest
from places import REPOSITORY
from structures import STRUCTURES

from lapilli.compiler.cuts import ALL, FASTEST, Cuts
from lapilli.compiler.explanation import explain
from lapilli.compiler.stages import chip_named
from lapilli.model import tflite

LAST = {"SOFTMAX"}
"""Kinds that end a classifier and stay on the CPU."""


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_one_part(name: str, chip: str) -> None:
    graph = tflite.parse(STRUCTURES[name](), name)
    for partition in (FASTEST, ALL):
        report = explain(graph, chip_named(chip), Cuts(partition), weigh=False)
        left = [line.operator for line in report.operators if not line.verdict.supported]
        assert {operator.kind for operator in left} <= LAST
        assert report.npu_parts == 1
        assert report.mac_share == 1.0


def test_the_tool_says_which_models_miss_their_aim() -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / "coverage.py"), "--no-values"]
    done = subprocess.run(
        [*command, "--only", "SqueezeNet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert row.startswith("| SqueezeNet | 39 of 40 | 100.0 % | 1 (1, aim 2) |")
    assert row.endswith("| - | SOFTMAX 1 |")
