"""Why operators stay on the CPU, and what it would bring if a reason went away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapilli.compiler import partition
from lapilli.compiler.verdict import ON_HOST, UNKNOWN, Broken, Verdict
from lapilli.model.graph import Graph
from lapilli.model.macs import macs

MOST_LOOKS = 1 << 20
"""Operators looked at to count parts, a graph's once for each reason: a file can name a custom
operator of its own in each of thousands of operators. Models have a dozen reasons."""


@dataclass(frozen=True)
class Reason:
    """A rule and the operators that break it, by their index in the .tflite.

    ``kind``: of operators that no record is about, whose rule is the same for all. ``alone``: those
    of ``operators`` that break no other rule. ``macs``: theirs. ``parts``: how many parts the NPU
    would have if the reason were gone and the rest as it is, None if that was not counted.
    """

    rule: str
    kind: str
    allowed: str
    operators: tuple[int, ...]
    alone: tuple[int, ...]
    macs: int
    parts: int | None


def reasons(graph: Graph, verdicts: Sequence[Verdict]) -> tuple[Reason, ...]:
    """One for each rule that is broken, in the order in which they first are; ``verdicts`` are in
    the order of the graph's operators. What the delegate does on the host is no reason. Parts are
    counted by going over the whole graph once for each reason: as long as that is no more than
    ``MOST_LOOKS``."""
    breakers: dict[tuple[str, str], list[int]] = {}
    sentences: dict[tuple[str, str], str] = {}
    for position, verdict in enumerate(verdicts):
        for broken in verdict.broken:
            if broken.rule != ON_HOST:
                breakers.setdefault(_key(broken), []).append(position)
                sentences.setdefault(_key(broken), broken.allowed)
    counted = MOST_LOOKS // max(len(verdicts), 1)
    return tuple(
        _reason(graph, verdicts, key, sentences[key], positions, number < counted)
        for number, (key, positions) in enumerate(breakers.items())
    )


def npu_parts(graph: Graph, on_npu: Sequence[bool]) -> int:
    """How many parts the NPU has with these operators."""
    return sum(part.on_npu for part in partition.partition(graph, on_npu))


def _key(broken: Broken) -> tuple[str, str]:
    return broken.rule, broken.found if broken.rule == UNKNOWN else ""


def _reason(
    graph: Graph,
    verdicts: Sequence[Verdict],
    key: tuple[str, str],
    allowed: str,
    positions: Sequence[int],
    count_parts: bool,
) -> Reason:
    alone = [i for i in positions if all(_key(broken) == key for broken in verdicts[i].broken)]
    parts = None
    if count_parts:
        then = [verdict.supported for verdict in verdicts]
        for i in alone:
            then[i] = True
        parts = npu_parts(graph, then)
    return Reason(
        *key,
        allowed,
        tuple(graph.operators[i].index for i in positions),
        tuple(graph.operators[i].index for i in alone),
        sum(macs(graph, graph.operators[i]) for i in alone),
        parts,
    )
