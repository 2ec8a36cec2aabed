"""NPU against CPU, operator by operator: what differs, and where it starts.

Two questions, two runs. *Alone*: each NPU operator is compiled by itself and gets the CPU's values
as inputs, so what differs is its own doing. *Accumulated*: the whole model runs through the
delegate as an application would run it, so differences travel; every tensor inside a partition is
made an output of the partition, to be seen.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.answers.inputs import random_inputs
from lapilli.compiler import support
from lapilli.compiler.stages import compile_part, schedule_named
from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.diff.statistics import Difference, difference, total
from lapilli.errors import DeviceError, ModelError, Unsupported, UsageError
from lapilli.litert import runtime as litert
from lapilli.litert.backend import NpuBackend, Verdict
from lapilli.litert.delegate import Delegate
from lapilli.litert.inference import litert_failure
from lapilli.model import tflite
from lapilli.model.graph import Graph, Operator, Tensor, Values
from lapilli.program.device import Device
from lapilli.program.program import Part

REFERENCES = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "ref": "BUILTIN_REF",
}
"""A reference's name -> LiteRT's name of the operator resolver."""

YARDSTICKS = {"xnnpack": "builtin", "builtin": "xnnpack", "ref": "xnnpack"}
"""Reference -> the CPU kernels it is compared with in turn, to see what is a usual difference."""

_TITLES = {"xnnpack": "XNNPACK", "builtin": "builtin kernels", "ref": "reference kernels"}

ALONE = (
    "each NPU operator compiled by itself and given the CPU's values as inputs: what differs is "
    "its own"
)
ACCUMULATED = (
    "the model run through the delegate, whole partitions at a time, CPU operators by the same "
    "CPU kernels on what the NPU made: differences travel; tensors inside a partition are read as "
    "additional outputs"
)

TensorValues = dict[int, Values]


@dataclass(frozen=True)
class Reference:
    """The CPU side. ``operators`` are done by XNNPACK, the rest by builtin kernels; it is None for
    the other references, which do all."""

    name: str
    resolver: str
    runtime: str
    operators: int | None

    @property
    def title(self) -> str:
        """For a heading, with the runtime's version."""
        return f"{_TITLES[self.name]} of {self.runtime}"


@dataclass(frozen=True)
class Layer:
    """One output of one operator. ``operator`` is its index in the .tflite, ``part`` the number of
    its NPU partition or None on the CPU. A comparison that can't be made is None: ``alone`` of the
    CPU's operators, and tensors whose values the runtime doesn't give."""

    operator: int
    kind: str
    tensor: Tensor
    part: int | None
    alone: Difference | None
    accumulated: Difference | None


@dataclass(frozen=True)
class Diff:
    """The whole report, layers in execution order. ``yardstick``: the same tensors by the CPU
    kernels that ``YARDSTICKS`` names, against the reference, accumulated; None if the runtime can't
    tell."""

    model: str
    device: str
    schedule: str
    reference: Reference
    tolerance: int
    operators: int
    layers: tuple[Layer, ...]
    yardstick: Difference | None

    def first_over(self, alone: bool) -> Layer | None:
        """The first layer whose difference exceeds the tolerance, or None."""
        return next(iter(self.over(alone)), None)

    def over(self, alone: bool) -> tuple[Layer, ...]:
        """All layers that exceed the tolerance."""
        return tuple(
            layer
            for layer in self.layers
            if (found := layer.alone if alone else layer.accumulated) is not None
            and found.exceeds(self.tolerance)
        )

    def total(self, alone: bool) -> Difference:
        """All layers' values together."""
        return total(
            [
                found
                for layer in self.layers
                if (found := layer.alone if alone else layer.accumulated) is not None
            ]
        )


def diff(
    model: str | Path | bytes,
    device: str | Device = "emulator:a311d",
    inputs: Sequence[Values] | None = None,
    *,
    schedule: str = "best",
    reference: str = "xnnpack",
    tolerance: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Diff:
    """Compare every operator of a .tflite file, or its bytes, on ``device`` with LiteRT's CPU.

    ``inputs``: one array for each graph input, by default ``random_inputs(graph, seed)``.
    ``progress`` is called with (steps done, steps in all). Raises UsageError for an unknown
    schedule or reference, ModelError for a model that is invalid or has nothing for the NPU,
    Unsupported if the runtime can't keep XNNPACK's tensors, and the device's errors.
    """
    content, name = (
        (model, "model")
        if isinstance(model, bytes)
        else (tflite.read_file(model), Path(model).name)
    )
    graph = tflite.parse(content, name)
    schedule_named(schedule)
    if reference not in REFERENCES:
        raise UsageError(f"unknown reference {reference!r}; known: {', '.join(REFERENCES)}")
    opened = open_device(device) if isinstance(device, str) else device
    try:
        run = _Comparison(content, graph, opened, schedule, reference)
        given = random_inputs(graph, seed) if inputs is None else inputs
        layers = run.layers(given, progress or (lambda done, steps: None))
        return Diff(
            name,
            opened.name,
            schedule,
            run.reference,
            tolerance,
            len(graph.operators),
            layers,
            run.yardstick(given),
        )
    finally:
        if isinstance(device, str):
            opened.close()


# ------------------------------------------------------------------------------- the interpreters


def _interpreter(
    content: bytes, name: str, reference: str, keep: bool, delegate: Delegate | None = None
) -> Any:
    """An allocated interpreter; ``keep`` all tensors' values. Raises ModelError, or what the
    delegate raised."""
    interpreter_class = litert.interpreter_class()
    resolvers = sys.modules[interpreter_class.__module__].OpResolverType
    options: dict[str, Any] = {} if delegate is None else {"experimental_delegates": [delegate]}
    try:
        with warnings.catch_warnings():
            # That keeping tensors takes memory.
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")
            interpreter = interpreter_class(
                model_content=content,
                num_threads=1,
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=getattr(resolvers, REFERENCES[reference]),
                **options,
            )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise litert_failure(error, name, delegate) from error
    return interpreter


def _invoke(
    interpreter: Any, inputs: Sequence[Values], name: str, delegate: Delegate | None = None
) -> None:
    """One inference."""
    details = interpreter.get_input_details()
    if len(details) != len(inputs):
        raise UsageError(f"{name} has {len(details)} inputs; {len(inputs)} were given")
    try:
        for detail, values in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise litert_failure(error, name, delegate) from error


def _results(interpreter: Any, tensors: Iterable[int]) -> TensorValues:
    """Copies of the tensors that hold values."""
    found = {}
    for tensor in tensors:
        try:
            found[tensor] = np.asarray(interpreter.get_tensor(tensor))
        except (RuntimeError, ValueError):
            continue  # one that no kernel wrote
    return found


def _delegated(interpreter: Any) -> int:
    """How many nodes XNNPACK has; it takes one operator each if all tensors are kept."""
    details = interpreter._get_ops_details()
    return sum(detail["op_name"] == "DELEGATE" for detail in details)


# ------------------------------------------------------------------- what the delegate gets to see


class _SeenPart:
    """A loaded part; everything it computes is noted in ``values``."""

    def __init__(self, loaded: LoadedPart, values: TensorValues) -> None:
        self._loaded = loaded
        self._values = values
        self.write = loaded.write
        self.close = loaded.close

    def execute(self) -> None:
        """Run, then read all outputs, also those that only we want."""
        self._loaded.execute()
        for binding in self._loaded.part.outputs:
            self._values[binding.tensor] = self._loaded.read(binding.tensor)

    def read(self, tensor: int, out: NDArray[Any]) -> None:
        """As the delegate wants it."""
        np.copyto(out.reshape(-1), self._values[tensor].reshape(-1))


class _SeenNpu(NpuBackend):
    """The delegate's own backend, with parts that have every tensor as an output."""

    def __init__(self, device: Device, schedule: str) -> None:
        super().__init__(device, schedule)
        self.values: TensorValues = {}

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """A part with the outputs asked for and all others."""
        chosen = set(operators)
        made = [t for op in graph.operators if op.index in chosen for t in op.outputs]
        return super().compile(graph, operators, inputs, tuple(dict.fromkeys((*outputs, *made))))

    def load(self, part: Part) -> _SeenPart:
        """On the device."""
        return _SeenPart(LoadedPart(self.device, part), self.values)

    def close(self) -> None:
        """The device is its opener's."""


class _Repeater:
    """Backend and part in one: NPU operators give the values they gave before.

    To read what CPU operators made, the runtime must keep all tensors, and then it cuts partitions
    into single operators. So partitions run whole first, and this fills in what they gave.
    """

    def __init__(self, verdicts: Sequence[Verdict], values: Mapping[int, Values]) -> None:
        self._verdicts = verdicts
        self._values = values

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """As before."""
        return self._verdicts

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> _Repeater:
        """Nothing to do."""
        return self

    def load(self, part: _Repeater) -> _Repeater:
        """The same."""
        return part

    def write(self, tensor: int, values: NDArray[Any]) -> None:
        """Not needed."""

    def execute(self) -> None:
        """Done before."""

    def read(self, tensor: int, out: NDArray[Any]) -> None:
        """What the NPU gave."""
        np.copyto(out.reshape(-1), self._values[tensor].reshape(-1))

    def close(self) -> None:
        """Nothing to free."""


# ---------------------------------------------------------------------------------- the comparison


class _Comparison:
    """A model on one device and on the CPU."""

    def __init__(
        self, content: bytes, graph: Graph, device: Device, schedule: str, reference: str
    ) -> None:
        self.content, self.graph, self.device, self.schedule = content, graph, device, schedule
        self.verdicts = support.judge_all(graph, device.chip)
        if not any(verdict.supported for verdict in self.verdicts):
            raise ModelError(
                f"{graph.name}: the NPU takes none of its {len(self.verdicts)} operators, so there "
                f"is nothing to compare; {_refusal(graph, self.verdicts)}"
            )
        self._kernels = reference
        self._made = tuple(
            dict.fromkeys(t for operator in graph.operators for t in operator.outputs if t >= 0)
        )
        self._cpu, count = self._kept(reference)
        self.reference = Reference(
            reference, REFERENCES[reference], litert.runtime_version(), count
        )

    def _kept(self, reference: str) -> tuple[Any, int | None]:
        """An interpreter without the NPU that keeps all tensors, and how many operators XNNPACK has
        in it; Unsupported if the runtime keeps tensors only without XNNPACK."""
        name = self.graph.name
        interpreter = _interpreter(self.content, name, reference, keep=True)
        if reference != "xnnpack":
            return interpreter, None
        count = _delegated(interpreter)
        if not count and _delegated(_interpreter(self.content, name, reference, keep=False)):
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
        _invoke(other, inputs, self.graph.name)
        pair = [_results(interpreter, self._made) for interpreter in (other, self._cpu)]
        found = [_compare(pair[0], pair[1], self.graph.tensors[t]) for t in self._made]
        return total([each for each in found if each is not None])

    def layers(
        self, inputs: Sequence[Values], progress: Callable[[int, int], None]
    ) -> tuple[Layer, ...]:
        """All of it, for one set of inputs."""
        graph = self.graph
        steps = sum(verdict.supported for verdict in self.verdicts) + 2
        progress(0, steps)
        _invoke(self._cpu, inputs, graph.name)
        cpu = _results(self._cpu, dict.fromkeys((*graph.inputs, *self._made)))
        progress(1, steps)
        npu, parts = self._accumulated(inputs)
        progress(2, steps)
        layers: list[Layer] = []
        done = 2
        for position, operator in enumerate(graph.operators):
            part = next((n for n, p in enumerate(parts) if operator.index in p), None)
            alone: TensorValues = {}
            if part is not None:
                alone = self._alone(position, operator, cpu)
                done += 1
                progress(done, steps)
            for index in (t for t in operator.outputs if t >= 0):
                tensor = graph.tensors[index]
                layers.append(
                    Layer(
                        operator.index,
                        operator.kind,
                        tensor,
                        part,
                        *(_compare(v, cpu, tensor) for v in (alone, npu)),
                    )
                )
        return tuple(layers)

    def _alone(self, position: int, operator: Operator, cpu: Mapping[int, Values]) -> TensorValues:
        """One operator's outputs from the CPU's inputs."""
        part = compile_part(self.graph, [position], self.device.chip, self.schedule)
        try:
            needed = {b.tensor: cpu[b.tensor].view(np.uint8) for b in part.inputs}
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
        npu = _SeenNpu(self.device, self.schedule)
        delegate = Delegate(_backend=npu)
        try:
            interpreter = _interpreter(self.content, name, self._kernels, False, delegate)
            parts = delegate.partitions
            if not parts:
                raise DeviceError(f"{name}: LiteRT gave the NPU none of the operators it takes")
            _invoke(interpreter, inputs, name, delegate)
            del interpreter
        finally:
            delegate.close()
        values = dict(npu.values)
        if len(values) < len(self._made):
            repeater = Delegate(_backend=_Repeater(self.verdicts, values))
            interpreter = _interpreter(self.content, name, self._kernels, True, repeater)
            _invoke(interpreter, inputs, name, repeater)
            values.update(_results(interpreter, [t for t in self._made if t not in values]))
        return values, parts


def _refusal(graph: Graph, verdicts: Sequence[support.Verdict]) -> str:
    """Why the NPU takes nothing, by one operator: what a convolution lacks tells more than that a
    reshape is no convolution."""
    pairs = list(zip(graph.operators, verdicts, strict=True))
    telling = [pair for pair in pairs if pair[1].rule != "operator"] or pairs
    for operator, verdict in telling:
        return f"operator {operator.index}, {operator.kind}: {verdict.reason}"
    return "it has no operators"


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
