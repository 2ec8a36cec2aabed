"""How fast a board's CPU does operators, and what handing work to the NPU takes of it.

This decides which parts of a model are worth a submit (``compiler/cuts.py``); nothing that is
reported as an NPU's time depends on it. ``lapilli calibrate-cpu`` measures another CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from lapilli.timing.constants import Figure, Origin


@dataclass(frozen=True)
class CpuRates:
    """What one CPU does in a second, by the kernels that LiteRT has.

    ``convolution_macs``, ``depthwise_macs``, ``fully_connected_macs``: multiplications with an
    addition a second, of 8-bit operators. ``computed_bytes``: bytes read and written a second by
    operators that compute each byte; ``moved_bytes``: by those that put bytes elsewhere.
    ``operator_seconds``: to begin and end an operator.
    ``submit_seconds``: to hand a part to the NPU and to wait for it; ``border_bytes``: bytes a
    second that are copied into and out of the NPU's buffers.
    ``name``: whose figures these are.
    """

    convolution_macs: float
    depthwise_macs: float
    fully_connected_macs: float
    computed_bytes: float
    moved_bytes: float
    operator_seconds: float
    submit_seconds: float
    border_bytes: float
    name: str = ""

    @classmethod
    def of(cls, table: Mapping[str, Figure], name: str) -> CpuRates:
        """The values of a table, which must hold every rate."""
        return cls(**{rate: table[rate].value for rate in RATES}, name=name)


RATES: Final = tuple(field.name for field in fields(CpuRates) if field.name != "name")
"""The names of all figures."""
MEASURED: Final = (
    "convolution_macs",
    "depthwise_macs",
    "fully_connected_macs",
    "computed_bytes",
    "moved_bytes",
    "operator_seconds",
)
"""Those that a CPU shows without an NPU beside it."""

CORTEX_A73: Mapping[str, Figure] = {
    "convolution_macs": Figure(
        7e9,
        "MAC/s",
        Origin.FIXED,
        "read off published times from before such convolutions went to the NPU: 6 to 8 GMAC/s",
    ),
    "depthwise_macs": Figure(
        1.8e9,
        "MAC/s",
        Origin.ASSUMED,
        "a quarter of the convolutions': each value is read for one multiplication a tap",
    ),
    "fully_connected_macs": Figure(
        2e9,
        "MAC/s",
        Origin.ASSUMED,
        "a weight a multiplication, from memory: half of the 4 GB/s that the A311D's NPU gets",
    ),
    "computed_bytes": Figure(
        0.6e9,
        "byte/s",
        Origin.ASSUMED,
        "no figure published; LiteRT's 8-bit kernels for additions, tables and poolings",
    ),
    "moved_bytes": Figure(
        2e9, "byte/s", Origin.ASSUMED, "no figure published; half the memory's 4 GB/s, as it copies"
    ),
    "operator_seconds": Figure(
        5e-6, "s", Origin.ASSUMED, "no figure published; LiteRT's interpreter and its threads"
    ),
    "submit_seconds": Figure(
        0.25e-3,
        "s",
        Origin.ASSUMED,
        "half of the 0.5 ms that a one-part inference takes beside the NPU in a published log",
    ),
    "border_bytes": Figure(
        1e9, "byte/s", Origin.ASSUMED, "no figure published; buffers that the CPU does not cache"
    ),
}
"""Four Cortex-A73, as on an A311D."""

DEFAULT_RATES: Final = CpuRates.of(CORTEX_A73, "four Cortex-A73 (A311D)")
