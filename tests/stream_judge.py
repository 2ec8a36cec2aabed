"""Runs a damaged job on the emulated NPU and says whether it ended as it has to.

Every mutant runs twice on fresh devices. Between and around its buffers lie other live buffers that
the submit does not list, and behind the bytes of each buffer, in this process's memory, lie bytes
of no buffer at all; both hold other random bytes in the second run. So:

* what is written outside is seen, as those bytes change;
* what is read outside is seen, as results or fault texts of the two runs differ;
* an access that the emulator asked its memory for is checked here once more, against our own list;
* what was read can't be written, and every byte that changed lies in a range asked for as output.
"""

from __future__ import annotations

import re
import resource
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from stream_sources import (
    GAP,
    NN_LAYOUTS,
    PAGE,
    Mutant,
    Source,
)
from work import SOON, computing_time

from lapilli.compiler.stages import chip_named
from lapilli.emulator import EmulatedDevice, machine
from lapilli.emulator.memory import EmulatedBuffer, ListedMemory
from lapilli.errors import Fault
from lapilli.hw.tp import TP
from lapilli.program.program import Bytes
from lapilli.program.recording import Recording

MOST_BYTES = 512 << 20
"""What a mutant may take on top of what the process has."""
MARGIN = 4096
"""Bytes of no buffer in front of and behind the bytes of each."""
INSTRUCTION_FAULT = re.compile(
    r"job \d+ \(command word \d+\), (NN|TP) instruction at 0x[0-9a-f]+: (.+)", re.DOTALL
)
STREAM_FAULT = re.compile(r"command word \d+: .+", re.DOTALL)
FIELDS = {name for layout in (*NN_LAYOUTS.values(), TP) for name in layout.fields}
PLACES = re.compile(r"word \d+ = 0x|(NN|TP) instruction: |coefficient (header|stream)|symbol_map")
"""What a fault may name instead of a field: a word, the instruction itself, its coefficients."""


@dataclass(frozen=True)
class Verdict:
    """``ended``: ``fault``, ``same values`` or ``other values`` in the tensors; ``problem`` is
    empty if that is as it should be. ``text`` is the fault's, ``peak`` the memory taken."""

    mutant: Mutant
    ended: str
    seconds: float
    peak: int = 0
    text: str = ""
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return asdict(self)


@dataclass(frozen=True)
class Access:
    """What the emulator asked its memory for."""

    what: str
    address: int
    size: int

    @property
    def writes(self) -> bool:
        """Whether it may be written."""
        return self.what.startswith("output image")


@dataclass
class Run:
    """One run: how it ended, and every buffer's bytes with their margins."""

    text: str = ""
    problem: str = ""
    seconds: float = 0.0
    accesses: list[Access] = field(default_factory=list)
    before: list[Bytes] = field(default_factory=list)
    after: list[Bytes] = field(default_factory=list)
    strangers_kept: bool = True


class Judge:
    """Judges mutants of the given sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = {source.name: source for source in sources}
        self._expected: dict[str, list[Bytes]] = {}
        for source in sources:
            run = _run(source.recording, source.chip, None, 0)
            assert not run.text and not run.problem, f"{source.name}: {run.text}{run.problem}"
            self._expected[source.name] = run.after

    def judge(self, mutant: Mutant) -> Verdict:
        """Run a mutant, twice."""
        source = self._sources[mutant.source]
        recording = mutant.apply(source)
        start = _reset_peak()
        runs = [_run(recording, source.chip, mutant.unlisted, seed) for seed in (1, 2)]
        peak = _peak() - start
        problem = next((run.problem for run in runs if run.problem), "")
        problem = problem or _compare(*runs, recording, mutant.unlisted)
        seconds = max(run.seconds for run in runs)
        if not problem and seconds > SOON:
            problem = f"computed for {seconds:.1f} s"
        if not problem and peak > MOST_BYTES:
            problem = f"took {peak >> 20} MiB"
        ended = "fault" if runs[0].text else "other values"
        if not runs[0].text and self._same(mutant, runs[0]):
            ended = "same values"
        return Verdict(mutant, ended, seconds, peak, runs[0].text, problem)

    def _same(self, mutant: Mutant, run: Run) -> bool:
        buffers = self._sources[mutant.source].recording.buffers
        tensors = [i for i, b in enumerate(buffers) if b.role in ("input", "tensor", "output")]
        expected = self._expected[mutant.source]
        return all(
            np.array_equal(_inside(run.after[i]), _inside(expected[i]))
            for i in tensors
            if run.after[i].shape == expected[i].shape
        )


def _inside(data: Bytes) -> Bytes:
    return data[MARGIN:-MARGIN]


# -------------------------------------------------------------------------------------------- runs


class ObservedMemory(ListedMemory):
    """Notes what is asked for; only outputs can be written."""

    log: list[Access]

    def bytes(self, what: str, address: int, size: int) -> Bytes:
        found = super().bytes(what, address, size)
        access = Access(what, address, size)
        self.log.append(access)
        if not access.writes:
            found = found[:]
            found.flags.writeable = False
        return found


def _run(recording: Recording, chip: str, unlisted: int | None, seed: int) -> Run:
    """Run a job with ``seed`` choosing the bytes that are not the job's."""
    run, rng = Run(), np.random.default_rng(seed)

    class Observed(ObservedMemory):
        log = run.accesses

    with EmulatedDevice(chip_named(chip)) as device:
        buffers, arenas, strangers = _place(device, recording, unlisted, rng)
        run.before = [arena.copy() for arena in arenas]
        kept = [stranger.data.copy() for stranger in strangers]
        listed = [buffer for i, buffer in enumerate(buffers) if i != unlisted]
        watched = patch.object(machine, "ListedMemory", Observed)
        with computing_time() as taken, watched, warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                device.wait(device.submit(recording.commands, listed))
            except Fault as fault:
                run.text = str(fault)
            except Exception as error:
                run.problem = f"{type(error).__name__}: {error}"
        run.seconds = taken.seconds
        run.after = arenas
        pairs = zip(strangers, kept, strict=True)
        run.strangers_kept = all(np.array_equal(s.data, old) for s, old in pairs)
    return run


def _place(
    device: EmulatedDevice,
    recording: Recording,
    unlisted: int | None,
    rng: np.random.Generator,
) -> tuple[list[EmulatedBuffer], list[Bytes], list[EmulatedBuffer]]:
    """The job's buffers, their bytes with margins, and buffers between and around them."""
    buffers, arenas, strangers = [], [], []
    for i, recorded in enumerate(recording.buffers):
        buffer = device.alloc(recorded.size, recorded.address)
        arena = rng.integers(0, 256, recorded.size + 2 * MARGIN, dtype=np.uint8)
        inside = _inside(arena)
        if i != unlisted:
            inside[:] = 0
            inside[: len(recorded.data)] = recorded.data
        buffer.data = inside
        buffers.append(buffer)
        arenas.append(arena)
    for recorded in recording.buffers:
        end = recorded.address + -(-recorded.size // PAGE) * PAGE
        for address in (recorded.address - GAP // 2, end):
            stranger = device.alloc(GAP // 2, address)
            stranger.data[:] = rng.integers(0, 256, GAP // 2, dtype=np.uint8)
            strangers.append(stranger)
    return buffers, arenas, strangers


def _reset_peak() -> int:
    """Start counting the process's largest memory anew; what it has now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:  # then the peak is that of the process's whole life
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


# ------------------------------------------------------------------------------------------ checks


def _compare(one: Run, other: Run, recording: Recording, unlisted: int | None) -> str:
    """What is wrong with two runs that differ in the bytes outside only; "" if nothing is."""
    for run in (one, other):
        if not run.strangers_kept:
            return "a buffer that is not the job's was written"
        wrong = _wrong_access(run, recording, unlisted) or _wrong_write(run, recording)
        if wrong:
            return wrong
    if one.text != other.text:
        return f"depends on bytes outside: {one.text!r} and {other.text!r}"
    for i, (first, second) in enumerate(zip(one.after, other.after, strict=True)):
        if i != unlisted and not np.array_equal(_inside(first), _inside(second)):
            return f"buffer {i} depends on bytes outside"
    return _wrong_text(one.text)


def _wrong_access(run: Run, recording: Recording, unlisted: int | None) -> str:
    listed = [
        (buffer.address, buffer.address + buffer.size)
        for i, buffer in enumerate(recording.buffers)
        if i != unlisted
    ]
    for access in run.accesses:
        end = access.address + access.size
        if access.size <= 0 or not any(a <= access.address and end <= b for a, b in listed):
            return f"outside: {access.what}, {access.size} bytes at {access.address:#x}"
    return ""


def _wrong_write(run: Run, recording: Recording) -> str:
    """Only what was asked for as output may have changed, margins included."""
    written = [(a.address, a.address + a.size) for a in run.accesses if a.writes]
    for i, (before, after) in enumerate(zip(run.before, run.after, strict=True)):
        changed = np.flatnonzero(before != after)
        places = changed - MARGIN + recording.buffers[i].address
        allowed = np.zeros(len(places), np.bool_)
        for start, end in written:
            allowed |= (places >= start) & (places < end)
        if not allowed.all():
            return f"buffer {i}: the byte at {places[~allowed][0]:#x} changed"
    return ""


def _wrong_text(text: str) -> str:
    """A fault has to name the instruction, and a field or word of it."""
    if not text or STREAM_FAULT.fullmatch(text):
        return ""
    match = INSTRUCTION_FAULT.fullmatch(text)
    if match is None:
        return f"the fault names no instruction: {text}"
    if PLACES.search(match[2]) or FIELDS & set(re.findall(r"\w+", match[2])):
        return ""
    return f"the fault names no field: {text}"
