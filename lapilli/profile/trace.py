"""A profile as a Chrome trace, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Two processes, the NPU with its modelled times and the CPU with its measured ones, one behind the
other in execution order. Their threads are units: the front end (part, operator, start-up), the NN
cores (instruction, and in it the time that the multipliers are busy), the TP cores (operation, and
in it each core's share), the DRAM. Times are whole nanoseconds, so that slices nest exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from lapilli.profile.events import JobRecord, OperatorRecord, Processor, Profile

Event = dict[str, Any]

NPU, CPU = 1, 2
FRONT_END, NN, TP, DRAM = 1, 2, 3, 4
CPU_THREAD = 1
UNIT_THREADS = {"NN": NN, "TP": TP}
THREADS = (
    (NPU, FRONT_END, "front end"),
    (NPU, NN, "NN cores"),
    (NPU, TP, "TP cores"),
    (NPU, DRAM, "DRAM"),
    (CPU, CPU_THREAD, "CPU"),
)
PROCESSES = {NPU: "NPU (modelled)", CPU: "CPU (measured)"}
BANDWIDTH = "DRAM bandwidth"
SRAM = "on-chip SRAM"


def to_trace(profile: Profile) -> dict[str, Any]:
    """The object to write as a JSON file."""
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "model": profile.model,
            "chip": profile.chip,
            "schedule": profile.schedule,
            "notes": " ".join(profile.notes),
        },
        "traceEvents": events_of(profile),
    }


def events_of(profile: Profile) -> list[Event]:
    """Names, then slices with the outer before the inner, flows, counters."""
    clock = _Clock(profile)
    slices = [*_front_end(profile, clock), *_units(profile, clock), *_cpu(profile)]
    slices.sort(key=lambda each: (each.pid, each.tid, each.start, -each.end))
    return [
        *_metadata(),
        *(each.event() for each in slices),
        *_flows(profile, clock),
        *_counters(profile, clock),
    ]


@dataclass(frozen=True)
class _Slice:
    """``start`` and ``end`` in nanoseconds."""

    pid: int
    tid: int
    start: int
    end: int
    name: str
    args: Event = field(default_factory=dict)

    def event(self) -> Event:
        """As the format has it: microseconds."""
        return {
            "ph": "X",
            "cat": "npu" if self.pid == NPU else "cpu",
            "pid": self.pid,
            "tid": self.tid,
            "ts": self.start / 1000,
            "dur": (self.end - self.start) / 1000,
            "name": self.name,
            "args": self.args,
        }


class _Clock:
    """From cycles of a part to nanoseconds of the whole."""

    def __init__(self, profile: Profile) -> None:
        self._hz = profile.limits.clock_hz
        self._starts = {s.number: s.start for s in profile.segments if s.processor is Processor.NPU}

    def at(self, part: int, cycles: int) -> int:
        """Nanoseconds."""
        return round((self._starts.get(part, 0.0) + cycles / self._hz) * 1e9)

    def start(self, job: JobRecord) -> int:
        """Of the instruction."""
        return self.at(job.part, job.start)

    def busy(self, job: JobRecord) -> int:
        """Of its work, behind the start-up."""
        return self.at(job.part, job.start + job.cycles.start_up)

    def end(self, job: JobRecord) -> int:
        """Of the instruction."""
        return self.at(job.part, job.end)


def _metadata() -> Iterator[Event]:
    for pid, name in PROCESSES.items():
        yield _name("process_name", pid, 0, {"name": name})
        yield _name("process_sort_index", pid, 0, {"sort_index": pid})
    for pid, tid, name in THREADS:
        yield _name("thread_name", pid, tid, {"name": name})
        yield _name("thread_sort_index", pid, tid, {"sort_index": tid})


def _name(what: str, pid: int, tid: int, args: Event) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}


# ------------------------------------------------------------------------------------------ slices


def _title(op: OperatorRecord) -> str:
    return f"{op.kind} #{op.operators[0]}" if op.operators else f"{op.kind} (row {op.row})"


def _arguments(op: OperatorRecord) -> Event:
    """``op_name`` and ``provider`` are what tools for ONNX Runtime's profiles look for."""
    return {
        "op_name": op.kind,
        "provider": f"lapilli {op.processor.value}",
        "operators": list(op.operators),
        "tensor": op.name,
        "time_is": op.origin.value,
    }


def _front_end(profile: Profile, clock: _Clock) -> Iterator[_Slice]:
    for number, group in groupby(profile.jobs, lambda job: job.part):
        jobs = list(group)
        yield _Slice(
            NPU, FRONT_END, clock.start(jobs[0]), clock.end(jobs[-1]), f"part {number}",
            {"jobs": len(jobs), "cycles": sum(job.cycles.total for job in jobs)},
        )  # fmt: skip
        for row, run in groupby(jobs, lambda job: job.row):
            own = list(run)
            op = profile.operators[row]
            start, end = clock.start(own[0]), clock.end(own[-1])
            yield _Slice(NPU, FRONT_END, start, end, _title(op), _arguments(op))
            for job in own:
                if job.cycles.start_up:
                    yield _Slice(NPU, FRONT_END, clock.start(job), clock.busy(job), "start-up")


def _units(profile: Profile, clock: _Clock) -> Iterator[_Slice]:
    for _, group in groupby(profile.jobs, lambda job: job.operation):
        jobs = list(group)
        op = profile.operators[jobs[0].row]
        if jobs[0].unit == "TP":
            yield _Slice(
                NPU, TP, clock.start(jobs[0]), clock.end(jobs[-1]), f"{jobs[0].kind}: {_title(op)}",
                _arguments(op) | {"cores": len(jobs)},
            )  # fmt: skip
        for core, job in enumerate(jobs):
            yield from _job_slices(job, core, op, clock)


def _job_slices(job: JobRecord, core: int, op: OperatorRecord, clock: _Clock) -> Iterator[_Slice]:
    """The instruction on its unit, the multipliers' time in it, and its traffic."""
    tid = UNIT_THREADS[job.unit]
    args = {
        "job": job.number,
        "cycles": job.cycles.total,
        "bound": job.cycles.bound.value,
        "bytes": job.traffic.total,
        "shape": job.shape,
    }
    title = f"core {core}" if job.unit == "TP" else f"{job.kind}: {_title(op)}"
    more = {} if job.unit == "TP" else _arguments(op) | {"macs_useful": job.macs_useful}
    yield _Slice(NPU, tid, clock.start(job), clock.end(job), title, args | more)
    behind = job.start + job.cycles.start_up
    for thread, term, name in (
        (NN, job.cycles.coefficients, "multipliers"),
        (DRAM, job.cycles.memory, f"{job.kind}: {_title(op)}"),
    ):
        start, end = clock.busy(job), clock.at(job.part, behind + term)
        # Only a convolution has weights to multiply by.
        if end > start and (thread == DRAM or job.unit == "NN"):
            detail = _traffic(job) if thread == DRAM else {"cycles": term}
            yield _Slice(NPU, thread, start, end, name, detail)


def _traffic(job: JobRecord) -> Event:
    return {"job": job.number} | {
        kind: getattr(job.traffic, kind)
        for kind in ("instruction", "coefficients", "input", "output")
    }


def _cpu(profile: Profile) -> Iterator[_Slice]:
    for segment in profile.segments:
        start, end = round(segment.start * 1e9), round(segment.end * 1e9)
        if segment.processor is Processor.CPU and end > start:
            op = profile.operators[segment.number]
            yield _Slice(CPU, CPU_THREAD, start, end, op.kind, _arguments(op))


# ------------------------------------------------------------------------------------------- flows


@dataclass(frozen=True)
class _End:
    """A place inside a slice."""

    pid: int
    tid: int
    at: int


def _flows(profile: Profile, clock: _Clock) -> Iterator[Event]:
    """An arrow for each dependency between operations, and between NPU and CPU."""
    pairs: list[tuple[_End, _End]] = []
    last = {job.operation: job for job in profile.jobs}
    for _, group in groupby(profile.jobs, lambda job: job.operation):
        job = next(group)
        for before in job.after:
            if before in last:
                pairs.append((_behind(last[before], clock), _front(job, clock)))
    pairs += _crossings(profile, clock)
    for number, (source, target) in enumerate(pairs, 1):
        base = {"name": "tensor", "cat": "dependency", "id": number}
        yield base | {"ph": "s", "pid": source.pid, "tid": source.tid, "ts": source.at / 1000}
        yield base | {
            "ph": "f", "bp": "e", "pid": target.pid, "tid": target.tid, "ts": target.at / 1000,
        }  # fmt: skip


def _behind(job: JobRecord, clock: _Clock) -> _End:
    """The last nanosecond, which still is inside."""
    at = max(clock.end(job) - 1, clock.start(job))
    return _End(NPU, UNIT_THREADS[job.unit], at)


def _front(job: JobRecord, clock: _Clock) -> _End:
    return _End(NPU, UNIT_THREADS[job.unit], clock.start(job))


def _crossings(profile: Profile, clock: _Clock) -> Iterator[tuple[_End, _End]]:
    """Tensors that go from the NPU to the CPU or back."""
    slices = {s.number: s for s in profile.segments if s.processor is Processor.CPU}
    first: dict[int, JobRecord] = {}
    last: dict[int, JobRecord] = {}
    for job in profile.jobs:
        first.setdefault(job.row, job)
        last[job.row] = job
    for before, after in profile.edges:
        if before in last and after in slices:
            found, start = slices[after], round(slices[after].start * 1e9)
            ends = (_behind(last[before], clock), _End(CPU, CPU_THREAD, start))
        elif before in slices and after in first:
            found = slices[before]
            inside = round(found.end * 1e9) - 1
            ends = (_End(CPU, CPU_THREAD, inside), _front(first[after], clock))
        else:
            continue
        # Nothing that was not measured has a slice to point at; nothing points into the past.
        if round(found.end * 1e9) > round(found.start * 1e9) and ends[0].at <= ends[1].at:
            yield ends


# ---------------------------------------------------------------------------------------- counters


def _counters(profile: Profile, clock: _Clock) -> Iterator[Event]:
    bandwidth: list[tuple[int, Event]] = []
    sram: list[tuple[int, Event]] = []
    for job in profile.jobs:
        start, busy, end = clock.start(job), clock.busy(job), clock.end(job)
        spent = max(end - busy, 1)
        bandwidth += [(busy, {"GB/s": job.traffic.total / spent}), (end, {"GB/s": 0.0})]
        used = {"kernels": job.sram.kernel_bytes, "image": job.sram.image_bytes}
        sram += [(start, used), (end, {"kernels": 0, "image": 0})]
    yield from _counter(BANDWIDTH, bandwidth)
    yield from _counter(SRAM, sram)


def _counter(name: str, values: Sequence[tuple[int, Event]]) -> Iterator[Event]:
    """One event wherever the value changes; the last of several at one time counts."""
    shown: Event | None = None
    for at, args in _last_of_each(values):
        if args != shown:
            shown = args
            yield {"ph": "C", "name": name, "pid": NPU, "tid": 0, "ts": at / 1000, "args": args}


def _last_of_each(values: Iterable[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
    for at, group in groupby(values, lambda value: value[0]):
        yield at, list(group)[-1][1]
