"""A model compiled, run on the emulated NPU and compared with LiteRT on the same bytes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from backbones import MINIATURES
from cases import Case
from further_graphs import FurtherGraph
from numpy.typing import NDArray
from operator_cases import OperatorCase
from random_graphs import RandomGraph, WiredGraph
from table_operators import TableCase

from lapilli.compiler import partition as partitioning
from lapilli.compiler.stages import chip_named, compile_part
from lapilli.compiler.verdict import fused, judge_all
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.program.program import Part

Array: TypeAlias = NDArray[Any]

CHIP = chip_named("a311d")
CHIPS = ("a311d", "imx8mp")
SCHEDULES = ("reference", "best")


@functools.cache
def device(chip: str = CHIP.name) -> EmulatedDevice:
    """One emulator a process: it keeps what it decoded."""
    return EmulatedDevice(chip_named(chip))


@dataclass(frozen=True)
class Outcome:
    """What became of a case under one schedule.

    ``refused``: the rules that keep operators on the CPU; ``worst``: largest difference in output
    steps of an operator; ``unequal`` of ``values`` differ; ``error``: what failed.
    """

    case: str
    schedule: str
    refused: tuple[str, ...] = ()
    error: str = ""
    worst: int = 0
    unequal: int = 0
    values: int = 0
    note: str = ""

    @property
    def right(self) -> bool:
        """Refused with a reason, or run without a difference above 1."""
        return not self.error and self.worst <= 1


def run_litert(model: bytes, inputs: list[Array], reference: bool = False) -> list[Array]:
    """LiteRT's outputs: XNNPACK's, or the reference kernels'."""
    arguments: dict[str, Any] = {"num_threads": 1}
    if reference:
        from ai_edge_litert.interpreter import OpResolverType

        arguments["experimental_op_resolver_type"] = OpResolverType.BUILTIN_REF
    interpreter = litert.interpreter_class()(model_content=model, **arguments)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


@dataclass(frozen=True)
class Difference:
    """See Outcome."""

    worst: int
    unequal: int
    values: int


def compare(found: Array, expected: Array) -> Difference:
    """Found values against expected ones."""
    assert found.shape == expected.shape, f"{found.shape} instead of {expected.shape}"
    difference = np.abs(found.astype(np.int16) - expected.astype(np.int16))
    return Difference(int(difference.max()), int(np.count_nonzero(difference)), found.size)


def compare_all(found: Sequence[Array], expected: Sequence[Array]) -> Difference:
    """Several tensors together."""
    return total([compare(*pair) for pair in zip(found, expected, strict=True)])


def total(differences: Sequence[Difference]) -> Difference:
    """The largest and the sums."""
    return Difference(
        max((d.worst for d in differences), default=0),
        sum(d.unequal for d in differences),
        sum(d.values for d in differences),
    )


def check(
    case: Case | OperatorCase | TableCase | GraphCase,
    schedules: Sequence[str] = SCHEDULES,
    chip: str = CHIP.name,
) -> list[Outcome]:
    """A case under each of the schedules; what is raised becomes an outcome."""
    action = check_graph if isinstance(case, GraphCase) else check_operator
    outcomes = []
    for schedule in schedules:
        try:
            outcomes.append(action(case, schedule, chip))  # type: ignore[arg-type]
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            outcomes.append(Outcome(case.name, schedule, error=text))
    return outcomes


# ------------------------------------------------------------------------------------ one operator


def check_operator(case: Case | OperatorCase | TableCase, schedule: str, chip: str) -> Outcome:
    """The one operator of a case: are all its outputs within 1 of XNNPACK's?"""
    model, inputs = case.model(), case.feed()
    graph = tflite.parse(model, case.name)
    (verdict,) = judge_all(graph, chip_named(chip))
    if not verdict.supported:
        assert verdict.reason
        return Outcome(case.name, schedule, (verdict.rule,), note=verdict.reason)
    expected = _expected(case)
    part = compile_part(graph, [0], chip_named(chip), schedule)
    results = _run(chip, part, dict(zip(graph.inputs, inputs, strict=True)))
    found = [results[tensor] for tensor in graph.outputs]
    difference = compare_all(found, expected)
    note = ""
    if difference.worst > 1:
        reference = run_litert(model, inputs, reference=True)
        note = f"BUILTIN_REF {compare_all(found, reference).worst}, "
        note += f"between that and XNNPACK {compare_all(reference, expected).worst}"
    return Outcome(case.name, schedule, note=note, **asdict(difference))


@functools.lru_cache(1)
def _expected(case: Case | OperatorCase | TableCase) -> list[Array]:
    """The CPU's results, kept for the next schedule."""
    return run_litert(case.model(), case.feed())


def _run(chip: str, part: Part, inputs: Mapping[int, Array]) -> dict[int, Array]:
    with LoadedPart(device(chip), part) as loaded:
        return loaded.run(inputs)


# ------------------------------------------------------------------------------------------ graphs


@dataclass(frozen=True)
class GraphCase:
    """The random graph with number ``seed``; ``further``: one of all kinds of operators;
    ``network``: one of the miniatures instead."""

    seed: int
    further: bool = False
    network: str = ""

    @property
    def name(self) -> str:
        """What a failure is called."""
        return self.network or f"{'further' if self.further else 'graph'}-{self.seed}"

    def graph(self) -> WiredGraph:
        """It."""
        if self.network:
            return MINIATURES[self.network]()
        return FurtherGraph(self.seed) if self.further else RandomGraph(self.seed)


class _Graph:
    """A random graph, its operators on the CPU and its partitions on the emulator."""

    def __init__(self, case: GraphCase, schedule: str, chip: str) -> None:
        self.random = case.graph()
        self.schedule = schedule
        self.chip = chip_named(chip)
        self.model = self.random.model()
        self.graph = tflite.parse(self.model, case.name)
        self.alone = [self.random.alone(i) for i in range(len(self.graph.operators))]
        self.verdicts = judge_all(self.graph, self.chip)
        self.partitions = partitioning.partition(
            self.graph, [verdict.supported for verdict in self.verdicts]
        )
        self.fused = fused(self.graph, self.chip)
        self.gone = self.fused.gone
        self.inputs = dict(zip(self.graph.inputs, self.random.feed(), strict=True))

    @property
    def taken(self) -> list[int]:
        """Operators for the NPU."""
        return [i for i, verdict in enumerate(self.verdicts) if verdict.supported]

    def cpu(self, operator: int, values: Mapping[int, Array]) -> dict[int, Array]:
        """What LiteRT makes of one operator's operands."""
        alone = self.alone[operator]
        found = run_litert(alone.model, [values[tensor] for tensor in alone.operands])
        return dict(zip(self.graph.operators[operator].outputs, found, strict=True))

    def all_on_cpu(self) -> dict[int, Array]:
        """Every tensor, operator by operator."""
        values = dict(self.inputs)
        for i in range(len(self.graph.operators)):
            values.update(self.cpu(i, values))
        return values

    def difference(
        self, i: int, operands: Mapping[int, Array], found: Mapping[int, Array]
    ) -> Difference:
        """Of what operator ``i`` gave from what the CPU makes of the same operands."""
        expected = self.cpu(i, operands)
        return compare_all([found[tensor] for tensor in expected], list(expected.values()))

    def one_by_one(self) -> list[Difference]:
        """Every operator of the NPU as a part of its own, with those that it is one with, on the
        CPU's operands: differences."""
        values = self.all_on_cpu()
        found = []
        for i in self.taken:
            if self.gone.issuperset(self.graph.operators[i].outputs):
                continue
            together = self.fused.together(self.graph.operators[i].index)
            part = compile_part(self.graph, together, self.chip, self.schedule)
            results = _run(self.chip.name, part, {b.tensor: values[b.tensor] for b in part.inputs})
            found.append(self.difference(i, values, results))
        return found

    def in_partitions(self, observed: bool) -> dict[int, Array]:
        """Every tensor with the partitions on the NPU; ``observed``: all that they make comes
        out, and what operators that are done as one don't make the CPU adds; else what is needed
        outside."""
        values = dict(self.inputs)
        for cut in self.partitions:
            if not cut.on_npu:
                for i in cut.operators:
                    values.update(self.cpu(i, values))
                continue
            outputs = cut.outputs
            if observed:
                made = (t for i in cut.operators for t in self.graph.operators[i].outputs)
                outputs = tuple(tensor for tensor in made if tensor not in self.gone)
            part = compile_part(
                self.graph, cut.operators, self.chip, self.schedule, cut.inputs, outputs
            )
            values.update(
                _run(self.chip.name, part, {tensor: values[tensor] for tensor in cut.inputs})
            )
            if observed:
                for i in cut.operators:
                    if self.gone.issuperset(self.graph.operators[i].outputs):
                        values.update(self.cpu(i, values))
        return values

    def against_own_operands(self, values: Mapping[int, Array]) -> list[Difference]:
        """Differences of every operator from what the CPU makes of the operands it really had."""
        return [self.difference(i, values, values) for i in self.taken]

    def by_delegate(self) -> dict[int, Array]:
        """The outputs when stock LiteRT runs the model with the delegate."""
        delegate = Delegate(
            device=f"emulator:{self.chip.name}", schedule=self.schedule, partition="all"
        )
        interpreter = litert.interpreter_class()(
            model_content=self.model, num_threads=1, experimental_delegates=[delegate]
        )
        interpreter.allocate_tensors()
        for detail, values in zip(interpreter.get_input_details(), self.random.feed(), strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        assert sorted(i for part in delegate.partitions for i in part) == self.taken
        details = interpreter.get_output_details()
        found = [interpreter.get_tensor(detail["index"]) for detail in details]
        return dict(zip(self.graph.outputs, found, strict=True))


def refused_operators(cases: Sequence[GraphCase], chip: str) -> tuple[int, Counter[str]]:
    """Operators of some random graphs, and the rules that keep some of them on the CPU."""
    verdicts = []
    for case in cases:
        graph = tflite.parse(case.graph().model(), case.name)
        verdicts += judge_all(graph, chip_named(chip))
    return len(verdicts), Counter(verdict.rule for verdict in verdicts if not verdict.supported)


def check_graph(case: GraphCase, schedule: str, chip: str) -> Outcome:
    """Every operator alone and inside its partition within 1 of the CPU; partitions give the same
    whatever comes out of them, and so does the delegate."""
    graph = _Graph(case, schedule, chip)
    differences = graph.one_by_one()
    observed = graph.in_partitions(observed=True)
    differences += graph.against_own_operands(observed)
    plain, delegated = graph.in_partitions(observed=False), graph.by_delegate()
    problems = [
        f"{what} gives another tensor {tensor}"
        for what, values in (("the partition alone", plain), ("the delegate", delegated))
        for tensor in graph.graph.outputs
        if not np.array_equal(values[tensor], observed[tensor])
    ]
    return Outcome(
        case.name,
        schedule,
        tuple(verdict.rule for verdict in graph.verdicts if not verdict.supported),
        "; ".join(problems),
        **asdict(total(differences)),
    )
