"""When the NPU nodes of an inference began and ended, as the delegate saw it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeTimes:
    """One NPU node of one inference, in seconds of ``time.perf_counter``.

    From ``start`` to ``written`` the inputs were copied in, until ``executed`` the device worked
    (the emulator emulated), until ``end`` the outputs were copied out. ``operators``: indices in
    the .tflite.
    """

    operators: tuple[int, ...]
    start: float
    written: float
    executed: float
    end: float

    @property
    def copying(self) -> float:
        """Seconds of copying in and out."""
        return self.written - self.start + self.end - self.executed

    @property
    def executing(self) -> float:
        """Seconds from submit to fence."""
        return self.executed - self.written
