"""What an inference would take on the chip itself, beside what an emulator takes for it here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from lapilli.device.open import is_emulator
from lapilli.emulator.work import Decoded
from lapilli.hw.chips import Chip
from lapilli.litert.inference import Inference
from lapilli.model.graph import Graph
from lapilli.profile.host_work import host_work
from lapilli.profile.stream import read_jobs
from lapilli.program.program import Part
from lapilli.timing.constants import TABLES, constants_of
from lapilli.timing.evidence import TimingEvidence, evidence_of
from lapilli.timing.host import HostConstants, host_seconds


@dataclass(frozen=True)
class BoardTime:
    """Modelled seconds of one inference: on the NPU, and on the CPU of a board beside it."""

    chip: str
    npu_seconds: float
    host_seconds: float
    evidence: TimingEvidence

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.npu_seconds + self.host_seconds

    @property
    def line(self) -> str:
        """For a reader."""
        low, high = (1e3 * seconds for seconds in self.evidence.span(self.seconds))
        return (
            f"modelled for the {self.chip}: {1e3 * self.npu_seconds:.2f} ms on the NPU, "
            f"{1e3 * self.seconds:.2f} ms with the CPU ({low:.2f} to {high:.2f}), "
            f"{1 / self.seconds:,.0f} frames a second"
        )

    def to_dict(self) -> dict[str, Any]:
        """The field ``board`` of JSON reports."""
        low, high = self.evidence.span(self.seconds)
        return {
            "chip": self.chip,
            "npu_seconds": self.npu_seconds,
            "host_seconds": self.host_seconds,
            "inference_seconds": self.seconds,
            "inference_seconds_low": low,
            "inference_seconds_high": high,
            "frames_a_second": 1 / self.seconds,
            "evidence": self.evidence.to_dict(),
        }


def board_time(
    graph: Graph,
    parts: Sequence[Part],
    on_npu: Collection[int],
    chip: Chip,
    decoded: Decoded | None = None,
) -> BoardTime | None:
    """Of ``parts``, which do the operators ``on_npu`` (indices) of a graph; None for a chip without
    timing constants. ``decoded``: see WorkReader."""
    if chip.name not in TABLES:
        return None
    cycles = sum(
        job.cycles.total
        for number, part in enumerate(parts)
        for job in read_jobs(
            part.commands, part.buffers, chip, part.jobs, number, 0, 0, decoded, part.regions
        )
    )
    work = host_work(graph, [operator.index in on_npu for operator in graph.operators])
    return BoardTime(
        chip.name,
        cycles / constants_of(chip).clock_hz,
        host_seconds(work, HostConstants()),
        evidence_of(chip),
    )


def board_time_of(inference: Inference) -> BoardTime | None:
    """Of a model that ran on an emulator; None on a board, which can be measured, and for a model
    that ran on the CPU alone."""
    device = inference.delegate.device
    if device is None or not is_emulator(device.name) or not inference.delegate.parts:
        return None
    # The emulator has decoded all coefficients already.
    decoded = getattr(device, "counts", None)
    parts, on_npu = inference.delegate.parts, set(inference.npu_operators)
    return board_time(inference.graph, parts, on_npu, device.chip, decoded)
