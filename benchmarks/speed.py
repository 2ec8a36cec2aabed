"""Compile time, start-up, emulated inference and memory, beside the figures aimed at.

    python benchmarks/speed.py [--json]

Each figure is the median of several fresh processes or runs on this machine; compiling is CPU time.
The aims for the reference schedule are half of what the existing C driver needs to compile the same
models on one machine (0.50 s and 1.72 s); those for the best one, which is searched for, and for
the rest are the project's. V8, the i.MX 8M Plus, may take 1.3 times as long to compile for as V7,
the A311D. Models are taken from LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
RUNS = 5
CHIPS = ("a311d", "imx8mp")
"""V7 and V8."""
V8_RATIO = 1.3
COMPILE = """
import sys, time, resource
from lapilli.compiler import stages as compiler
from lapilli.model import tflite
import numpy
start = time.process_time()
compiler.compile_model(sys.argv[1], sys.argv[2], sys.argv[3])
seconds = time.process_time() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
EMULATE = """
import sys, time, statistics
import numpy
from lapilli.compiler import stages as compiler
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
program = compiler.compile_model(sys.argv[1], sys.argv[2])
device = open_device("emulator:" + sys.argv[2])
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
CODEC = """
import sys, time
if "plain" in sys.argv:
    sys.modules["numba"] = None
from dataclasses import replace
from lapilli.compiler import stages as compiler
from lapilli.compiler import v8
from lapilli.emulator import coefficients_v8
from lapilli.emulator.kernels import KernelShape
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import NN_V8
chip = find_by_name("imx8mp")
jobs = []
def encode(job, *more, original=v8.encode):
    start = time.perf_counter()
    made = original(job, *more)
    jobs.append(time.perf_counter() - start)
    return made
generations = compiler.generation_of(chip)
compiler.generation_of = lambda chip: replace(generations, encode=encode)
program = compiler.compile_model(sys.argv[1], "imx8mp")
buffers = []
for part in program.parts:
    for job in part.jobs:
        if job.unit == "NN":
            at, size = job.coefficients
            values = NN_V8.decode(part.job_words(job).tolist())
            shape = KernelShape(
                values["kernel_z_size"] if not values["depthwise"] else values["out_image_z_size"],
                values["kernel_y_size"], values["kernel_x_size"], values["kernels_per_core"],
                values["coef_zero_point"], values["out_image_z_size"], bool(values["depthwise"]))
            buffers.append((part.buffers[1].data[at:at + size], shape))
def decode():
    start = time.perf_counter()
    for data, shape in buffers:
        space = AddressSpace()
        buffer = space.alloc(len(data), None)
        buffer.data[:len(data)] = data
        found = coefficients_v8.find_streams(
            ListedMemory(space, [buffer]), buffer.address, shape, chip)
        coefficients_v8.decode(found, shape, chip)
    return time.perf_counter() - start
first = decode()
print(sum(jobs), first, decode())
"""
READ = """
import statistics, sys, time
from lapilli.model import tflite
data = open(sys.argv[1], "rb").read()
def read():
    start = time.perf_counter()
    tflite.parse(data, "model")
    return time.perf_counter() - start
print(statistics.median(read() for _ in range(9)))
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
    return _alternately(code, [arguments])[0]


def _alternately(code: str, variants: Sequence[tuple[str, ...]]) -> list[list[float]]:
    """The same for several arguments, in turns: what else the machine does hits all alike."""
    rows: list[list[list[float]]] = [[] for _ in variants]
    for _ in range(RUNS):
        for arguments, found in zip(variants, rows, strict=True):
            command = [sys.executable, "-c", code, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append([float(word) for word in done.stdout.split()])
    return [[statistics.median(column) for column in zip(*found, strict=True)] for found in rows]


def _process_seconds(*commands: Sequence[str]) -> list[float]:
    """Of a whole process of Python's for each, in turns."""
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(RUNS):
        for command, found in zip(commands, seconds, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def measure() -> list[Figure]:
    """All figures."""
    mobilenet = DATA / "models/mobilenet_v1_1.0_224_quant.tflite"
    second = DATA / "models/mobilenet_v2_1.0_224_quant.tflite"
    detector = DATA / "models/ssdlite_mobiledet_coco_qat_postprocess.tflite"
    aims = {"reference": 0.25, "best": 1.0}, {"reference": 0.86, "best": 3.0}
    figures = _of_model("MobileNetV1 224", mobilenet, aims[0], 300, 0.25)
    figures += _compiled("MobileNetV2 224", second, "best", 1.5)[0]
    figures += _of_model("SSDLite MobileDet", detector, aims[1], 500, 0.8)
    shown, click = _process_seconds(["-m", "lapilli", "--help"], ["-c", "import click.testing"])
    encode, first, later = _python(CODEC, str(mobilenet))
    _, _, plain = _python(CODEC, str(mobilenet), "plain")
    figures += [
        Figure("V8, encode MobileNetV1's weights", "s", encode, 0.5),
        Figure("V8, decode them", "s", later, 0.3),
        Figure("V8, decode them, first, with loading numba", "s", first, float("inf")),
        Figure("V8, decode them without numba", "s", plain, float("inf")),
        Figure("import lapilli", "s", _python(STARTUP)[0], 0.25),
        Figure("lapilli --help", "s", shown, 0.3),
        Figure("the same, times starting Python with click", "", shown / click, 2),
        Figure(
            "read MobileNetV1's .tflite, its 4 MB in memory",
            "s",
            *_python(READ, str(mobilenet)),
            0.02,
        ),
    ]
    return figures


def _compiled(name: str, path: Path, schedule: str, aim: float) -> tuple[list[Figure], float]:
    """Compiling for both generations, and the megabytes that it takes."""
    variants = [(str(path), chip, schedule) for chip in CHIPS]
    (v7, memory), (v8, _) = _alternately(COMPILE, variants)
    figures = [
        Figure(f"compile {name}, {schedule}", "s", v7, aim),
        Figure("the same for V8, times as long", "", v8 / v7, V8_RATIO),
    ]
    return figures, memory


def _of_model(
    name: str, path: Path, compile_aims: Mapping[str, float], memory_aim: float, run_aim: float
) -> list[Figure]:
    """Compiling and running it, for both generations."""
    figures, memory = [], 0.0
    for schedule, aim in compile_aims.items():
        found, memory = _compiled(name, path, schedule, aim)
        figures += found
    figures.append(Figure(f"peak memory compiling {name}", "MB", memory, memory_aim))
    times = _alternately(EMULATE, [(str(path), chip) for chip in CHIPS])
    for chip, (first, later, _), aim in zip(CHIPS, times, (run_aim, float("inf")), strict=True):
        figures.append(Figure(f"emulated {name} on {chip}, first", "s", first, float("inf")))
        figures.append(Figure(f"emulated {name} on {chip}, later", "s", later, aim))
    return figures


def main() -> None:
    """Print the table or JSON."""
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    print(f"{'figure':<50}{'measured':>10}{'aim':>8}")
    for figure in figures:
        aim = "" if figure.aim == float("inf") else f"{figure.aim:g}"
        print(f"{figure.name:<50}{figure.measured:>8.3f} {figure.unit:<2}{aim:>6}")


if __name__ == "__main__":
    main()
