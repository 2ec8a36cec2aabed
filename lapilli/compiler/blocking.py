"""What keeps most of a model's multiplications from the NPU: one answer for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lapilli.compiler.verdict import ON_HOST, UNKNOWN
from lapilli.model.graph import Graph
from lapilli.model.macs import macs


@dataclass(frozen=True)
class BlockingRule:
    """A rule that operators break. ``kind``: of operators that no rule is about. ``allowed`` and
    ``remedy``: what must hold and what can be done, else empty; ``found``: what was found first.
    ``operators``: their indices in the .tflite; ``alone``: how many of them break no other rule.
    ``macs``: of all of them."""

    rule: str
    kind: str
    allowed: str
    found: str
    remedy: str
    operators: tuple[int, ...]
    alone: int
    macs: int

    @property
    def sentence(self) -> str:
        """What must hold."""
        return f"The NPU takes no {self.kind}." if self.kind else self.allowed

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "rule": self.rule,
            "kind": self.kind or None,
            "allowed": self.sentence,
            "found": self.found or None,
            "remedy": self.remedy or None,
            "operators": list(self.operators),
            "macs": self.macs,
        }


@dataclass(frozen=True)
class Blocking:
    """What stays on the CPU: ``operators`` of ``total``, with ``macs`` of ``total_macs``, and the
    rules behind that, those with most multiplications first."""

    operators: int
    total: int
    macs: int
    total_macs: int
    rules: tuple[BlockingRule, ...]

    @property
    def everything(self) -> bool:
        """Whether nothing is left for the NPU."""
        return self.operators == self.total

    @property
    def share(self) -> float:
        """Of the multiplications, 0 to 1; of the operators if there are none."""
        if self.total_macs:
            return self.macs / self.total_macs
        return self.operators / self.total if self.total else 0.0

    @property
    def amount(self) -> str:
        """As in ``3 of 31 operators, 0.0 % of the MACs``."""
        noun = "operator" if self.total == 1 else "operators"
        share = (
            f", {100 * self.macs / self.total_macs:.1f} % of the MACs" if self.total_macs else ""
        )
        return f"{self.operators} of {self.total} {noun}{share}"

    @property
    def reason(self) -> str:
        """The rule that costs most, who breaks it, and what was found first."""
        if not self.rules:
            return ""
        first = self.rules[0]
        if first.kind:
            return f"{first.sentence[:-1]} ({_numbers(first.operators)})."
        return (
            f"{first.sentence} Broken by {_numbers(first.operators)}. Found first: {first.found}."
        )

    def to_dict(self) -> dict[str, Any]:
        """The field ``blocking`` of JSON reports."""
        return {
            "operators": self.operators,
            "macs": self.macs,
            "mac_share": self.macs / self.total_macs if self.total_macs else 0.0,
            "rules": [rule.to_dict() for rule in self.rules],
        }


def blocking(graph: Graph, verdicts: Sequence[Any]) -> Blocking | None:
    """None if nothing is left to the CPU. ``verdicts``: one for each operator of the graph, with
    ``supported``, ``rule`` and ``broken``; what the delegate does on the host does not count."""
    found: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    left = []
    for position, verdict in enumerate(verdicts):
        if verdict.supported or getattr(verdict, "rule", "") == ON_HOST:
            continue
        left.append(position)
        for broken in getattr(verdict, "broken", ()):
            kind = broken.found if broken.rule == UNKNOWN else ""
            found.setdefault((broken.rule, kind), []).append((position, broken))
    if not left:
        return None
    work = [macs(graph, operator) for operator in graph.operators]
    rules = [_rule(graph, verdicts, work, key, broken) for key, broken in found.items()]
    # Equal ones stay in the order in which they are broken first: a rule stands before those that
    # rely on it.
    rules.sort(key=lambda rule: (-rule.macs, -rule.alone, -len(rule.operators)))
    return Blocking(len(left), len(verdicts), sum(work[i] for i in left), sum(work), tuple(rules))


def _rule(
    graph: Graph,
    verdicts: Sequence[Any],
    work: Sequence[int],
    key: tuple[str, str],
    broken: Sequence[tuple[int, Any]],
) -> BlockingRule:
    rule, kind = key
    first = broken[0][1]
    return BlockingRule(
        rule,
        kind,
        first.allowed,
        "" if kind else first.found,
        next((each.remedy for _, each in broken if each.remedy), ""),
        tuple(graph.operators[i].index for i, _ in broken),
        sum(len(verdicts[i].broken) == 1 for i, _ in broken),
        sum(work[i] for i, _ in broken),
    )


def _numbers(operators: Sequence[int]) -> str:
    """As in ``operator 3`` and ``52 operators, the first 3``."""
    if len(operators) == 1:
        return f"operator {operators[0]}"
    return f"{len(operators)} operators, the first {operators[0]}"
