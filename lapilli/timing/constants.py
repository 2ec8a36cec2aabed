"""Constants of the timing model, one table a chip: value, unit, and where each is known from.

``fixed`` figures are hardware facts or read off tables of sister chips. ``fitted`` ones come from
``benchmarks/calibrate.py``, which fits them to all published figures of the chip together; nothing
here belongs to one model. Sections named in sources are those of the collected figures described in
docs/timing.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip


class Origin(Enum):
    """How a figure came to be."""

    FIXED = "fixed"
    FITTED = "fitted"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class Figure:
    """One constant of one chip."""

    value: float
    unit: str
    origin: Origin
    source: str


@dataclass(frozen=True)
class TimingConstants:
    """The figures the model computes with.

    ``clock_hz``: cycles of NN cores, TPs and bus a second.
    ``bus_bytes``: bytes a cycle of all traffic beyond the on-chip memory, reads and writes summed.
    ``on_chip_bytes``: bytes a cycle that the NN cores read of an input image cached on chip.
    ``multiplier_use``: share of the cycles in which a core's multipliers get a weight.
    ``zero_run_cycles``: what a core takes for a token that codes nothing but zero points, for each
    row of pixels that it is applied to.
    ``tp_elements``: elements a TP core moves a cycle.
    ``nn_start_cycles``, ``tp_start_cycles``: from one operation's end to the next one's first work.
    """

    clock_hz: float
    bus_bytes: float
    on_chip_bytes: float
    multiplier_use: float
    zero_run_cycles: float
    tp_elements: float
    nn_start_cycles: float
    tp_start_cycles: float

    @classmethod
    def of(cls, table: Mapping[str, Figure]) -> TimingConstants:
        """The values of a table, which must hold every constant."""
        return cls(**{field.name: table[field.name].value for field in fields(cls)})


_START = "10 us: between the 4-6 us of an RK1808's smallest operations and the 14 us an operation "
_START += "takes with everything on an i.MX 8M Plus (2e)"

A311D: Mapping[str, Figure] = {
    "clock_hz": Figure(
        800e6, "1/s", Origin.FIXED, "kernel patch of 2023; counters give 790 to 801 MHz (2c)"
    ),
    "bus_bytes": Figure(
        5.27,
        "byte/cycle",
        Origin.FITTED,
        "calibrate.py; counters of InceptionV3 give 5.1 to 5.4, which is 4.07 to 4.29 GB/s (3a)",
    ),
    "on_chip_bytes": Figure(
        16, "byte/cycle", Origin.FIXED, "feature database: VIP SRAM, equivalent width (2a)"
    ),
    "multiplier_use": Figure(
        0.79,
        "share",
        Origin.FIXED,
        "RK1808 1x1 layers: 0.42 cycles a weight and row where 1/3 is the peak (3b)",
    ),
    "zero_run_cycles": Figure(
        0.75, "cycle/(token row)", Origin.FIXED, "RK1808 depthwise layers, 14 wide (3b)"
    ),
    "tp_elements": Figure(
        1, "element/(cycle core)", Origin.FIXED, "VS680: 0.98 to 0.99 in a transpose (2e, 3e)"
    ),
    "nn_start_cycles": Figure(8000, "cycle", Origin.FIXED, _START),
    "tp_start_cycles": Figure(8000, "cycle", Origin.FIXED, "as for the NN unit"),
}
"""A311D at 800 MHz."""

IMX8MP: Mapping[str, Figure] = {
    "clock_hz": Figure(
        1000e6, "1/s", Origin.FIXED, "kernel tables, overdrive; nominal is 800 MHz (2c)"
    ),
    "bus_bytes": Figure(
        4.22,
        "byte/cycle",
        Origin.ASSUMED,
        "no figure exists: the A311D's bytes a second; AXI width and latency hiding are equal (2a)",
    ),
    "on_chip_bytes": Figure(
        16, "byte/cycle", Origin.FIXED, "feature database: 32 bytes at half the clock (2a)"
    ),
    "multiplier_use": Figure(
        0.79, "share", Origin.ASSUMED, "no figure exists: the A311D's; an A733 (V8) reaches 0.87"
    ),
    "zero_run_cycles": Figure(
        0.75, "cycle/(token row)", Origin.ASSUMED, "not met: V8's streams have no zero runs"
    ),
    "tp_elements": Figure(
        1, "element/(cycle core)", Origin.FIXED, "VS680: 0.98 to 0.99 in a transpose (2e, 3e)"
    ),
    "nn_start_cycles": Figure(
        10000, "cycle", Origin.FIXED, "10 us; at most 14 us with everything (2e)"
    ),
    "tp_start_cycles": Figure(10000, "cycle", Origin.FIXED, "as for the NN unit"),
}
"""i.MX 8M Plus; no time of a known stream has been published, so nothing could be checked."""

TABLES: Mapping[str, Mapping[str, Figure]] = {
    "a311d": A311D,
    "imx8mp": IMX8MP,
    "imx8mp-a0": IMX8MP,
}
"""By name of the chip."""


def constants_of(chip: Chip) -> TimingConstants:
    """The constants of a chip; raises Unsupported if it has no table."""
    if chip.name not in TABLES:
        known = ", ".join(TABLES)
        raise Unsupported(f"no timing constants are known for {chip.name}; known: {known}")
    return TimingConstants.of(TABLES[chip.name])
