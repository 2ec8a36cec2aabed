"""When the NPU nodes of an inference began and ended, as the delegate saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lapilli.device.counters import Counters


@dataclass(frozen=True)
class NodeTimes:
    """One NPU node of one inference, in seconds of ``time.perf_counter``.

    From ``start`` to ``written`` the inputs were copied in, until ``executed`` the device worked
    (the emulator emulated), until ``end`` the outputs were copied out and, for ``counting`` seconds
    of it, the counters read. ``operators``: indices in the .tflite. ``counters``: what the kernel
    counted of the job, or None with the reason in ``uncounted`` (empty where nothing was to be
    counted).
    """

    operators: tuple[int, ...]
    start: float
    written: float
    executed: float
    end: float
    counting: float = 0.0
    counters: Counters | None = None
    uncounted: str = ""

    @property
    def copying(self) -> float:
        """Seconds of copying in and out."""
        return self.written - self.start + self.end - self.executed - self.counting

    @property
    def executing(self) -> float:
        """Seconds from submit to fence."""
        return self.executed - self.written
