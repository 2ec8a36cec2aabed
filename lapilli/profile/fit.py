"""Whether a model fits the NPUs, and how fast it would be: nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lapilli.cache.programs import program_of, store_for
from lapilli.cache.store import Store
from lapilli.cache.units import keeper
from lapilli.compiler import stages as compiler
from lapilli.compiler.blocking import Blocking, BlockingRule, blocking
from lapilli.compiler.cuts import Cuts
from lapilli.compiler.explanation import Explanation, explain
from lapilli.compiler.per_channel import FAST_WAY, PerChannel
from lapilli.compiler.reasons import Reason
from lapilli.compiler.units.report import Loss
from lapilli.cpu_rates import cuts_of
from lapilli.hw.chips import CHIPS, Chip
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.input_shapes import Shapes
from lapilli.profile.assemble import Subject, profile_graph
from lapilli.profile.host_work import host_work
from lapilli.profile.rows import totals
from lapilli.program.program import Program
from lapilli.timing.constants import TABLES
from lapilli.timing.evidence import TimingEvidence, evidence_of
from lapilli.timing.host import HostConstants, HostWork, host_seconds

SCHEMA: Final = "lapilli-fit"
SCHEMA_VERSION: Final = 1
"""Goes up whenever a key changes its meaning or goes away."""
WHOLE: Final = 0.95
PART: Final = 0.05
"""Shares of the multiplications from which a model fits, and from which it fits in part."""


def cpu_seconds_of(macs: int) -> float:
    """What multiplications that come back from the CPU are modelled to take there."""
    constants = HostConstants()
    return host_seconds(HostWork(macs), constants) - host_seconds(HostWork(), constants)


@dataclass(frozen=True)
class Memory:
    """Bytes of a program's buffers: ``tensors``, ``coefficients``, and all together with
    instructions and command streams."""

    tensors: int
    coefficients: int
    total: int


@dataclass(frozen=True)
class ChipFit:
    """A model on one chip.

    ``npu_seconds`` and ``host_seconds``: modelled; ``by_bound``: cycles by what they wait for;
    ``blocking``: what stays on the CPU and why, None if nothing does.
    """

    chip: str
    description: str
    explanation: Explanation
    blocking: Blocking | None
    npu_seconds: float
    host_seconds: float
    by_bound: tuple[tuple[str, int], ...]
    memory: Memory
    evidence: TimingEvidence

    @property
    def seconds(self) -> float:
        """Of a whole inference, modelled."""
        return self.npu_seconds + self.host_seconds

    @property
    def span(self) -> tuple[float, float]:
        """The shortest and longest inference that this may mean, seconds."""
        return self.evidence.span(self.seconds)

    @property
    def verdict(self) -> str:
        """``fits``, ``fits in part`` or ``does not fit``, by multiplications, or by operators if
        there are none."""
        e = self.explanation
        share = e.mac_share if e.macs else e.on_npu / max(len(e.operators), 1)
        return "fits" if share >= WHOLE else "fits in part" if share >= PART else "does not fit"

    def gain(self, rule: BlockingRule) -> Reason:
        """What it would bring if a rule of ``blocking`` were gone and the rest as it is."""
        return self._by_rule[rule.rule, rule.kind]

    @cached_property
    def _by_rule(self) -> dict[tuple[str, str], Reason]:
        return {(reason.rule, reason.kind): reason for reason in self.explanation.reasons}

    def _reason(self, rule: BlockingRule) -> dict[str, Any]:
        gain = self.gain(rule)
        return rule.to_dict() | {
            "alone": list(gain.alone),
            "macs_alone": gain.macs,
            "npu_parts": gain.parts,
            "host_seconds_saved": cpu_seconds_of(gain.macs),
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; times in seconds, memory in bytes."""
        e, (low, high) = self.explanation, self.span
        return {
            "chip": self.chip,
            "verdict": self.verdict,
            "operators_on_npu": e.on_npu,
            "macs_on_npu": e.macs_on_npu,
            "mac_share_on_npu": e.mac_share,
            "npu_parts": e.npu_parts,
            "npu_seconds": self.npu_seconds,
            "host_seconds": self.host_seconds,
            "inference_seconds": self.seconds,
            "inference_seconds_low": low,
            "inference_seconds_high": high,
            "frames_a_second": 1 / self.seconds,
            "frames_a_second_low": 1 / high,
            "frames_a_second_high": 1 / low,
            "cycles_by_bound": dict(self.by_bound),
            "memory_bytes": self.memory.total,
            "tensor_bytes": self.memory.tensors,
            "coefficient_bytes": self.memory.coefficients,
            "reasons": [self._reason(rule) for rule in self.blocking.rules]
            if self.blocking
            else [],
            "evidence": self.evidence.to_dict(),
        }


@dataclass(frozen=True)
class Fit:
    """A model on several chips. ``loss``: what becomes of per-channel weights on the NPU, None if
    it has none there; ``note``: why such layers stay on the CPU, if they do."""

    model: str
    operators: int
    macs: int
    chips: tuple[ChipFit, ...]
    loss: Loss | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """The object ``lapilli fit --json`` prints."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "operators": self.operators,
            "macs": self.macs,
            "chips": [chip.to_dict() for chip in self.chips],
            "per_channel": self.loss.to_dict() if self.loss else None,
            "note": self.note or None,
        }


def timed_chips() -> tuple[Chip, ...]:
    """Those with timing constants; of those that differ in their identity alone, the first."""
    return tuple(
        chip for chip in CHIPS if chip.name in TABLES and TABLES[chip.name] not in _before(chip)
    )


def _before(chip: Chip) -> list[Any]:
    names = [other.name for other in CHIPS]
    return [TABLES.get(name) for name in names[: names.index(chip.name)]]


def fit_file(
    model: str | Path,
    chips: Sequence[Chip] = (),
    shapes: Shapes | None = None,
    cache: bool = True,
    cuts: Cuts | None = None,
) -> Fit:
    """The fit of a .tflite file on ``chips``, by default all that have times, cut by ``cuts``, by
    default as compile does. Raises ModelError."""
    data = tflite.read_file(model, shapes)
    graph = tflite.parse(data, Path(model).name, source=str(model))
    return fit_graph(
        graph, tflite.digest(data), chips or timed_chips(), FAST_WAY, store_for(cache), cuts
    )


def fit_graph(
    graph: Graph,
    model_digest: str,
    chips: Sequence[Chip],
    per_channel: PerChannel = FAST_WAY,
    store: Store | None = None,
    cuts: Cuts | None = None,
) -> Fit:
    """See ``fit_file``. Raises Unsupported for a chip without timing constants."""
    wish = cuts_of(None, "best") if cuts is None else cuts
    found = tuple(_on(graph, model_digest, chip, per_channel, store, wish) for chip in chips)
    first = found[0].explanation
    return Fit(graph.name, len(graph.operators), first.macs, found, first.loss, first.note)


def _on(
    graph: Graph,
    digest: str,
    chip: Chip,
    per_channel: PerChannel,
    store: Store | None,
    cuts: Cuts,
) -> ChipFit:
    evidence = evidence_of(chip)
    report = explain(graph, chip, cuts, per_channel, keeper(store, per_channel), weigh=False)
    options = compiler.CompileOptions(per_channel=per_channel, cuts=cuts)
    return fit_explained(graph, digest, chip, report, options, store, evidence)


def fit_explained(
    graph: Graph,
    digest: str,
    chip: Chip,
    report: Explanation,
    options: compiler.CompileOptions,
    store: Store | None,
    evidence: TimingEvidence,
) -> ChipFit:
    """What an explanation lacks: compiled by the best schedule, with the ``options`` that it was
    made with, and timed."""
    verdicts = [line.verdict for line in report.operators]
    work = host_work(graph, [verdict.supported for verdict in verdicts])
    npu, bounds, memory = 0.0, {}, Memory(0, 0, 0)
    if report.on_npu:
        keep = keeper(store, options.per_channel)
        prepared = compiler.prepare(graph, chip, options, keep, verdicts)
        made = program_of(store, graph, chip, "best", digest, options, prepared)
        subject = Subject(graph.name, "model", f"emulator:{chip.name}", "best")
        profile = profile_graph(graph, chip, made.program.parts, subject)
        npu, bounds = profile.npu_seconds, totals(profile)["cycles_by_bound"]
        memory = memory_of(made.program)
    return ChipFit(
        chip.name,
        chip.description,
        report,
        blocking(graph, verdicts),
        npu,
        host_seconds(work, HostConstants()),
        tuple(bounds.items()),
        memory,
        evidence,
    )


def memory_of(program: Program) -> Memory:
    """What a program takes on a device: the buffers of all its parts, which lie there together."""
    jobs = (job for part in program.parts for job in part.jobs)
    return Memory(
        sum(part.memory.taken for part in program.parts if part.memory is not None),
        sum(job.coefficients[1] for job in jobs if job.coefficients is not None),
        sum(
            sum(buffer.size for buffer in part.buffers) + part.commands.nbytes
            for part in program.parts
        ),
    )
