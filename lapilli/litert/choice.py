"""Which operators the delegate takes, for the NPU or for the host."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lapilli.compiler.cuts import Cutter
from lapilli.compiler.units.report import Loss
from lapilli.errors import Unsupported
from lapilli.litert.backend import Verdict, positions_of
from lapilli.litert.runtime_graph import preview
from lapilli.model.graph import Graph
from lapilli.postprocess.plan import Plan, alone, plans

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Chosen:
    """``operators`` (their indices) for the NPU, the verdicts behind that, and the ``graph`` that
    they are compiled from; ``loss`` and ``seconds`` of what became of per-channel weights."""

    graph: Graph
    verdicts: tuple[Verdict, ...]
    operators: list[int]
    loss: Loss | None = None
    seconds: float = 0.0


def for_the_host(
    pointer: Any,
    graph: Graph,
    claimed: Collection[int] = (),
    unsure: Collection[int] = (),
) -> tuple[Plan, ...]:
    """What the host does in place of LiteRT: plans that the runtime would cut out as one piece,
    without the operators ``claimed`` and those that read tensors whose shape is ``unsure``."""
    found = []
    for plan in plans(graph):
        for wanted in (plan, alone(graph, plan)):
            if not set(claimed).isdisjoint(wanted.operators):
                continue
            if not {plan.encodings, plan.scores, plan.anchors}.isdisjoint(unsure):
                continue
            pieces = preview(pointer, wanted.operators)
            if len(pieces) == 1 and set(pieces[0].outputs) <= set(wanted.outputs):
                found.append(wanted)
                break
    return tuple(found)


def supported(graph: Graph, verdicts: Sequence[Verdict]) -> list[int]:
    """Indices of the operators that the NPU can run."""
    return [
        operator.index
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
        if verdict.supported
    ]


def cutter_of(pointer: Any, graph: Graph) -> Cutter:
    """How the runtime cuts the operators (positions in ``graph.operators``) that it is told of."""

    def cut(marks: Sequence[bool]) -> list[tuple[int, ...]]:
        chosen = [o.index for o, mark in zip(graph.operators, marks, strict=True) if mark]
        pieces = preview(pointer, chosen) if chosen else ()
        return [tuple(positions_of(graph, piece.operators)) for piece in pieces]

    return cut


def tell(graph: Graph, verdicts: Sequence[Verdict], taken: Sequence[int], before: int) -> None:
    """Log how much goes to the NPU; as a warning if that is nothing, or less than ``before`` the
    inputs were resized."""
    if taken and len(taken) >= before:
        _log.info("%d of %d operators go to the NPU", len(taken), len(graph.operators))
        return
    why = ""
    for operator, verdict in zip(graph.operators, verdicts, strict=True):
        if not verdict.supported:
            why = f"; operator {operator.index} ({operator.kind}): {verdict.reason}"
            break
    _log.warning(
        "the NPU takes %s of %d operators%s%s",
        len(taken) or "none",
        len(graph.operators),
        f" as the inputs are now, {before} before" if before else "",
        why,
    )


def refuse_leftovers(graph: Graph, verdicts: Sequence[Verdict], taken: Iterable[int]) -> None:
    """For ``strict``: Unsupported that names every operator left to LiteRT, with the reason."""
    done = set(taken)
    left = [
        f"operator {operator.index} ({operator.kind}): {verdict.reason}"
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
        if operator.index not in done
    ]
    if left:
        raise Unsupported(
            f"strict: {len(left)} of {len(graph.operators)} operators would stay on the CPU; "
            + "; ".join(left)
        )
