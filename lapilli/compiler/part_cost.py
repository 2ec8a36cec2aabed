"""What a part costs: on the NPU with all that handing it over takes, and on the CPU.

The NPU's time is that of the reference's tiles over the best schedule's jobs: what the search
finds is no slower, and the answer comes without searching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lapilli.compiler.fusions.registry import fuse
from lapilli.compiler.generations import generation_of
from lapilli.compiler.jobs import NnJob, TpJob
from lapilli.compiler.lower import lower
from lapilli.compiler.options import LoweringOptions
from lapilli.compiler.partition import Partition, cut_out
from lapilli.compiler.realise import realise
from lapilli.compiler.schedule.cost import Costs, deciding_constants
from lapilli.compiler.unsigned import as_unsigned
from lapilli.hw.chips import Chip
from lapilli.model.byte_sizes import byte_size
from lapilli.model.graph import Graph, Operator
from lapilli.model.macs import macs
from lapilli.timing.cpu import CpuRates

MOVES: Final = frozenset(
    {
        "BATCH_TO_SPACE_ND", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "MIRROR_PAD",
        "PACK", "PAD", "PADV2", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip
"""Kinds whose CPU kernels put bytes elsewhere and compute none."""


@dataclass(frozen=True)
class PartCost:
    """Modelled seconds of a part, whose ``operators`` are named by their index in the .tflite.

    ``job_seconds``: its NN and TP jobs, changes of layout among them; ``submit_seconds``;
    ``copy_seconds``: of the tensors that cross its border; ``cpu_seconds``: the same operators on
    the CPU. ``kept``: whether it is on the NPU.
    """

    operators: tuple[int, ...]
    job_seconds: float
    submit_seconds: float
    copy_seconds: float
    cpu_seconds: float
    kept: bool = True

    @property
    def npu_seconds(self) -> float:
        """All that the part takes if it is on the NPU."""
        return self.job_seconds + self.submit_seconds + self.copy_seconds

    @property
    def saved_seconds(self) -> float:
        """What the NPU saves; below 0 if the part does not pay."""
        return self.cpu_seconds - self.npu_seconds

    @property
    def told(self) -> str:
        """In one line for a reader."""
        count = len(self.operators)
        return (
            f"a part of {count} {'operator' if count == 1 else 'operators'}: "
            f"{_ms(self.npu_seconds)} ms on the NPU (jobs {_ms(self.job_seconds)}, submit "
            f"{_ms(self.submit_seconds)}, copies {_ms(self.copy_seconds)}), "
            f"{_ms(self.cpu_seconds)} ms on the CPU"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; times in seconds."""
        return {
            "operators": list(self.operators),
            "on": "NPU" if self.kept else "CPU",
            "npu_seconds": self.npu_seconds,
            "job_seconds": self.job_seconds,
            "submit_seconds": self.submit_seconds,
            "copy_seconds": self.copy_seconds,
            "cpu_seconds": self.cpu_seconds,
        }


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"


@dataclass
class PartCosts:
    """Costs of parts of one graph on one chip, beside a CPU of these ``rates``; lives as long as
    one decision. ``graph``: as the rules see it, with one scale a tensor."""

    graph: Graph
    chip: Chip
    rates: CpuRates
    _known: dict[tuple[int, ...], PartCost] = field(default_factory=dict)

    def of(self, part: Partition) -> PartCost:
        """The cost of a part that the NPU takes."""
        if part.operators not in self._known:
            self._known[part.operators] = self._cost(part)
        return self._known[part.operators]

    def _cost(self, part: Partition) -> PartCost:
        crossing = sum(byte_size(self.graph, t) for t in (*part.inputs, *part.outputs))
        return PartCost(
            tuple(self.graph.operators[i].index for i in part.operators),
            self._job_seconds(part),
            self.rates.submit_seconds,
            crossing / self.rates.border_bytes,
            self.cpu_seconds(part.operators),
        )

    def _job_seconds(self, part: Partition) -> float:
        wishes = LoweringOptions(as_recorded=False)
        cut = cut_out(self.graph, part.operators, part.inputs, part.outputs)
        lowered = lower(fuse(as_unsigned(cut), self.chip).graph, self.chip, wishes)
        costs = Costs(self.chip, deciding_constants(self.chip))
        jobs = realise(lowered, self.chip, wishes).jobs
        cycles = sum(costs.tp(job) if isinstance(job, TpJob) else _nn(job, costs) for job in jobs)
        return cycles / costs.constants.clock_hz

    def cpu_seconds(self, operators: Sequence[int]) -> float:
        """What the CPU takes for operators (positions in ``graph.operators``)."""
        return sum(cpu_seconds(self.graph, self.graph.operators[i], self.rates) for i in operators)


def _nn(job: NnJob, costs: Costs) -> int:
    """Cycles of an NN job with the reference's tiles."""
    generation = generation_of(costs.chip)
    tiling = generation.tiling(job, costs.chip)
    cached = costs.size(job, tiling.superblocks).cached
    return costs.nn(job, tiling, generation.memory(job, costs.chip, tiling, cached))


def cpu_seconds(graph: Graph, operator: Operator, rates: CpuRates) -> float:
    """What a CPU takes for an operator: its multiplications, or the bytes that it reads and
    writes, and to begin and end it."""
    return rates.operator_seconds + _work_seconds(graph, operator, rates)


def _work_seconds(graph: Graph, operator: Operator, rates: CpuRates) -> float:
    work = macs(graph, operator)
    if work:
        if operator.kind == "DEPTHWISE_CONV_2D":
            return work / rates.depthwise_macs
        dense = operator.kind != "FULLY_CONNECTED"
        return work / (rates.convolution_macs if dense else rates.fully_connected_macs)
    touched = sum(
        byte_size(graph, tensor)
        for tensor in (*operator.inputs, *operator.outputs)
        if tensor >= 0 and graph.tensors[tensor].data is None
    )
    moves = operator.kind in MOVES
    return touched / (rates.moved_bytes if moves else rates.computed_bytes)
