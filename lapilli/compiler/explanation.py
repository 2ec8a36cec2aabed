"""Which operators the NPU takes, why not the others, and what that costs: data for a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lapilli.compiler import partition
from lapilli.compiler.blocking import blocking
from lapilli.compiler.per_channel import FAST_WAY, LEFT_ALONE, PerChannel
from lapilli.compiler.reasons import Reason, reasons
from lapilli.compiler.units.report import Loss
from lapilli.compiler.units.requantise import Requantised
from lapilli.compiler.verdict import Broken, Verdict, judge_all, with_host
from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip
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
class Explanation:
    """The whole report. ``loss``: what per-channel weights cost; ``note``: why such layers stay on
    the CPU although the NPU would take them."""

    model: str
    chip: str
    operators: tuple[OperatorLine, ...]
    runs: tuple[Run, ...]
    reasons: tuple[Reason, ...]
    loss: Loss | None = None
    note: str = ""

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
    min_partition: int = 1,
    per_channel: PerChannel = FAST_WAY,
    requantise: Callable[[Graph, Sequence[Sequence[int]]], Requantised] | None = None,
) -> Explanation:
    """The report on ``graph`` for ``chip``. NPU parts of fewer operators than ``min_partition`` are
    left to the CPU. ``requantise``: who sees to per-channel weights, if somebody else knows how."""
    judged = with_host(graph, judge_all(per_channel.seen(graph), chip))
    verdicts = _without_small_parts(graph, judged, min_partition)
    parts = partition.partition(graph, [verdict.supported for verdict in verdicts])
    try:
        done = requantise or per_channel.done
        loss = done(graph, [part.operators for part in parts if part.on_npu]).loss
    except Unsupported as error:
        without = explain(graph, chip, min_partition, LEFT_ALONE)
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
    return Explanation(graph.name, chip.name, lines, runs, _by_cost(graph, verdicts), loss)


def _by_cost(graph: Graph, verdicts: Sequence[Verdict]) -> tuple[Reason, ...]:
    """The reasons, those with most multiplications first."""
    found = blocking(graph, verdicts)
    rules = found.rules if found is not None else ()
    order = {(rule.rule, rule.kind): number for number, rule in enumerate(rules)}
    return tuple(sorted(reasons(graph, verdicts), key=lambda r: order[r.rule, r.kind]))


def _without_small_parts(
    graph: Graph, verdicts: tuple[Verdict, ...], least: int
) -> tuple[Verdict, ...]:
    """The verdicts, with operators in parts of fewer than ``least`` refused."""
    found = list(verdicts)
    for part in partition.partition(graph, [verdict.supported for verdict in verdicts]):
        if part.on_npu and len(part.operators) < least:
            for i in part.operators:
                small = Broken(
                    "min_partition",
                    f"An NPU part must have at least {least} operators (min_partition).",
                    f"a part of {len(part.operators)}",
                    "Ask for a smaller min_partition.",
                )
                found[i] = Verdict.refused(verdicts[i].operator, small)
    return tuple(found)


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


_ITEM_BYTES = {
    "uint8": 1, "int8": 1, "bool": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


def byte_size(graph: Graph, tensor: int) -> int:
    """Bytes of a tensor; 0 for types of no fixed size."""
    found = graph.tensors[tensor]
    return found.size * _ITEM_BYTES.get(found.dtype, 0)


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
    ``npu_parts`` parts (null where a model has too many reasons to count). ``summary``: counts.
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
