"""NPU against CPU, operator by operator: what differs, and where it starts.

Two questions, two runs. *Alone*: each NPU operator is compiled by itself and gets the CPU's values
as inputs, so what differs is its own doing. *Accumulated*: the whole model runs through the
delegate as an application would run it, so differences travel; every tensor inside a partition is
made an output of the partition, to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lapilli.answers.inputs import blaming_made_up, random_inputs
from lapilli.compiler.blocking import blocking
from lapilli.compiler.cuts import ALL, Cuts, choose
from lapilli.compiler.per_channel import FAST_WAY, PerChannel, as_if_one_scale
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, SearchOptions
from lapilli.compiler.stages import (
    DEFAULT_OPTIONS,
    CompileOptions,
    compile_part,
    prepare,
    schedule_named,
)
from lapilli.compiler.units.report import Loss
from lapilli.compiler.verdict import fused, judge_all, with_host
from lapilli.cpu_rates import cuts_of
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.diff import interpreters
from lapilli.diff.backends import Repeater, SeenNpu
from lapilli.diff.interpreters import REFERENCES, YARDSTICKS, TensorValues
from lapilli.diff.records import Diff, Layer, Reference
from lapilli.diff.statistics import Difference, difference, total
from lapilli.diff.verdict import Answer, answer_of
from lapilli.errors import (
    DeviceError,
    ModelError,
    NothingForTheNpu,
    Unsupported,
    UsageError,
)
from lapilli.hw.chips import Chip
from lapilli.litert import runtime as litert
from lapilli.litert.backend import positions_of
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import Graph, Operator, Tensor, Values
from lapilli.model.rewriting import rewritten
from lapilli.program.device import Device

_HANDLES: Final = ("resource", "variant")
"""Types of tensors that name something the runtime keeps."""


def diff(
    model: str | Path | bytes,
    device: str | Device = "emulator:a311d",
    inputs: Sequence[Values] | None = None,
    *,
    schedule: str = "best",
    search: SearchOptions = DEFAULT_SEARCH,
    reference: str = "xnnpack",
    tolerance: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    per_channel: PerChannel = FAST_WAY,
    name: str = "model",
    partition: str = ALL,
) -> Diff:
    """Compare every operator of a .tflite file, or its bytes, on ``device`` with LiteRT's CPU.

    ``name``: of a model that is given as bytes. ``inputs``: one array for each graph input, by
    default ``random_inputs(graph, seed)``. ``progress`` is called with (steps done, steps in all).
    A model with per-channel weights is compared as the per-tensor model that the NPU computes in
    its place; what that rounding costs is the result's ``loss``. ``partition``: by default all that
    the NPU can take is compared, whether it pays or not. Raises UsageError for an unknown
    schedule or reference, ModelError for a model that is invalid or has nothing for the NPU,
    Unsupported if the runtime can't keep XNNPACK's tensors, and the device's errors.
    """
    content = model if isinstance(model, bytes) else tflite.read_file(model)
    name = name if isinstance(model, bytes) else Path(model).name
    graph = tflite.parse(content, name)
    schedule_named(schedule)
    cuts = cuts_of(partition, schedule)
    if reference not in REFERENCES:
        raise UsageError(f"unknown reference {reference!r}; known: {', '.join(REFERENCES)}")
    opened = open_device(device) if isinstance(device, str) else device
    try:
        content, graph, loss = _as_computed(content, graph, opened.chip, per_channel, cuts)
        run = _Comparison(
            content, graph, opened, schedule, search, reference, cuts, loss is not None
        )
        given = random_inputs(graph, seed) if inputs is None else inputs
        with blaming_made_up(graph, inputs is None):
            layers = run.layers(given, progress or (lambda done, steps: None))
            yardstick = run.yardstick(given)
        return Diff(
            name,
            opened.name,
            schedule,
            run.reference,
            tolerance,
            len(graph.operators),
            layers,
            yardstick,
            loss,
            run.blocking,
            run.answer,
        )
    finally:
        if isinstance(device, str):
            opened.close()


def _as_computed(
    content: bytes, graph: Graph, chip: Chip, per_channel: PerChannel, cuts: Cuts
) -> tuple[bytes, Graph, Loss | None]:
    """The model with one scale for each layer on the NPU, and what that costs; as it is, if
    nothing can be done or nothing is to be done."""
    if per_channel.seen(graph) is graph:
        return content, graph, None
    options = CompileOptions(postprocess=False, per_channel=per_channel, cuts=cuts)
    with suppress(ModelError):
        prepared = prepare(graph, chip, options)
        if prepared.loss is not None:
            content = rewritten(content, prepared.graph)
            return content, tflite.parse(content, graph.name), prepared.loss
    return content, graph, None


class _Comparison:
    """A model on one device and on the CPU."""

    def __init__(
        self,
        content: bytes,
        graph: Graph,
        device: Device,
        schedule: str,
        search: SearchOptions,
        reference: str,
        cuts: Cuts,
        rounded: bool = False,
    ) -> None:
        self._search = search.check(device.chip)
        self.content, self.graph, self.device, self.schedule = content, graph, device, schedule
        self._cuts = cuts
        # A layer that was given a few scales has them in runs, a job each.
        judged = judge_all(as_if_one_scale(graph) if rounded else graph, device.chip)
        self.verdicts = choose(graph, judged, device.chip, cuts).verdicts
        self.fused = fused(graph, device.chip)
        self.blocking = blocking(graph, with_host(graph, self.verdicts))
        if not any(verdict.supported for verdict in self.verdicts):
            raise NothingForTheNpu(
                f"{graph.name}: the NPU takes none of its {len(self.verdicts)} operators, so there "
                f"is nothing to compare. {self.blocking.reason if self.blocking else ''}".rstrip()
            )
        self.answer: Answer | None = None
        self._kernels = reference
        self._made = _with_values(graph)
        self._cpu, count = self._kept(reference)
        self.reference = Reference(
            reference, REFERENCES[reference], litert.runtime_version(), count
        )

    def _kept(self, reference: str) -> tuple[Any, int | None]:
        """An interpreter without the NPU that keeps all tensors, and how many operators XNNPACK has
        in it; Unsupported if the runtime keeps tensors only without XNNPACK."""
        name = self.graph.name
        interpreter = interpreters.build(self.content, name, reference, keep=True)
        if reference != "xnnpack":
            return interpreter, None
        count = interpreters.delegated(interpreter)
        if not count and interpreters.delegated(
            interpreters.build(self.content, name, reference, keep=False)
        ):
            raise Unsupported(
                f"{litert.runtime_version()} doesn't show what XNNPACK computes inside a model; "
                "compare with the builtin kernels (--reference builtin), or install "
                "ai-edge-litert 1.1 or later"
            )
        return interpreter, min(count, len(self.graph.operators))

    def yardstick(self, inputs: Sequence[Values]) -> Difference | None:
        """Other CPU kernels against the reference, which has run ``inputs``, over the same tensors
        as the NPU."""
        try:
            other, _ = self._kept(YARDSTICKS[self._kernels])
        except Unsupported:
            return None
        interpreters.invoke(other, inputs, self.graph.name)
        pair = [interpreters.results(interpreter, self._made) for interpreter in (other, self._cpu)]
        found = [_compare(pair[0], pair[1], self.graph.tensors[t]) for t in self._made]
        return total([each for each in found if each is not None])

    def layers(
        self, inputs: Sequence[Values], progress: Callable[[int, int], None]
    ) -> tuple[Layer, ...]:
        """All of it, for one set of inputs."""
        graph = self.graph
        steps = sum(verdict.supported for verdict in self.verdicts) + 2
        progress(0, steps)
        interpreters.invoke(self._cpu, inputs, graph.name)
        cpu = interpreters.results(self._cpu, dict.fromkeys((*graph.inputs, *self._made)))
        progress(1, steps)
        npu, parts = self._accumulated(inputs)
        progress(2, steps)
        self.answer = answer_of(graph, {**npu, **_given(graph, cpu)}, cpu)
        layers: list[Layer] = []
        done = 2
        for operator in graph.operators:
            part = next((n for n, p in enumerate(parts) if operator.index in p), None)
            alone: TensorValues = {}
            if part is not None:
                alone = self._alone(operator, cpu)
                done += 1
                progress(done, steps)
            layers += self._layers_of(operator, part, cpu, alone, npu)
        return tuple(layers)

    def _layers_of(
        self,
        operator: Operator,
        part: int | None,
        cpu: Mapping[int, Values],
        alone: Mapping[int, Values],
        npu: Mapping[int, Values],
    ) -> list[Layer]:
        """One for each output."""
        found = []
        for index in (t for t in operator.outputs if t >= 0):
            tensor, name = self.graph.tensors[index], (operator.index, operator.kind)
            if part is not None and index in self.fused.gone:
                one_with = self.fused.together(operator.index)
                found.append(Layer(*name, tensor, part, None, None, one_with))
            else:
                own, travelled = (_compare(values, cpu, tensor) for values in (alone, npu))
                found.append(Layer(*name, tensor, part, own, travelled))
        return found

    def _alone(self, operator: Operator, cpu: Mapping[int, Values]) -> TensorValues:
        """One operator's outputs from the CPU's inputs."""
        options = DEFAULT_OPTIONS.searched(self._search)
        together = positions_of(self.graph, self.fused.together(operator.index))
        part = compile_part(self.graph, together, self.device.chip, self.schedule, options=options)
        try:
            needed = {b.tensor: cpu[b.tensor] for b in part.inputs}
        except KeyError as error:
            raise ModelError(
                f"{self.graph.name}: LiteRT gives no values of tensor {error.args[0]}, an input of "
                f"operator {operator.index} {operator.kind}"
            ) from error
        with LoadedPart(self.device, part) as loaded:
            return {**loaded.run(needed)}

    def _accumulated(
        self, inputs: Sequence[Values]
    ) -> tuple[TensorValues, tuple[tuple[int, ...], ...]]:
        """Every operator's outputs when errors travel; the operators of each NPU partition."""
        name = self.graph.name
        npu = SeenNpu(self.device, self.schedule, self._search, self.fused.gone)
        delegate = Delegate(postprocess=False, partition=self._cuts.partition, _backend=npu)
        try:
            interpreter = interpreters.build(self.content, name, self._kernels, False, delegate)
            parts = delegate.partitions
            if not parts:
                raise DeviceError(f"{name}: LiteRT gave the NPU none of the operators it takes")
            interpreters.invoke(interpreter, inputs, name, delegate)
            del interpreter
        finally:
            delegate.close()
        values = dict(npu.values)
        wanted = [tensor for tensor in self._made if tensor not in self.fused.gone]
        if len(values) < len(wanted):
            repeater = Delegate(
                postprocess=False, _backend=Repeater(self.graph, self.verdicts, values)
            )
            interpreter = interpreters.build(self.content, name, self._kernels, True, repeater)
            interpreters.invoke(interpreter, inputs, name, repeater)
            values.update(interpreters.results(interpreter, [t for t in wanted if t not in values]))
        return values, parts


def _given(graph: Graph, values: Mapping[int, Values]) -> TensorValues:
    """The inputs, which may be outputs, too."""
    return {index: values[index] for index in graph.inputs if index in values}


def _with_values(graph: Graph) -> tuple[int, ...]:
    """Tensors that operators make, once each; not handles of variables, for whose values LiteRT's
    interpreter reads where there are none."""
    made = dict.fromkeys(t for operator in graph.operators for t in operator.outputs if t >= 0)
    return tuple(t for t in made if graph.tensors[t].dtype not in _HANDLES)


def _compare(
    found: Mapping[int, Values], cpu: Mapping[int, Values], tensor: Tensor
) -> Difference | None:
    """The difference in one tensor, None if a side has no values or they can't be compared."""
    ours, theirs = found.get(tensor.index), cpu.get(tensor.index)
    if ours is None or theirs is None or theirs.dtype.kind not in "iubf":
        return None
    if ours.shape != theirs.shape:
        return None  # of a shape that depends on values
    return difference(ours.astype(theirs.dtype), theirs, tensor.quantization)
