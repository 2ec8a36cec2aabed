"""Whether the NPU takes an operator, and if not, why not and what to do about it: the rules asked.

They lie with the operators (``operators/``); ``docs/operators.md`` is generated from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lapilli.compiler.operators.not_taken import REMEDIES
from lapilli.compiler.operators.record import Case, Rule, relied_on
from lapilli.compiler.operators.registry import BY_KIND, record_of
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator

_REMEDY = "Remedy: "
UNKNOWN: Final = "operator"
"""The rule of operators that no record is about."""


@dataclass(frozen=True)
class Broken:
    """A rule that an operator breaks: its name, what it allows, what was found instead, and what a
    user can do, where something is known."""

    rule: str
    allowed: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the NPU takes an operator; if not, the first rule it breaks and what was found.

    ``broken``: every rule that it is known to break; not those that could not be asked any more.
    ``folded_into``: the operator whose jobs do its work, if it has none of its own (``fusions``).
    """

    operator: int
    supported: bool
    rule: str = ""
    allowed: str = ""
    found: str = ""
    remedy: str = ""
    broken: tuple[Broken, ...] = ()
    folded_into: int | None = None

    @classmethod
    def refused(cls, operator: int, *broken: Broken) -> Verdict:
        """For an operator that breaks these rules, one or more."""
        first = broken[0]
        told = (first.rule, first.allowed, first.found, first.remedy)
        return cls(operator, False, *told, broken)

    @property
    def reason(self) -> str:
        """One line for a reader; empty if supported."""
        return "" if self.supported else f"{self.allowed} Found: {self.found}."


def sentence(rule: Rule) -> str:
    """What must hold, in one line."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[0].split())


def remedy_of(rule: Rule) -> str:
    """What a user can do where it does not, in one line; empty if nothing is known."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[2].split())


def judge(graph: Graph, operator: Operator, chip: Chip, more: Sequence[Rule] = ()) -> Verdict:
    """The verdict on one operator: the rules it breaks, if any. ``more``: rules that hold for this
    compilation on top. The graph's int8 tensors are seen as bytes already (``unsigned``)."""
    record = record_of(operator.kind)
    if record is None:
        allowed, remedy = f"The NPU takes {', '.join(BY_KIND)}.", REMEDIES.get(operator.kind, "")
        return Verdict.refused(operator.index, Broken(UNKNOWN, allowed, operator.kind, remedy))
    broken = _broken((*record.rules, *more), Case(graph, operator, chip, record))
    return Verdict.refused(operator.index, *broken) if broken else Verdict(operator.index, True)


def _broken(rules: Sequence[Rule], case: Case) -> list[Broken]:
    """The rules that do not hold; those that rely on such a one, or on one that could not be asked
    itself, are left out."""
    broken: list[Broken] = []
    unsure: list[Rule] = []
    for rule in rules:
        needed = relied_on(rule)
        if unsure and (needed is None or any(other in unsure for other in needed)):
            unsure.append(rule)
            continue
        found = rule(case)
        if found is not None:
            unsure.append(rule)
            broken.append(Broken(rule.__name__, sentence(rule), found, remedy_of(rule)))
    return broken
