"""The kernel's performance counters: which there are, asking for them, and what they counted.

The kernel samples counters just before and just behind a job, into a buffer of ours: its word 0
gets the sequence number when all is written, which may be after the fence; then each signal has a
word before and a word after. Nothing is reset in between, and counters wrap at 2^32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from lapilli.device.etnaviv import Node
from lapilli.hw import drm
from lapilli.program.device import DeviceBuffer
from lapilli.program.program import Bytes, Words

CYCLES = "HI.TOTAL_CYCLES"
IDLE = "HI.IDLE_CYCLES"
READS = ("MC.TOTAL_READ_REQ_8B_FROM_PIPELINE", "MC.TOTAL_READ_REQ_8B_FROM_IP")
WRITES = ("MC.TOTAL_WRITE_REQ_8B_FROM_PIPELINE",)
WANTED = (CYCLES, IDLE, *READS, *WRITES)
REQUEST_BYTES = 8
"""What a read or write request counts for."""
BUFFER_BYTES = 4 * (1 + 2 * len(WANTED))
WRAP = 1 << 32
ARRIVAL_SECONDS, ARRIVAL_TRIES = 0.001, 50
"""The kernel samples behind the job's fence: the figures may come a little later than it."""


@dataclass(frozen=True)
class Counters:
    """What was counted during one job; None for what the kernel does not count."""

    cycles: int | None
    idle: int | None
    read: int | None
    """Bytes."""
    written: int | None
    """Bytes."""


@dataclass(frozen=True)
class Signal:
    """A counter, by the kernel's numbers. ``name`` is as in ``HI.TOTAL_CYCLES``."""

    domain: int
    number: int
    name: str


@runtime_checkable
class CountingDevice(Protocol):
    """A device with counters, if the kernel has some."""

    def submit(
        self,
        commands: Words,
        buffers: Sequence[DeviceBuffer],
        counters: DeviceBuffer | None = None,
    ) -> int:
        """As any device's; counters go to ``counters``."""

    def counter_buffer(self) -> DeviceBuffer | None:
        """A buffer for ``submit``; None if nothing can be counted."""

    def read_counters(self, buffer: DeviceBuffer) -> Counters | None:
        """Of the last submit with this buffer, once its fence has passed; None if nothing was
        counted."""

    def why_uncounted(self) -> str:
        """Why nothing can be counted; empty if it can."""


def list_signals(node: Node, pipe: int) -> tuple[Signal, ...]:
    """All the counters of a core; raises Refused where the kernel has none."""
    found: list[Signal] = []
    domain = drm.CounterDomain(pipe=pipe)
    for _ in range(drm.LAST_DOMAIN):  # a kernel that never ends the list does not hold us
        node.call(drm.PM_QUERY_DOM, domain, f"performance counters' domain {domain.iteration}")
        signal = drm.CounterSignal(pipe=pipe, domain=domain.id)
        head = _text(domain.name)
        for _ in range(domain.signal_count):
            node.call(drm.PM_QUERY_SIG, signal, f"counter {signal.iteration} of {head}")
            found.append(Signal(domain.id, signal.id, f"{head}.{_text(signal.name)}"))
            if signal.iteration == drm.LAST_SIGNAL:
                break
        if domain.iteration == drm.LAST_DOMAIN:
            break
    return tuple(found)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")


def wanted(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    """Those that ``Counters`` is made of, each once."""
    by_name = {signal.name: signal for signal in reversed(signals)}
    return tuple(by_name[name] for name in WANTED if name in by_name)


def requests(
    signals: Sequence[Signal], sequence: int, index: int
) -> ctypes.Array[drm.SubmitCounter]:
    """What a submit says to have ``signals`` written to buffer number ``index`` of its list."""
    made = []
    for i, signal in enumerate(signals):
        for offset, flag in ((1, drm.CounterFlags.BEFORE), (2, drm.CounterFlags.AFTER)):
            made.append(
                drm.SubmitCounter(
                    flags=flag,
                    domain=signal.domain,
                    signal=signal.number,
                    sequence=sequence,
                    read_offset=2 * i + offset,
                    read_index=index,
                )
            )
    return (drm.SubmitCounter * len(made))(*made)


def counted(signals: Sequence[Signal], sequence: int, data: Bytes) -> Counters | None:
    """The differences; None if the kernel has not written what ``sequence`` asked for."""
    words: list[int] = data[:BUFFER_BYTES].view(np.uint32).tolist()
    if words[0] != sequence:
        return None
    values = {
        signal.name: (words[2 * i + 2] - words[2 * i + 1]) % WRAP
        for i, signal in enumerate(signals)
    }
    return Counters(
        values.get(CYCLES), values.get(IDLE), _bytes(values, READS), _bytes(values, WRITES)
    )


def _bytes(values: Mapping[str, int], names: Sequence[str]) -> int | None:
    """None unless all requests are counted: half the traffic would mislead."""
    if any(name not in values for name in names):
        return None
    return REQUEST_BYTES * sum(values[name] for name in names)
