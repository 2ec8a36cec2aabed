"""Networks as people have them are one part up to what ends them, on both chips."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from places import REPOSITORY
from structures import STRUCTURES
from whole_models import Row, line

from lapilli.compiler.cuts import ALL, FASTEST, Cuts
from lapilli.compiler.explanation import explain
from lapilli.compiler.stages import chip_named
from lapilli.model import tflite

TOOL = REPOSITORY / "tools" / "coverage.py"
LAST = {"SOFTMAX"}
"""Kinds that end a classifier and stay on the CPU."""


def test_its_file_is_not_taken_for_the_package_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numba looks for that, and can't be used if it finds something else."""
    monkeypatch.syspath_prepend(str(TOOL.parent))
    monkeypatch.delitem(sys.modules, "coverage", raising=False)
    with pytest.raises(ImportError, match="not the package"):
        importlib.import_module("coverage")


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


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (Row(model="mobilenet_v1", parts=1, all_parts=2, mac_share=1.0), False),
        (Row(model="mobilenet_v1", parts=2, all_parts=2, mac_share=1.0), True),
        (Row(model="mobilenet_v1", parts=1, all_parts=1, mac_share=0.9), True),
        (Row(model="mobilenet_v1", problem="no model"), True),
        (Row(model="DenseNet", parts=2, all_parts=3, mac_share=1.0), False),
        (Row(model="anything else", parts=9, all_parts=9), False),
    ],
)
def test_an_aim_is_missed_by_parts_or_by_what_is_not_in_them(row: Row, missed: bool) -> None:
    assert row.missed == missed
    assert ("missed" in line(row)) == (missed and not row.problem)


def test_the_tool_says_which_models_miss_their_aim() -> None:
    command = [sys.executable, str(TOOL), "--no-values"]
    done = subprocess.run(
        [*command, "--only", "SqueezeNet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert row.startswith("| SqueezeNet | 39 of 40 | 100.0 % | 1 (1), aim 2 |")
    assert row.endswith("| - | SOFTMAX 1 |")
