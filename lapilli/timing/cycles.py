"""How long work takes, and what bounds it.

An NN instruction moves bytes over one bus (coefficients, input, output) while its cores apply coded
weights, one row of a tile at a time; a TP instruction moves elements. Each of these has a time; the
longest bounds the instruction, and starting it costs something on top::

    cycles = start-up + max(memory, coefficients, elements)

The constants and where they come from: ``constants``. What is left out, and how well it fits:
docs/timing.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lapilli.timing.constants import TimingConstants
from lapilli.timing.work import Work


class Bound(Enum):
    """What an instruction waits for."""

    MEMORY = "memory"
    COEFFICIENTS = "coefficients"
    TP = "TP"
    START_UP = "start-up"


@dataclass(frozen=True)
class Cycles:
    """The time of each term."""

    memory: int
    coefficients: int
    tp: int
    start_up: int

    @property
    def total(self) -> int:
        """Terms overlap; the start-up does not."""
        return self.start_up + max(self.memory, self.coefficients, self.tp)

    @property
    def bound(self) -> Bound:
        """The longest term; the first one named in ``Bound`` of equal ones."""
        terms = {
            Bound.MEMORY: self.memory,
            Bound.COEFFICIENTS: self.coefficients,
            Bound.TP: self.tp,
            Bound.START_UP: self.start_up,
        }
        return max(terms, key=lambda bound: terms[bound])


@dataclass(frozen=True)
class InstructionTime:
    """One instruction: what it had to do, and how long that takes at ``clock_hz``."""

    work: Work
    cycles: Cycles
    clock_hz: float

    @property
    def bound(self) -> Bound:
        """What it waits for."""
        return self.cycles.bound

    @property
    def total_cycles(self) -> int:
        """All of it."""
        return self.cycles.total

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.cycles.total / self.clock_hz


def charge(work: Work, constants: TimingConstants) -> InstructionTime:
    """The time of an instruction."""
    memory = max(
        work.traffic.total / constants.bus_bytes, work.cached_input / constants.on_chip_bytes
    )
    weight_cycles = float(work.weight_cycles) / constants.multiplier_use
    coefficients = max(
        (
            work.rows * (weights * weight_cycles + tokens * constants.zero_run_cycles)
            for weights, tokens in zip(work.weights, work.zero_tokens, strict=True)
        ),
        default=0.0,
    )
    elements = work.elements * work.busiest / constants.tp_elements
    start = constants.nn_start_cycles if work.unit == "NN" else constants.tp_start_cycles
    cycles = Cycles(
        memory=math.ceil(memory),
        coefficients=math.ceil(coefficients),
        tp=math.ceil(elements),
        start_up=math.ceil(start) if work.first else 0,
    )
    return InstructionTime(work, cycles, constants.clock_hz)


def total_cycles(times: Iterable[InstructionTime]) -> int:
    """Operations run one after another."""
    return sum(time.total_cycles for time in times)
