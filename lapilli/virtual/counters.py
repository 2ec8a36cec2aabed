"""The performance counters of a 3D-capable core, which an NPU reports to be.

Source: hardware notes for the domains, their order and sizes, and the signals of HI and MC; the
names of the graphics units' signals are from general knowledge of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapilli.emulator.counters import InstructionCounters


@dataclass(frozen=True)
class Domain:
    """A unit of the core and what can be counted there."""

    name: str
    signals: tuple[str, ...]


DOMAINS = (
    Domain(
        "HI",
        (
            "TOTAL_CYCLES",
            "IDLE_CYCLES",
            "AXI_CYCLES_READ_REQUEST_STALLED",
            "AXI_CYCLES_WRITE_REQUEST_STALLED",
            "AXI_CYCLES_WRITE_DATA_STALLED",
        ),
    ),
    Domain(
        "PE",
        (
            "PIXEL_COUNT_KILLED_BY_COLOR_PIPE",
            "PIXEL_COUNT_KILLED_BY_DEPTH_PIPE",
            "PIXEL_COUNT_DRAWN_BY_COLOR_PIPE",
            "PIXEL_COUNT_DRAWN_BY_DEPTH_PIPE",
        ),
    ),
    Domain(
        "SH",
        (
            "SHADER_CYCLES",
            "PS_INST_COUNTER",
            "RENDERED_PIXEL_COUNTER",
            "VS_INST_COUNTER",
            "RENDERED_VERTICE_COUNTER",
            "VTX_BRANCH_INST_COUNTER",
            "VTX_TEXLD_INST_COUNTER",
            "PXL_BRANCH_INST_COUNTER",
            "PXL_TEXLD_INST_COUNTER",
        ),
    ),
    Domain(
        "PA",
        (
            "INPUT_VTX_COUNTER",
            "INPUT_PRIM_COUNTER",
            "OUTPUT_PRIM_COUNTER",
            "DEPTH_CLIPPED_COUNTER",
            "TRIVIAL_REJECTED_COUNTER",
            "CULLED_COUNTER",
        ),
    ),
    Domain("SE", ("CULLED_TRIANGLE_COUNT", "CULLED_LINES_COUNT")),
    Domain(
        "RA",
        (
            "VALID_PIXEL_COUNT",
            "TOTAL_QUAD_COUNT",
            "VALID_QUAD_COUNT_AFTER_EARLY_Z",
            "TOTAL_PRIMITIVE_COUNT",
            "PIPE_CACHE_MISS_COUNTER",
            "PREFETCH_CACHE_MISS_COUNTER",
            "CULLED_QUAD_COUNT",
        ),
    ),
    Domain(
        "TX",
        (
            "TOTAL_BILINEAR_REQUESTS",
            "TOTAL_TRILINEAR_REQUESTS",
            "TOTAL_DISCARDED_TEXTURE_REQUESTS",
            "TOTAL_TEXTURE_REQUESTS",
            "MEM_READ_COUNT",
            "MEM_READ_IN_8B_COUNT",
            "CACHE_MISS_COUNT",
            "CACHE_HIT_TEXEL_COUNT",
            "CACHE_MISS_TEXEL_COUNT",
        ),
    ),
    Domain(
        "MC",
        (
            "TOTAL_READ_REQ_8B_FROM_PIPELINE",
            "TOTAL_READ_REQ_8B_FROM_IP",
            "TOTAL_WRITE_REQ_8B_FROM_PIPELINE",
        ),
    ),
)


class Counts:
    """The counters' values, which begin at ``start`` and wrap. Only the memory's ever move, as the
    emulator has no clock; its bytes count each byte of an image once, so they are less than an
    NPU's."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._bytes = {"TOTAL_READ_REQ_8B_FROM_PIPELINE": 0, "TOTAL_WRITE_REQ_8B_FROM_PIPELINE": 0}

    def add(self, instructions: Iterable[InstructionCounters]) -> None:
        """What a job did."""
        for each in instructions:
            read = each.instruction_bytes + each.coefficient_bytes + each.input_bytes
            self._bytes["TOTAL_READ_REQ_8B_FROM_PIPELINE"] += -(-read // 8) * 8
            self._bytes["TOTAL_WRITE_REQ_8B_FROM_PIPELINE"] += -(-each.output_bytes // 8) * 8

    def value(self, domain: int, signal: int) -> int:
        """A register as it is now."""
        name = DOMAINS[domain].signals[signal]
        return (self._start + self._bytes.get(name, 0) // 8) & 0xFFFFFFFF
