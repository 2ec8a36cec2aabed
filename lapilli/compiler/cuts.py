"""Which of the parts that the NPU could take go there: all, or those that pay.

A part pays if it is modelled to take no longer on the NPU, with its submit and with what is copied
in and out, than its operators take on the CPU (``part_cost``). Parts share no cost, so each is
judged alone; what is given up joins the CPU's operators, which can join other cuts, so the rest is
cut and judged again until nothing changes.

The part that saves most, or loses least, always stays: who compiles for an NPU, or hands LiteRT a
delegate, has asked for it, and a model that is one part is cut nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from lapilli.compiler.judge import Broken, Verdict
from lapilli.compiler.part_cost import PartCost, PartCosts
from lapilli.compiler.partition import Partition, partition, readers_of, with_borders
from lapilli.errors import UsageError
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph
from lapilli.timing.cpu import DEFAULT_RATES, CpuRates

FASTEST: Final = "fastest"
ALL: Final = "all"
PARTITIONS: Final = (FASTEST, ALL)
RULE: Final = "partition"
"""The rule of operators whose part does not pay."""
SENTENCE: Final = (
    "An NPU part must be modelled to take no longer than the CPU does (partition=fastest)."
)
REMEDY: Final = "Ask for partition=all, or measure this CPU: lapilli calibrate-cpu."
MIN_RULE: Final = "min_partition"

Cutter = Callable[[Sequence[bool]], Sequence[Sequence[int]]]
"""Which operators (positions) form the parts of those that are marked as the NPU's."""


@dataclass(frozen=True)
class Cuts:
    """What is asked: ``partition`` is ``fastest`` or ``all``, ``min_partition`` how many operators
    a part must have, ``rates`` those of the CPU. UsageError for another partition."""

    partition: str = ALL
    min_partition: int = 1
    rates: CpuRates = DEFAULT_RATES

    def __post_init__(self) -> None:
        if self.partition not in PARTITIONS:
            raise UsageError(f"partition is one of {', '.join(PARTITIONS)}, not {self.partition!r}")


TAKE_ALL: Final = Cuts()


def partition_wish(asked: str | None, schedule: str, strict: bool = False) -> str:
    """``asked``, or what holds where nothing was: all for the reference schedule, which is compared
    with a driver that takes all, and where nothing may stay on the CPU; else the fastest."""
    if asked is not None:
        return asked
    return ALL if strict or schedule == "reference" else FASTEST


@dataclass(frozen=True)
class Choice:
    """What goes to the NPU. ``verdicts``: those given, with operators of parts that are left to the
    CPU refused. ``costs``: of the parts that there would be with ``all``, in order, and whether
    they are kept; none where nothing was weighed."""

    verdicts: tuple[Any, ...]
    costs: tuple[PartCost, ...] = ()


@dataclass
class _Decision:
    """Verdicts as they change, by position."""

    graph: Graph
    verdicts: list[Any]
    cutter: Cutter
    reasons: dict[int, Broken] = field(default_factory=dict)

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """See ``readers_of``."""
        return readers_of(self.graph)

    def parts(self) -> tuple[Partition, ...]:
        """Of what is still the NPU's."""
        marks = [v.supported and i not in self.reasons for i, v in enumerate(self.verdicts)]
        found = self.cutter(marks)
        return tuple(with_borders(self.graph, part, True, self.readers) for part in found)

    def give_up(self, part: Partition, reason: Broken) -> None:
        """Leave a part to the CPU."""
        self.reasons.update(dict.fromkeys(part.operators, reason))

    @property
    def found(self) -> tuple[Any, ...]:
        """The verdicts now."""
        return tuple(
            Verdict.refused(self.graph.operators[i].index, self.reasons[i])
            if i in self.reasons
            else verdict
            for i, verdict in enumerate(self.verdicts)
        )


def choose(
    seen: Graph,
    verdicts: Sequence[Any],
    chip: Chip | None,
    cuts: Cuts = TAKE_ALL,
    cutter: Cutter | None = None,
    weigh: bool = False,
) -> Choice:
    """Decide. ``seen``: the graph as the rules see it; ``verdicts``: one for each of its operators;
    ``chip``: None if nobody can say what parts cost; ``cutter``: the runtime's, if it is asked.
    ``weigh``: find the costs also where nothing depends on them."""
    decision = _Decision(seen, list(verdicts), cutter or _cutter(seen))
    parts = _without_small(decision, cuts.min_partition)
    decides = cuts.partition == FASTEST and len(parts) > 1
    if chip is None or not (decides or weigh):
        return Choice(decision.found)
    costs = PartCosts(seen, chip, cuts.rates)
    candidates = parts
    while decides:
        lost = _losing(parts, costs)
        for part in lost:
            decision.give_up(part, Broken(RULE, SENTENCE, costs.of(part).told, REMEDY))
        parts = decision.parts()
        decides = bool(lost) and len(parts) > 1
    parts = _without_small(decision, cuts.min_partition)
    kept = {i for part in parts for i in part.operators}
    told = [replace(costs.of(part), kept=kept >= set(part.operators)) for part in candidates]
    return Choice(decision.found, tuple(told))


def _cutter(graph: Graph) -> Cutter:
    return lambda marks: [part.operators for part in partition(graph, marks) if part.on_npu]


def _without_small(decision: _Decision, least: int) -> tuple[Partition, ...]:
    """The parts that are left when those of fewer operators than ``least`` are given up."""
    parts = decision.parts()
    while small := [part for part in parts if len(part.operators) < least]:
        for part in small:
            decision.give_up(part, _too_small(part, least))
        # What is given up joins the CPU's operators, which can shift the other cuts: look again.
        parts = decision.parts()
    return parts


def _too_small(part: Partition, least: int) -> Broken:
    return Broken(
        MIN_RULE,
        f"An NPU part must have at least {least} operators (min_partition).",
        f"a part of {len(part.operators)}",
        "Ask for a smaller min_partition.",
    )


def _needs_the_npu(part: Partition, graph: Graph) -> bool:
    """Whether LiteRT may have no kernel for an operator of it, so that the CPU is no choice."""
    return any(graph.operators[i].kind.startswith("CUSTOM:") for i in part.operators)


def _losing(parts: Sequence[Partition], costs: PartCosts) -> list[Partition]:
    """Those that don't pay, but for the best one if none does."""
    lost = [
        part
        for part in parts
        if costs.of(part).saved_seconds < 0 and not _needs_the_npu(part, costs.graph)
    ]
    if len(lost) == len(parts):
        # The first of equal ones, as in the model.
        best = max(range(len(parts)), key=lambda i: (costs.of(parts[i]).saved_seconds, -i))
        lost.remove(parts[best])
    return lost
