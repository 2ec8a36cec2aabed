"""The same bytes in any process, with any number of threads, on processors of other abilities."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

TESTS = REPOSITORY / "tests"
SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from per_channel_models import inverted_residuals
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.options import BEST
from lapilli.compiler.units.requantise import requantise_graph
from lapilli.model import tflite
graph = tflite.parse(open(sys.argv[2], "rb").read(), "model")
options = replace(BEST, samples=8, positions=1000)
found = requantise_graph(graph, [range(len(graph.operators))], Calibration(), options)
total = hashlib.sha256()
for tensor in found.graph.tensors:
    total.update(repr(tensor.quantization).encode())
    total.update(b"" if tensor.data is None else tensor.data.tobytes())
print(total.hexdigest(), found.loss.units)
"""
MACHINES = {
    "as it is": {},
    "one thread": {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "other hashes": {"PYTHONHASHSEED": "12345"},
    "another kernel of BLAS": {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2"},
    "no wide vectors": {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3",
        "OPENBLAS_CORETYPE": "Prescott",
    },
}


def digest(model: Path, environment: dict[str, str]) -> str:
    """What a process of its own makes of the model."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "NPY_"))}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(TESTS), str(model)],
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from per_channel_models import inverted_residuals

    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(inverted_residuals(2, spread=100.0))
    return path


@pytest.fixture(scope="module")
def here(model: Path) -> str:
    return digest(model, MACHINES["as it is"])


def test_the_search_found_units(here: str) -> None:
    assert here.endswith("True")


@pytest.mark.parametrize("machine", [name for name in MACHINES if name != "as it is"])
def test_the_bytes_are_the_same(machine: str, model: Path, here: str) -> None:
    assert digest(model, MACHINES[machine]) == here
