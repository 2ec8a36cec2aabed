"""Compile time, start-up, emulated inference and memory, beside the figures aimed at.

    python benchmarks/speed.py [--json]

Each figure is the median of several fresh processes or runs on this machine. The aims are half of
what the existing C driver needs to compile the same models on one machine (0.50 s and 1.72 s), and
the limits the project sets itself for the rest. Models are taken from LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
RUNS = 5
COMPILE = """
import sys, time, resource
from lapilli import compiler, tflite
import numpy
start = time.perf_counter()
compiler.compile_model(sys.argv[1], "a311d", sys.argv[2])
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
EMULATE = """
import sys, time, statistics
import numpy
from lapilli import compiler
from lapilli.device.open import open_device
from lapilli.runner import LoadedPart
program = compiler.compile_model(sys.argv[1], "a311d")
device = open_device("emulator:a311d")
loaded = [LoadedPart(device, part) for part in program.parts]
random = numpy.random.default_rng(0)
inputs = [{b.tensor: random.integers(0, 256, b.shape).astype(numpy.uint8) for b in part.inputs}
          for part in program.parts]
def infer():
    start = time.perf_counter()
    for part, values in zip(loaded, inputs):
        part.run(values)
    return time.perf_counter() - start
first = infer()
import resource
print(first, statistics.median(infer() for _ in range(5)),
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
STARTUP = """
import time
start = time.perf_counter()
import lapilli
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Figure:
    """One measured figure; ``aim`` is the most it should be."""

    name: str
    unit: str
    measured: float
    aim: float


def _python(code: str, *arguments: str) -> list[float]:
    """Medians of the numbers a fresh process prints."""
    command = [sys.executable, "-c", code, *arguments]
    rows = []
    for _ in range(RUNS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append([float(word) for word in done.stdout.split()])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def _help_seconds() -> float:
    import time

    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lapilli", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure() -> list[Figure]:
    """All figures."""
    models = {
        "MobileNetV1 224": (DATA / "models/mobilenet_v1_1.0_224_quant.tflite", 0.25, 300, 0.25),
        "SSDLite MobileDet": (
            DATA / "models/ssdlite_mobiledet_coco_qat_postprocess.tflite", 0.86, 500, 0.8),
    }
    figures = []
    for name, (path, compile_aim, memory_aim, run_aim) in models.items():
        for schedule in ("reference", "best"):
            seconds, memory = _python(COMPILE, str(path), schedule)
            figures.append(Figure(f"compile {name}, {schedule}", "s", seconds, compile_aim))
        figures.append(Figure(f"peak memory compiling {name}", "MB", memory, memory_aim))
        first, later, _ = _python(EMULATE, str(path))
        figures.append(Figure(f"emulated {name}, first", "s", first, float("inf")))
        figures.append(Figure(f"emulated {name}, later", "s", later, run_aim))
    figures.append(Figure("import lapilli", "s", _python(STARTUP)[0], 0.25))
    figures.append(Figure("lapilli --help", "s", _help_seconds(), 0.3))
    return figures


def main() -> None:
    """Print the table or JSON."""
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    print(f"{'figure':<44}{'measured':>10}{'aim':>8}")
    for figure in figures:
        aim = "" if figure.aim == float("inf") else f"{figure.aim:g}"
        print(f"{figure.name:<44}{figure.measured:>8.3f} {figure.unit:<2}{aim:>6}")


if __name__ == "__main__":
    main()
