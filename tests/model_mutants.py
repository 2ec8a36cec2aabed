"""Damaged .tflite files, and the way of each through reader, rules, compiler and emulator.

    for mutant in mutants(200, seed=1):
        outcome = travel(mutant)

A file may be refused with a LapilliError on the way, or become a program that runs. A fault of the
emulated NPU is no such end: the compiler may not make what a board would hang on.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from models import ModelBuilder
from random_graphs import RandomGraph
from work import SOON, computing_time

from lapilli.compiler import verdict as judging
from lapilli.compiler.stages import SCHEDULES, chip_named, compile_graph
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault, LapilliError
from lapilli.model import tflite
from lapilli.program.program import Program

CHIPS = ("a311d", "imx8mp")
GRAPHS = (2, 8, 13, 14, 18, 24)
LARGEST_RUN = 4 << 20
"""Bytes of a part's buffers up to which it is run: damaged shapes can ask for hours of work."""
EXTREMES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 0x80000000, 255, 8192)
WORD = 4


@dataclass(frozen=True)
class Mutant:
    """A damaged file; ``change`` says how it differs from ``seed_model``."""

    seed_model: str
    change: str
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """``ended``: ``refused``, ``compiled`` (too large to run) or ``ran``, and for which reason;
    ``problem`` is empty if that is as it should be."""

    mutant: Mutant
    ended: str
    detail: str
    seconds: float
    problem: str = ""


# ------------------------------------------------------------------------------------------- files


@functools.cache
def seed_models() -> dict[str, bytes]:
    """Small models with every operator the NPU takes, in uint8 and int8, and graphs."""
    found = {f"graph-{seed}": RandomGraph(seed).model() for seed in GRAPHS}
    for outputs, stride in itertools.product((4, 8), (1, 2)):
        found[f"uint8-{outputs}-{stride}"] = _model("uint8", outputs, stride)
    found["int8-4-2"] = _model("int8", 4, 2)
    return found


def _model(dtype: str, outputs: int, stride: int) -> bytes:
    rng = np.random.default_rng(outputs + stride)
    builder = ModelBuilder(dtype)
    middle = 0 if dtype == "int8" else 128

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape, dtype=np.uint8).view(dtype)

    x = builder.input((1, 7, 6, 3), 0.02, middle)
    bias = rng.integers(-99, 99, outputs).astype(np.int32)
    first = weights(outputs, 3, 3, 3)
    x = builder.conv(x, first, bias, 0.01, 0, 0.05, middle, stride=stride, activation="RELU")
    y = builder.depthwise(x, weights(1, 3, 3, outputs), bias, 0.01, 0, 0.05, middle)
    z = builder.conv(y, weights(outputs, 1, 1, outputs), None, 0.01, 0, 0.05, middle)
    return builder.build([builder.add(x, z, 0.1, middle)])


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """``count`` of them, always the same ones, each with one to four changes."""
    models = list(seed_models().items())
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        name, data = models[number % len(models)]
        changes = []
        for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4]))):
            change, data = _change(data, rng)
            changes.append(change)
        yield Mutant(name, ", ".join(changes), data)


def _change(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One change, and what it leaves."""
    size = max(len(data), 2 * WORD)
    at = int(rng.integers(0, size - WORD))
    aligned = at // WORD * WORD
    kind = int(rng.integers(0, 9))
    if kind <= 1:
        value = int(rng.integers(0, 256))
        return f"byte {at} = {value:#x}", _put(data, at, bytes([value]))
    if kind == 2:
        bit = int(rng.integers(0, 8))
        return f"bit {bit} of byte {at}", _put(data, at, bytes([data[at] ^ 1 << bit]))
    if kind <= 4:
        value = int(rng.choice(EXTREMES))
        return f"word at {aligned} = {value:#x}", _put(data, aligned, value.to_bytes(4, "little"))
    if kind == 5:
        old = int.from_bytes(data[aligned : aligned + WORD], "little")
        value = (old + int(rng.integers(-9, 10))) % (1 << 32)
        return f"word at {aligned} = {value:#x}", _put(data, aligned, value.to_bytes(4, "little"))
    if kind == 6:
        source = int(rng.integers(0, size - WORD)) // WORD * WORD
        return f"word at {aligned} from {source}", _put(data, aligned, data[source : source + WORD])
    if kind == 7 and rng.random() < 0.3:
        return f"cut at {at}", data[: max(at, 2 * WORD)]
    length = int(rng.integers(1, 33))
    source = int(rng.integers(0, size))
    return f"{length} bytes at {at} from {source}", _put(data, at, data[source : source + length])


def _put(data: bytes, at: int, new: bytes) -> bytes:
    """Same length."""
    return (data[:at] + new + data[at + len(new) :])[: len(data)]


# --------------------------------------------------------------------------------------------- way


def travel(mutant: Mutant) -> Outcome:
    """From bytes to values on both chips."""
    ended, detail, problem = "refused", "", ""
    with computing_time() as taken:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                ended, detail = _travel(mutant)
        except Fault as fault:
            problem = f"the program faults: {fault}"
        except LapilliError as error:
            detail = f"{type(error).__name__}: {error}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
    if not problem and taken.seconds > SOON:
        problem = f"computed for {taken.seconds:.1f} s"
    return Outcome(mutant, ended, detail, taken.seconds, problem)


def _travel(mutant: Mutant) -> tuple[str, str]:
    """How it ended, if not in the reader; programs are made for both chips."""
    graph = tflite.parse(mutant.data, mutant.seed_model)
    reached, refused = [], ""
    for chip, schedule in zip(CHIPS, SCHEDULES, strict=True):
        judging.judge_all(graph, chip_named(chip))
        try:
            program = compile_graph(graph, chip_named(chip), schedule)
        except LapilliError as error:
            refused = f"{type(error).__name__}: {error}"
        else:
            reached.append("ran" if _run(program) else "compiled")
    return min(reached, default="refused"), refused


def _run(program: Program) -> bool:
    """Run all parts that are small enough; whether those are all."""
    small = [p for p in program.parts if sum(b.size for b in p.buffers) <= LARGEST_RUN]
    rng = np.random.default_rng(1)
    for part in small:
        with EmulatedDevice(chip_named(program.chip)) as device, LoadedPart(device, part) as loaded:
            values = {b.tensor: rng.integers(0, 256, b.shape, np.uint8) for b in part.inputs}
            loaded.run({b.tensor: values[b.tensor].view(b.dtype) for b in part.inputs})
    return len(small) == len(program.parts)
