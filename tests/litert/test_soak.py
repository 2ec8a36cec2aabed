"""Memory and files over many inferences and many loads, with the garbage collector off."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from places import REPOSITORY

pytest.importorskip("ai_edge_litert")

SCRIPT = REPOSITORY / "tests" / "soak.py"
SHORT_CYCLES, LONG_CYCLES = 150, 1000
INFERENCE_BYTES = 20
CYCLE_BYTES = {SHORT_CYCLES: 4000, LONG_CYCLES: 500}
"""Python's free lists fill in the first some 600 cycles, by about 2,500 bytes a cycle."""


def soak(inferences: int, cycles: int) -> dict[str, float]:
    """See soak.py."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(inferences), str(cycles)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("inferences", "cycles"),
    [(1000, SHORT_CYCLES), pytest.param(20_000, LONG_CYCLES, marks=pytest.mark.long)],
)
def test_memory_stays_and_files_are_closed(inferences: int, cycles: int) -> None:
    found = soak(inferences, cycles)
    assert found["bytes_per_inference"] < INFERENCE_BYTES
    assert found["objects_per_cycle"] < 0.5
    assert found["bytes_per_cycle"] < CYCLE_BYTES[cycles]
    assert found["bytes_in_all"] < 3_000_000
    assert found["more_files"] == 0
