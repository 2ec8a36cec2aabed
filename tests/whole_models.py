"""A row of the table of whole models, and in how many parts they are to be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from structures import STRUCTURES

AIMS = (
    (r"mobilenet_v[12]", 1),
    (r"mobiledet", 1),
    # MLPerf Tiny: key words, anomalies, wake words in pictures and in streams, images.
    (r"kws_ref|ToyCar|vww_96|str_ww_ref|pretrainedResnet", 1),
    (f"^({'|'.join(map(re.escape, STRUCTURES))})$", 2),
)
"""Names of models, and in how many parts they are to be at most."""
WHOLE = 0.99
"""Share of the multiplications that these parts must have."""


@dataclass(frozen=True)
class Row:
    """A model on a chip. ``parts``: with ``fastest``, ``all_parts``: with ``all``; ``border_bytes``
    and times (of an inference, milliseconds) with ``fastest``. ``steps``: the most that an operator
    alone is off, None if nothing was run. ``left``: kinds or rules that keep most operators from
    the NPU, with their numbers. ``problem``: why there is no more."""

    model: str
    operators: int = 0
    on_npu: int = 0
    mac_share: float = 0.0
    parts: int = 0
    all_parts: int = 0
    border_bytes: int = 0
    npu_ms: float = 0.0
    total_ms: float = 0.0
    steps: int | None = None
    left: str = ""
    problem: str = ""

    @property
    def aim(self) -> int | None:
        """In how many parts it is to be at most."""
        return next((most for name, most in AIMS if re.search(name, self.model)), None)

    @property
    def missed(self) -> bool:
        """In more parts than that, or some of its multiplications are not in them."""
        if self.aim is None:
            return False
        return not 0 < self.parts <= self.aim or self.mac_share < WHOLE


HEAD = (
    "| model | operators on the NPU | MACs | parts: fastest (all) | over borders | NPU, ms | "
    "inference, ms | off by | on the CPU, most first |\n|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """A row of the table."""
    if row.problem:
        return f"| {row.model} | - | - | - | - | - | - | - | {row.problem.replace('|', ' ')} |"
    aim = "" if row.aim is None else f", aim {row.aim}{': missed' if row.missed else ''}"
    steps = "-" if row.steps is None else f"{row.steps}"
    share = f"{100 * row.mac_share:.1f} %"
    return (
        f"| {row.model} | {row.on_npu} of {row.operators} | {share} | "
        f"{row.parts} ({row.all_parts}){aim} | {row.border_bytes / 1024:,.1f} KiB | "
        f"{row.npu_ms:.2f} | {row.total_ms:.2f} | {steps} | {row.left} |"
    )
