"""Programs whose tensors share memory: byte for byte, jobs read what they read without that.

Each instruction's reads and writes are noted as the emulator does them, by the addresses in the
emitted words. Whatever wrote a byte last that an instruction reads must be the same instruction, or
the same input, with shared memory as with a buffer for each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import CHIPS
from models import ModelBuilder
from numpy.typing import NDArray
from random_graphs import RandomGraph
from shared_data import shared_data

from lapilli.compiler import memory_plan
from lapilli.compiler.jobs import PartJobs
from lapilli.compiler.memory_plan import Lifetime
from lapilli.compiler.stages import CompileOptions, chip_named, compile_graph
from lapilli.emulator import machine
from lapilli.emulator.machine import EmulatedDevice
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Refused, Unsupported
from lapilli.model import tflite
from lapilli.program.program import Part

APART = CompileOptions(memory_reuse=False)
SHARED = CompileOptions()
NOBODY = -1
RANDOM_SAMPLE = 14


@dataclass(frozen=True)
class Access:
    """``size`` bytes at ``offset`` of a buffer that an instruction read or wrote."""

    writes: bool
    buffer: int
    offset: int
    size: int


@dataclass
class Noting:
    """What the emulator was asked for, in order."""

    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def memory(self, *arguments: Any) -> ListedMemory:
        """A memory that notes."""
        noting = self

        class Memory(ListedMemory):
            def bytes(self, what: str, address: int, size: int) -> Any:
                noting.asked.append((what, address, size))
                return super().bytes(what, address, size)

        return Memory(*arguments)


@dataclass(frozen=True)
class Trace:
    """A run of a part: each instruction's accesses to tensors, and its outputs' values."""

    part: Part
    accesses: list[list[Access]]
    outputs: dict[int, NDArray[np.uint8]]


def traced(part: Part, chip: str, monkeypatch: pytest.MonkeyPatch) -> Trace:
    noting = Noting()
    monkeypatch.setattr(machine, "ListedMemory", noting.memory)
    device = EmulatedDevice(chip_named(chip))
    buffers = [device.alloc(spec.size) for spec in part.buffers]
    commands, contents = part.place([buffer.address for buffer in buffers])
    for i, (buffer, spec) in enumerate(zip(buffers, part.buffers, strict=True)):
        data = contents.get(i, spec.data)
        if data is not None:
            buffer.data[: data.size] = data
    rng = np.random.default_rng(0)
    for b in part.inputs:
        values = rng.integers(0, 256, b.size).astype(np.uint8)
        buffers[b.buffer].data[b.offset : b.offset + b.size] = values
    device.wait(device.submit(commands, buffers))
    outputs = {
        b.tensor: buffers[b.buffer].data[b.offset : b.offset + b.size].copy() for b in part.outputs
    }
    places = {buffer.address: i for i, buffer in enumerate(buffers)}
    return Trace(part, list(_by_instruction(noting.asked, places, part)), outputs)


def _by_instruction(
    asked: list[tuple[str, int, int]], places: dict[int, int], part: Part
) -> Iterator[list[Access]]:
    found: list[Access] | None = None
    for what, address, size in asked:
        if what.endswith("instruction"):
            if found is not None:
                yield found
            found = []
            continue
        start = max(place for place in places if place <= address)
        if part.buffers[places[start]].role in ("input", "output", "tensor"):
            assert found is not None
            writes = what.startswith("output")
            found.append(Access(writes, places[start], address - start, size))
    if found is not None:
        yield found


@dataclass
class Writers:
    """Who wrote each byte of a part's buffers last; inputs count from -2 down."""

    part: Part
    last: list[NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        self.last = [np.full(spec.size, NOBODY) for spec in self.part.buffers]
        for number, b in enumerate(self.part.inputs):
            self.last[b.buffer][b.offset : b.offset + b.size] = NOBODY - 1 - number

    def of(self, buffer: int, offset: int, size: int) -> NDArray[np.int64]:
        return self.last[buffer][offset : offset + size]


def demand_same_writers(alone: Trace, together: Trace) -> None:
    before, after = Writers(alone.part), Writers(together.part)
    assert len(alone.accesses) == len(together.accesses) == len(alone.part.jobs)
    pairs = zip(alone.accesses, together.accesses, strict=True)
    for number, (expected, found) in enumerate(pairs):
        for first, second in zip(expected, found, strict=True):
            assert (first.writes, first.size) == (second.writes, second.size)
            own = before.of(first.buffer, first.offset, first.size)
            shared = after.of(second.buffer, second.offset, second.size)
            if first.writes:
                own[:] = shared[:] = number
            else:
                assert (own != NOBODY).all(), f"job {number} reads what nobody wrote"
                assert np.array_equal(own, shared), f"job {number} reads another tensor's bytes"
    for first_out, second_out in zip(alone.part.outputs, together.part.outputs, strict=True):
        own = before.of(first_out.buffer, first_out.offset, first_out.size)
        shared = after.of(second_out.buffer, second_out.offset, second_out.size)
        assert np.array_equal(own, shared), f"output {first_out.name} was written over"


def check(model: bytes, chip: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of parts that were compared."""
    graph = tflite.parse(model, "model")
    try:
        programs = [compile_graph(graph, chip_named(chip), options=o) for o in (APART, SHARED)]
    except Unsupported:  # the NPU takes none of it
        return 0
    for alone, together in zip(programs[0].parts, programs[1].parts, strict=True):
        traces = [traced(part, chip, monkeypatch) for part in (alone, together)]
        demand_same_writers(*traces)
        for tensor, values in traces[0].outputs.items():
            assert np.array_equal(values, traces[1].outputs[tensor])
        demand_regions(together)
    return len(programs[0].parts)


def demand_regions(part: Part) -> None:
    """What a part says of its memory: no two regions that are needed at once overlap."""
    rows = sorted(part.regions, key=lambda region: (region.buffer, region.offset))
    for i, one in enumerate(rows):
        assert one.offset + one.size <= part.buffers[one.buffer].size
        for other in rows[i + 1 :]:
            if other.buffer == one.buffer and other.offset < one.offset + one.size:
                assert other.first > one.last or one.first > other.last


def operator_models() -> list[Path]:
    """Models of one operator; none without test data."""
    try:
        folder = shared_data() / "models"
    except (pytest.skip.Exception, pytest.fail.Exception):
        return []
    return sorted(p for kind in ("ops", "random", "nonsquare") for p in (folder / kind).iterdir())


@pytest.mark.parametrize("chip", CHIPS)
def test_a_sample_of_operators(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in operator_models()[CHIPS.index(chip) :: 32]:
        check(path.read_bytes(), chip, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
def test_all_operators(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in operator_models():
        check(path.read_bytes(), chip, monkeypatch)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_sample_of_random_graphs(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = range(CHIPS.index(chip), 2 * RANDOM_SAMPLE, 2)
    assert sum(check(RandomGraph(seed).model(), chip, monkeypatch) for seed in seeds) > 10


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
def test_random_graphs(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(500):
        check(RandomGraph(seed).model(), chip, monkeypatch)


def past_others() -> bytes:
    """A tensor is added to what three convolutions make of it."""
    builder = ModelBuilder()
    first = last = builder.input((1, 8, 8, 8), scale=0.02, zero_point=128)
    for number in range(4):
        weights = np.full((8, 1, 1, 8), 100 + number, np.uint8)
        last = builder.conv(last, weights, None, 0.01, 120, 0.05, 3)
        first = last if number == 0 else first
    return builder.build([builder.add(first, last, 0.1, 5)])


def test_a_tensor_let_go_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(part: PartJobs) -> tuple[Lifetime, ...]:
        lives = right(part)
        longest = max(lives, key=lambda life: life.last - life.first)
        return tuple(
            Lifetime(life.first, life.first + 1) if life is longest else life for life in lives
        )

    right = memory_plan.lifetimes
    assert check(past_others(), "imx8mp", monkeypatch) == 1
    monkeypatch.setattr(memory_plan, "lifetimes", hasty)
    # The emulator itself refuses a job whose output lies over its input.
    with pytest.raises((AssertionError, Refused), match=r"reads another tensor's bytes|overlap"):
        check(past_others(), "imx8mp", monkeypatch)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_whole_model(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared_data() / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    assert check(path.read_bytes(), chip, monkeypatch) == 1


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_1.0_224_quant",
        "mobilenet_v2_1.0_224_quant",
        "ssdlite_mobiledet_coco_qat_postprocess",
        "deeplabv3_mnv2_dm05_pascal_quant",
    ],
)
def test_whole_models(name: str, chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check((shared_data() / "models" / f"{name}.tflite").read_bytes(), chip, monkeypatch)
