"""Timing a model as TFLite's ``benchmark_model`` does, and where in lapilli the time goes.

The phases, their ends and the numbers printed are that program's; so is that inputs are set anew
before each inference, which is not timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lapilli.answers.inputs import blaming_made_up, random_inputs
from lapilli.cache.programs import store_for
from lapilli.compiler.blocking import Blocking
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, SearchOptions
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.errors import UsageError
from lapilli.litert import runtime as litert
from lapilli.litert.backend import NpuBackend
from lapilli.litert.inference import Inference
from lapilli.model import tflite
from lapilli.model.graph import Values
from lapilli.model.input_shapes import Shapes
from lapilli.profile.board_time import BoardTime, board_time_of
from lapilli.program.program import Part

SCHEMA_VERSION = 1
"""Of ``to_json``; goes up when a key changes its meaning or vanishes."""

SPENT = {
    "device": "the device's submit and wait; the emulator computes in them",
    "python": "the rest of the time from a partition's first input to its last output: copying "
    "tensors to the device and back",
    "cpu": "all other time of the inference: LiteRT with the operators it runs on the CPU, and its "
    "way into each partition",
}
"""What ``Spent`` counts."""


@dataclass(frozen=True)
class Limits:
    """When the phases end: after so many inferences and seconds, or beyond ``max_secs`` at once.
    The defaults are benchmark_model's."""

    warmup_runs: int = 1
    warmup_min_secs: float = 0.5
    num_runs: int = 50
    min_secs: float = 1.0
    max_secs: float = 150.0


@dataclass(frozen=True)
class Phase:
    """The inferences of one phase, in microseconds and in order."""

    times: tuple[int, ...]

    @property
    def average(self) -> float:
        """0 if there was none."""
        return sum(self.times) / len(self.times) if self.times else 0.0

    @property
    def deviation(self) -> int:
        """Standard deviation of all of them, cut to an integer as benchmark_model does."""
        average = self.average
        squares = sum((t - average) ** 2 for t in self.times)
        return int(math.sqrt(squares / len(self.times))) if self.times else 0

    def line(self) -> str:
        """As benchmark_model prints it: ``count=50 first=... std=...``."""
        if not self.times:
            return "count=0"
        return (
            f"count={len(self.times)} first={self.times[0]} curr={self.times[-1]} "
            f"min={min(self.times)} max={max(self.times)} avg={number(self.average)} "
            f"std={self.deviation}"
        )


@dataclass(frozen=True)
class Spent:
    """Microseconds of an average inference by where they went, ``SPENT`` says what is what."""

    device: float
    python: float
    cpu: float


@dataclass(frozen=True)
class Report:
    """One benchmark. ``init`` is everything in front of the first inference, ``compile`` the NPU
    compiler's share of it; microseconds. ``spent`` is about the inferences of ``regular``.
    ``board``: what an inference is modelled to take on the chip that was emulated, None on a board;
    ``blocking``: what stays on the CPU and why."""

    model: str
    device: str
    schedule: str
    runtime: str
    threads: int
    operators: int
    npu_operators: int
    partitions: int
    init: int
    compile: int
    warmup: Phase
    regular: Phase
    spent: Spent
    board: BoardTime | None = None
    blocking: Blocking | None = None

    @property
    def first_inference(self) -> int:
        """Microseconds of the very first one."""
        return next(iter((*self.warmup.times, *self.regular.times)), 0)

    def timings(self) -> str:
        """The line that benchmark_model ends with, which others parse."""
        return (
            f"Inference timings in us: Init: {self.init}, "
            f"First inference: {self.first_inference}, "
            f"Warmup (avg): {number(self.warmup.average)}, "
            f"Inference (avg): {number(self.regular.average)}"
        )


def number(value: float) -> str:
    """Six digits as C++ streams print them, but never with an exponent."""
    return f"{value:.0f}" if value >= 1e5 or 0 < value < 1e-4 else f"{value:.6g}"


# ------------------------------------------------------------------------------------- measurement


class _TimedPart:
    """A loaded part that counts the time from the first ``write`` of an inference to its last
    ``read``."""

    def __init__(self, loaded: LoadedPart) -> None:
        self._loaded = loaded
        self._counted_to: float | None = None
        self.seconds = 0.0
        self.close = loaded.close

    @property
    def device_seconds(self) -> float:
        """In the device's submit and wait."""
        return self._loaded.spent.submit + self._loaded.spent.wait

    def write(self, tensor: int, values: NDArray[Any]) -> None:
        """The first one after a ``read`` starts the clock."""
        if self._counted_to is None:
            self._counted_to = time.perf_counter()
        self._loaded.write(tensor, values)

    def execute(self) -> None:
        """As the part does."""
        if self._counted_to is None:
            self._counted_to = time.perf_counter()
        self._loaded.execute()
        self._count()

    def read(self, tensor: int, out: NDArray[Any]) -> None:
        """Counts up to its end."""
        self._loaded.read(tensor, out)
        self._count()

    def _count(self) -> None:
        now = time.perf_counter()
        if self._counted_to is not None:
            self.seconds += now - self._counted_to
        self._counted_to = now

    def stop(self) -> None:
        """The inference has ended: what follows is not ours."""
        self._counted_to = None


class _TimedNpu(NpuBackend):
    """The delegate's own backend, with parts that count."""

    def __init__(self, device: str, schedule: str, cache: bool, search: SearchOptions) -> None:
        super().__init__(open_device(device), schedule, store=store_for(cache), search=search)
        self.parts: list[_TimedPart] = []

    def load(self, part: Part) -> _TimedPart:
        """On the device."""
        self.parts.append(_TimedPart(LoadedPart(self.device, part)))
        return self.parts[-1]

    def seconds(self) -> tuple[float, float]:
        """In all parts so far, and of that in the device."""
        return (
            sum(part.seconds for part in self.parts),
            sum(part.device_seconds for part in self.parts),
        )


class Benchmark(Inference):
    """A model ready to be timed."""

    def __init__(
        self,
        model: str | Path,
        device: str = "auto",
        *,
        schedule: str = "best",
        num_threads: int = -1,
        cache: bool = True,
        shapes: Shapes | None = None,
        search: SearchOptions = DEFAULT_SEARCH,
        partition: str | None = None,
    ) -> None:
        """``num_threads`` is for LiteRT's CPU operators, -1 leaves the choice to it;
        ``partition``: as the delegate's. Raises what
        ``Inference`` does, and UsageError for a number of threads that can't be."""
        if num_threads < -1 or num_threads == 0:
            raise UsageError(
                f"num_threads is 1 or more, or -1 for LiteRT's own choice, not {num_threads}"
            )
        # A wrong file is told before a device that is missing.
        tflite.parse(tflite.read_file(model, shapes), Path(model).name)
        start = time.perf_counter()
        self._threads = num_threads
        self._schedule = schedule
        self._npu = _TimedNpu(device, schedule, cache, search)
        super().__init__(
            model,
            num_threads=None if num_threads == -1 else num_threads,
            shapes=shapes,
            device=device,
            schedule=schedule,
            partition=partition,
            _backend=self._npu,
        )
        self._init_us = _microseconds(time.perf_counter() - start)

    def measure(
        self,
        limits: Limits | None = None,
        inputs: Sequence[Values] | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Report:
        """Warm up, then time. ``inputs`` by default are random; ``announce`` gets a line in front
        of each phase."""
        limits = limits or Limits()
        tell = announce or (lambda line: None)
        given = random_inputs(self.graph) if inputs is None else inputs
        name, runs, seconds = "warming up", limits.warmup_runs, limits.warmup_min_secs
        with blaming_made_up(self.graph, inputs is None):
            warmup = self._phase(name, runs, seconds, limits, given, tell)
        in_parts, in_device = self._npu.seconds()
        with blaming_made_up(self.graph, inputs is None):
            regular = self._phase("timing", limits.num_runs, limits.min_secs, limits, given, tell)
        parts, device = self._npu.seconds()
        count = max(len(regular.times), 1)
        in_parts, in_device = (1e6 * s / count for s in (parts - in_parts, device - in_device))
        return Report(
            model=self.graph.name,
            device=self.device,
            schedule=self._schedule,
            runtime=litert.runtime_version(),
            threads=self._threads,
            operators=len(self.graph.operators),
            npu_operators=len(self.npu_operators),
            partitions=len(self.delegate.partitions),
            init=self._init_us,
            compile=_microseconds(self.compile_seconds),
            warmup=warmup,
            regular=regular,
            spent=Spent(in_device, in_parts - in_device, max(regular.average - in_parts, 0.0)),
            board=board_time_of(self),
            blocking=self.blocking,
        )

    def _phase(
        self,
        what: str,
        runs: int,
        seconds: float,
        limits: Limits,
        inputs: Sequence[Values],
        tell: Callable[[str], None],
    ) -> Phase:
        """At least ``runs`` inferences and ``seconds``, unless ``max_secs`` are over."""
        tell(
            f"{what}: at least {runs} {'inference' if runs == 1 else 'inferences'} and "
            f"{seconds:g} s, at most {limits.max_secs:g} s"
        )
        times: list[int] = []
        start = now = time.perf_counter()
        while (len(times) < runs or now < start + seconds) and now <= start + limits.max_secs:
            self.feed(inputs)
            times.append(_microseconds(self.run()))
            for part in self._npu.parts:
                part.stop()
            now = time.perf_counter()
        return Phase(tuple(times))


def _microseconds(seconds: float) -> int:
    return int(1e6 * seconds)


def to_json(report: Report) -> dict[str, Any]:
    """The object ``lapilli benchmark --json`` prints; all times are in microseconds.

    ``schema_version``; ``model``, ``device``, ``schedule``, ``runtime``, ``num_threads`` (-1:
    LiteRT's choice); ``operators``, ``npu_operators``, ``npu_partitions``: counts; ``init_us`` and
    ``compile_us``, the compiler's part of it; ``first_inference_us``; ``warmup`` and ``inference``,
    each with ``count``, ``first``, ``curr`` (the last), ``min``, ``max``, ``avg`` and ``std``;
    ``spent_us``: the average inference by ``device``, ``python`` and ``cpu``. ``definitions`` says
    what these are. ``board``: what an inference is modelled to take on the chip that was emulated,
    or null on a board: ``chip``, ``npu_seconds``, ``host_seconds``, ``inference_seconds`` with
    ``_low`` and ``_high``, ``frames_a_second``, ``evidence``. ``blocking``: what stays on the CPU,
    and why, or null.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "model": report.model,
        "device": report.device,
        "schedule": report.schedule,
        "runtime": report.runtime,
        "num_threads": report.threads,
        "operators": report.operators,
        "npu_operators": report.npu_operators,
        "npu_partitions": report.partitions,
        "init_us": report.init,
        "compile_us": report.compile,
        "first_inference_us": report.first_inference,
        "warmup": _phase_json(report.warmup),
        "inference": _phase_json(report.regular),
        "spent_us": {name: round(value, 1) for name, value in vars(report.spent).items()},
        "board": report.board.to_dict() if report.board else None,
        "blocking": report.blocking.to_dict() if report.blocking else None,
        "definitions": SPENT,
    }


def _phase_json(phase: Phase) -> dict[str, Any]:
    if not phase.times:
        return {"count": 0}
    return {
        "count": len(phase.times),
        "first": phase.times[0],
        "curr": phase.times[-1],
        "min": min(phase.times),
        "max": max(phase.times),
        "avg": round(phase.average, 1),
        "std": phase.deviation,
    }
