"""Which operators the NPU takes, why not the others, and what that costs: data for a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lapilli.compiler import partition
from lapilli.compiler.blocking import blocking
from lapilli.compiler.cuts import ALL, FASTEST, TAKE_ALL, Cuts, choose
from lapilli.compiler.part_cost import PartCost
from lapilli.compiler.per_channel import FAST_WAY, LEFT_ALONE, PerChannel
from lapilli.compiler.reasons import Reason, reasons
from lapilli.compiler.units.report import Loss
from lapilli.compiler.units.requantise import Requantised
from lapilli.compiler.verdict import Verdict, judge_all, with_host
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip
from lapilli.model.byte_sizes import byte_size
from lapilli.model.graph import Graph, Operator
from lapilli.model.macs import macs


@dataclass(frozen=True)
class OperatorLine:
    """One operator. ``inputs``: shapes of the tensors that are computed, or of all if none is.
    ``macs``: multiplications with an addition."""

    operator: Operator
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    verdict: Verdict
    macs: int


@dataclass(frozen=True)
class Run:
    """Operators done by one processor without a break; bytes that enter and leave."""

    on_npu: bool
    operators: tuple[int, ...]
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Weighed:
    """Both ways to cut a model. ``asked``: the one that the report is about. ``cpu``: whose rates
    count. ``parts``: all that the NPU can take; those not ``kept`` are the CPU's with ``fastest``.
    """

    asked: str
    cpu: str
    parts: tuple[PartCost, ...]

    @property
    def fastest(self) -> tuple[PartCost, ...]:
        """The parts on the NPU with ``fastest``."""
        return tuple(part for part in self.parts if part.kept)

    @property
    def seconds(self) -> dict[str, float]:
        """Modelled, of all these parts, on the NPU or the CPU, by how they are cut."""
        fastest = sum(p.npu_seconds if p.kept else p.cpu_seconds for p in self.parts)
        return {FASTEST: fastest, ALL: sum(part.npu_seconds for part in self.parts)}

    @property
    def cpu_seconds(self) -> float:
        """Of all these parts on the CPU."""
        return sum(part.cpu_seconds for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; times in seconds."""
        seconds = self.seconds
        return {
            "asked": self.asked,
            "cpu": self.cpu,
            "cpu_seconds": self.cpu_seconds,
            FASTEST: _cut_json(self.fastest, seconds[FASTEST]),
            ALL: _cut_json(self.parts, seconds[ALL]),
            "parts": [part.to_dict() for part in self.parts],
        }


def _cut_json(parts: Sequence[PartCost], seconds: float) -> dict[str, Any]:
    operators = sum(len(part.operators) for part in parts)
    return {"npu_parts": len(parts), "operators_on_npu": operators, "seconds": seconds}


@dataclass(frozen=True)
class Explanation:
    """The whole report. ``loss``: what per-channel weights cost; ``note``: why such layers stay on
    the CPU although the NPU would take them; ``weighed``: what its parts cost."""

    model: str
    chip: str
    operators: tuple[OperatorLine, ...]
    runs: tuple[Run, ...]
    reasons: tuple[Reason, ...]
    loss: Loss | None = None
    note: str = ""
    weighed: Weighed | None = None

    @property
    def on_npu(self) -> int:
        """Number of operators the NPU takes."""
        return sum(line.verdict.supported for line in self.operators)

    @property
    def npu_parts(self) -> int:
        """Number of runs on the NPU, each of which is a submit."""
        return sum(run.on_npu for run in self.runs)

    @property
    def macs(self) -> int:
        """Of all operators."""
        return sum(line.macs for line in self.operators)

    @property
    def macs_on_npu(self) -> int:
        """Of the operators the NPU takes."""
        return sum(line.macs for line in self.operators if line.verdict.supported)

    @property
    def mac_share(self) -> float:
        """Part of the multiplications done on the NPU, 0 to 1; 0 if there are none."""
        return self.macs_on_npu / self.macs if self.macs else 0.0


def explain(
    graph: Graph,
    chip: Chip,
    cuts: Cuts = TAKE_ALL,
    per_channel: PerChannel = FAST_WAY,
    requantise: Callable[[Graph, Sequence[Sequence[int]]], Requantised] | None = None,
    weigh: bool = True,
) -> Explanation:
    """The report on ``graph`` for ``chip``. ``cuts``: which parts are left to the CPU.
    ``requantise``: who sees to per-channel weights, if somebody else knows how. ``weigh``: find
    what both ways to cut cost, whichever was asked for."""
    seen = per_channel.seen(graph)
    judged = with_host(graph, judge_all(seen, chip))
    choice = choose(seen, judged, chip, cuts, weigh=weigh and cuts.partition == FASTEST)
    verdicts = choice.verdicts
    parts = partition.partition(graph, [verdict.supported for verdict in verdicts])
    try:
        done = requantise or per_channel.done
        loss = done(graph, [part.operators for part in parts if part.on_npu]).loss
    except Unsupported as error:
        without = explain(graph, chip, cuts, LEFT_ALONE, weigh=weigh)
        return replace(without, note=f"per-channel weights stay on the CPU: {error}")
    lines = tuple(
        _line(graph, operator, verdict)
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
    )
    runs = tuple(
        Run(
            part.on_npu,
            tuple(graph.operators[i].index for i in part.operators),
            sum(byte_size(graph, tensor) for tensor in part.inputs),
            sum(byte_size(graph, tensor) for tensor in part.outputs),
        )
        for part in parts
    )
    found = Explanation(graph.name, chip.name, lines, runs, _by_cost(graph, verdicts), loss)
    if not weigh:
        return found
    if cuts.partition != FASTEST:
        choice = choose(seen, judged, chip, replace(cuts, partition=FASTEST), weigh=True)
    return replace(found, weighed=Weighed(cuts.partition, cuts.rates.name, choice.costs))


def _by_cost(graph: Graph, verdicts: Sequence[Verdict]) -> tuple[Reason, ...]:
    """The reasons, those with most multiplications first."""
    found = blocking(graph, verdicts)
    rules = found.rules if found is not None else ()
    order = {(rule.rule, rule.kind): number for number, rule in enumerate(rules)}
    return tuple(sorted(reasons(graph, verdicts), key=lambda r: order[r.rule, r.kind]))


def _line(graph: Graph, operator: Operator, verdict: Verdict) -> OperatorLine:
    present = [graph.tensors[i] for i in operator.inputs if i >= 0]
    computed = [tensor for tensor in present if tensor.data is None] or present
    return OperatorLine(
        operator,
        tuple(tensor.shape for tensor in computed),
        tuple(graph.tensors[i].shape for i in operator.outputs if i >= 0),
        verdict,
        macs(graph, operator),
    )


def to_json(explanation: Explanation) -> dict[str, Any]:
    """The object ``lapilli explain --json`` prints.

    ``operators``: one entry each with ``operator`` (index in the .tflite), ``kind``, ``inputs`` and
    ``outputs`` (shapes), ``on`` (``NPU`` or ``CPU``), ``macs``, ``folded_into`` (the operator whose
    jobs do its work, or null), and for the CPU ``rule``,
    ``allowed``, ``found`` and, where one is known, ``remedy``, else null: of the first of the rules
    it breaks, which ``broken`` lists. ``runs``: operators done by one processor without a break, in
    execution order, with the bytes that enter and leave. ``reasons``: each rule that is broken,
    those with most multiplications first, with all ``operators`` that break it. If it were gone,
    those in ``alone``, which break no other, would be on the NPU, with ``macs`` multiplications, in
    ``npu_parts`` parts (null where a model has too many reasons to count). ``partition``: the way
    that was ``asked`` for, what ``fastest`` and ``all`` would be, and what each part that the NPU
    can take costs there and on the CPU. ``summary``: counts.
    """
    e = explanation
    return {
        "model": e.model,
        "chip": e.chip,
        "operators": [_operator_json(line) for line in e.operators],
        "runs": [
            {
                "on": "NPU" if run.on_npu else "CPU",
                "operators": list(run.operators),
                "bytes_in": run.bytes_in,
                "bytes_out": run.bytes_out,
            }
            for run in e.runs
        ],
        "reasons": [_reason_json(reason) for reason in e.reasons],
        "partition": e.weighed.to_dict() if e.weighed else None,
        "summary": {
            "operators": len(e.operators),
            "on_npu": e.on_npu,
            "npu_parts": e.npu_parts,
            "macs": e.macs,
            "macs_on_npu": e.macs_on_npu,
            "mac_share_on_npu": e.mac_share,
        },
    }


def _operator_json(line: OperatorLine) -> dict[str, Any]:
    verdict = line.verdict
    return {
        "operator": line.operator.index,
        "kind": line.operator.kind,
        "inputs": [list(shape) for shape in line.inputs],
        "outputs": [list(shape) for shape in line.outputs],
        "on": "NPU" if verdict.supported else "CPU",
        "macs": line.macs,
        "rule": verdict.rule or None,
        "allowed": verdict.allowed or None,
        "found": verdict.found or None,
        "remedy": verdict.remedy or None,
        "folded_into": verdict.folded_into,
        "broken": [
            {
                "rule": broken.rule,
                "allowed": broken.allowed,
                "found": broken.found,
                "remedy": broken.remedy or None,
            }
            for broken in verdict.broken
        ],
    }


def _reason_json(reason: Reason) -> dict[str, Any]:
    return {
        "rule": reason.rule,
        "kind": reason.kind or None,
        "allowed": reason.allowed,
        "operators": list(reason.operators),
        "alone": list(reason.alone),
        "macs": reason.macs,
        "npu_parts": reason.parts,
    }
