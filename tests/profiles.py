"""Profiles for tests: of the digits model, of a model with hostile names, and made up."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from models import ModelBuilder
from places import DIGITS

from lapilli.compiler import stages as compiler
from lapilli.compiler.stages import DEFAULT_OPTIONS, CompileOptions
from lapilli.hw.chips import find_by_name
from lapilli.litert.node_times import NodeTimes
from lapilli.model import tflite
from lapilli.profile.assemble import Subject, profile_graph
from lapilli.profile.events import (
    NO_COEFFICIENTS,
    JobRecord,
    OperatorRecord,
    Origin,
    PartRecord,
    Processor,
    Profile,
    Segment,
    SramUse,
)
from lapilli.profile.measured import Measured
from lapilli.profile.stream import limits_of
from lapilli.timing.cycles import Cycles
from lapilli.timing.work import Traffic

DEVICE = "emulator:a311d"
HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\x1b]0;title\x07\x1b[31mred\nline\u2028\u202eright",
    "=cmd|' /C calc'!A1 --> <!-- & \" ' ${x} `y` __proto__",
)
CHIP = find_by_name("a311d")
assert CHIP is not None


@cache
def profile_of(
    path: Path,
    measured: Measured | None = None,
    schedule: str = "best",
    chip: str = "a311d",
    options: CompileOptions = DEFAULT_OPTIONS,
) -> Profile:
    """A model's profile; not run."""
    return profile_of_bytes(path.read_bytes(), path.name, measured, schedule, chip, options)


def profile_of_bytes(
    data: bytes,
    name: str,
    measured: Measured | None = None,
    schedule: str = "best",
    chip: str = "a311d",
    options: CompileOptions = DEFAULT_OPTIONS,
) -> Profile:
    """The same of a file's content."""
    found = find_by_name(chip)
    assert found is not None
    graph = tflite.parse(data, name)
    program = compiler.compile_graph(graph, found, schedule, options=options)
    subject = Subject(name, "model", f"emulator:{chip}", schedule)
    return profile_graph(graph, found, program.parts, subject, measured)


def digits(measured: bool = False) -> Profile:
    """The digits model: one NPU part, then SOFTMAX on the CPU."""
    node = NodeTimes(tuple(range(10)), 10.001, 10.002, 10.010, 10.011)
    return profile_of(DIGITS, Measured(10.0, 10.014, (node,), False) if measured else None)


def with_cpu_operators() -> Profile:
    """A convolution, and two operators behind it on the CPU."""
    builder = ModelBuilder()
    image = builder.input((1, 4, 4, 8), scale=0.02, zero_point=128)
    weights = np.arange(64, dtype=np.uint8).reshape(8, 1, 1, 8)
    last = builder.conv(image, weights, None, 0.01, 120, scale=0.05, zero_point=3, name="made")
    for name in ("once", "twice"):
        source, last = last, builder.tensor((1, 4, 4, 8), 1 / 256, 0, name=name)
        builder.operator("SOFTMAX", [source], [last], ("SoftmaxOptions", {"Beta": 1}))
    node = NodeTimes((0,), 10.001, 10.002, 10.010, 10.011)
    measured = Measured(10.0, 10.014, (node,), False)
    return profile_of_bytes(builder.build([last]), "softmax", measured)


def hostile_model() -> bytes:
    """Convolutions and a shape change for the CPU whose tensors are called as in ``HOSTILE``."""
    builder = ModelBuilder()
    last = builder.input((1, 8, 8, 8), scale=0.02, zero_point=128)
    weights = np.arange(8 * 3 * 3 * 8, dtype=np.uint8).reshape(8, 3, 3, 8)
    for name in HOSTILE:
        last = builder.conv(last, weights, None, 0.01, 120, scale=0.05, zero_point=3)
        builder.tensors[last].name = name
    return builder.build([last])


def hostile() -> Profile:
    """The profile of that model, whose file has a name of the same kind."""
    return profile_of_bytes(hostile_model(), HOSTILE[0] + ".tflite")


def made_up(
    jobs: list[tuple[int, str, tuple[int, int, int, int], int, bool]], cpu: list[float]
) -> Profile:
    """A profile of jobs (part, unit, cycles of each term, bytes, first of its operation) and of CPU
    rows of so many seconds, one behind each part."""
    records: list[JobRecord] = []
    clock, operation = 0, -1
    for i, (part, unit, terms, size, first) in enumerate(jobs):
        new = records and part != records[-1].part
        same = records and not new and not first and unit == "TP" and records[-1].unit == "TP"
        operation += not same
        clock = 0 if new else clock
        cycles = Cycles(*terms)
        records.append(
            JobRecord(
                i, part, operation, unit, "kind", "shape", None, operation, clock, cycles,
                Traffic(0, 0, size, 0), 0, 1, 1, 1, 1, 0, coefficients=NO_COEFFICIENTS,
                sram=SramUse((0, size), None), after=(operation - 1,) if operation else (),
            )
        )  # fmt: skip
        clock += cycles.total
    return _with_segments(records, cpu)


def _with_segments(records: list[JobRecord], cpu: list[float]) -> Profile:
    limits = limits_of(CHIP)
    operators, parts, segments, now = [], [], [], 0.0
    for operation in sorted({job.operation for job in records}):
        own = [job for job in records if job.operation == operation]
        cycles = sum(job.cycles.total for job in own)
        operators.append(
            OperatorRecord(
                operation, (), Processor.NPU, "kind", "", "", own[0].part,
                tuple(job.number for job in own), cycles / limits.clock_hz, Origin.MODELLED, cycles,
            )
        )  # fmt: skip
    edges = []
    for part, seconds in zip(sorted({job.part for job in records}), cpu, strict=False):
        own = [job for job in records if job.part == part]
        cycles = sum(job.cycles.total for job in own)
        parts.append(PartRecord(part, range(own[0].number, own[-1].number + 1), cycles))
        segments.append(Segment(Processor.NPU, part, now, now + cycles / limits.clock_hz))
        now += cycles / limits.clock_hz
        row = len(operators)
        edges.append((own[-1].row, row))
        operators.append(
            OperatorRecord(
                row, (row,), Processor.CPU, "CPU", "", "", None, (), seconds, Origin.MEASURED
            )
        )
        segments.append(Segment(Processor.CPU, row, now, now + seconds))
        now += seconds
    return Profile(
        "made up", "model", "a311d", DEVICE, "best", limits, tuple(records), tuple(parts),
        tuple(operators), tuple(segments), tuple(edges), {},
    )  # fmt: skip
