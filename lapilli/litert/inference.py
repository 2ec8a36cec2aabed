"""A model in LiteRT with the NPU delegate: loaded, fed, run and timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapilli.compiler.blocking import Blocking, blocking
from lapilli.device.open import chosen
from lapilli.errors import LapilliError, ModelError, NothingForTheNpu
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import Graph, Tensor, Values
from lapilli.model.input_shapes import Shapes


@dataclass(frozen=True)
class Times:
    """Seconds of each phase: ``load`` (read the file, build the interpreter), ``compile`` (the
    NPU's share), ``first_run``, and ``run`` (the best of the later ones)."""

    load: float
    compile: float
    first_run: float
    run: float


@dataclass(frozen=True)
class CpuOperator:
    """An operator that LiteRT runs, and why; ``rule`` names the restriction it breaks, if one."""

    index: int
    kind: str
    reason: str
    rule: str = ""


NOT_GIVEN = "LiteRT did not give it to the NPU."


class Inference:
    """One model on one device. ``graph`` is the model as read from the file."""

    def __init__(
        self,
        model: str | Path,
        *,
        num_threads: int | None = None,
        shapes: Shapes | None = None,
        cpu_alone: bool = False,
        **options: Any,
    ) -> None:
        """``shapes``: of inputs that are to have others than the file says. ``options`` are the
        delegate's; ``num_threads`` is for LiteRT's CPU operators, None leaves the choice to it.
        Raises the delegate's errors, or NothingForTheNpu if the NPU would have nothing to do and
        the CPU may not do it ``cpu_alone``."""
        start = time.perf_counter()
        self.content = tflite.read_file(model, shapes)
        self.graph: Graph = tflite.parse(self.content, Path(model).name)
        self.device = chosen(options.get("device"))
        self.delegate = Delegate(**options, _raises_itself=True)
        try:
            self._interpreter = self._build(num_threads)
            if not cpu_alone:
                self._check()
        except BaseException:
            self.delegate.close()
            raise
        self.compile_seconds: float = self.delegate.compile_seconds
        self.load_seconds = time.perf_counter() - start - self.compile_seconds
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    def _check(self) -> None:
        """An interpreter whose delegate takes nothing would be a CPU run by another name."""
        if self.delegate.partitions:
            return
        found = self.blocking
        raise NothingForTheNpu(
            f"{self.graph.name}: the NPU takes none of its "
            f"{len(self.graph.operators)} operators. {found.reason if found else ''}".rstrip()
        )

    def _build(self, threads: int | None) -> Any:
        try:
            interpreter = litert.interpreter_class()(
                model_content=self.content,
                experimental_delegates=[self.delegate],
                num_threads=threads,
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise litert_failure(error, self.graph.name, self.delegate) from error
        return interpreter

    # ------------------------------------------------------------------------------------- inputs

    @property
    def input_tensors(self) -> tuple[Tensor, ...]:
        """The graph's inputs in LiteRT's order."""
        return tuple(self.graph.tensors[detail["index"]] for detail in self._inputs)

    @property
    def output_tensors(self) -> tuple[Tensor, ...]:
        """The graph's outputs in LiteRT's order."""
        return tuple(self.graph.tensors[detail["index"]] for detail in self._outputs)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The outputs' shapes in LiteRT's order. The file may not have those of an operator of
        somebody's own; the interpreter does."""
        return tuple(tuple(int(n) for n in detail["shape"]) for detail in self._outputs)

    def feed(self, values: Sequence[Values]) -> None:
        """Set all inputs, in order."""
        for detail, array in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(detail["index"], array)

    def run(self) -> float:
        """One inference; seconds it took."""
        start = time.perf_counter()
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise litert_failure(error, self.graph.name, self.delegate) from error
        return time.perf_counter() - start

    def run_timed(self, repeat: int = 1, tell: Callable[[str], None] | None = None) -> Times:
        """A first inference and ``repeat`` more; ``tell`` gets what is done now."""
        say = tell or (lambda text: None)
        say("first inference")
        first = self.run()
        later = math.inf
        for number in range(max(repeat, 1)):
            say(f"inference {number + 2} of {max(repeat, 1) + 1}")
            later = min(later, self.run())
        return Times(self.load_seconds, self.compile_seconds, first, later)

    def outputs(self) -> tuple[Values, ...]:
        """Copies of the outputs, in order."""
        return tuple(self._interpreter.get_tensor(detail["index"]) for detail in self._outputs)

    # ----------------------------------------------------------------------------------- placement

    @property
    def npu_operators(self) -> tuple[int, ...]:
        """Indices of the operators that ran on the NPU."""
        return tuple(sorted(i for part in self.delegate.partitions for i in part))

    @property
    def blocking(self) -> Blocking | None:
        """What stays on the CPU and why; None if nothing does, or if the delegate did not ask."""
        verdicts = self.delegate.verdicts
        return (
            blocking(self.graph, verdicts) if len(verdicts) == len(self.graph.operators) else None
        )

    def cpu_operators(self) -> tuple[CpuOperator, ...]:
        """The others, with reasons."""
        on_npu = set(self.npu_operators)
        verdicts = dict(enumerate(self.delegate.verdicts))
        found = []
        for operator in self.graph.operators:
            if operator.index not in on_npu:
                verdict = verdicts.get(operator.index)
                reason = NOT_GIVEN
                if verdict is not None and not verdict.supported:
                    reason = verdict.reason
                rule = getattr(verdict, "rule", "")
                found.append(CpuOperator(operator.index, operator.kind, reason, rule))
        return tuple(found)

    def close(self) -> None:
        """Free the interpreter, then the device."""
        self._interpreter = None
        self.delegate.close()


def litert_failure(error: Exception, name: str, delegate: Delegate | None) -> BaseException:
    """What to raise for an error of LiteRT's: the delegate's own if it was the one that failed, or
    what a signal's handler raised while the delegate ran, such as KeyboardInterrupt."""
    if isinstance(error, LapilliError):
        return error
    text = " ".join(str(error).split())
    told = delegate.error if delegate is not None else None
    # LiteRT's text has the delegate's if that was asked; none at all if it refused to ask.
    ours = isinstance(told, LapilliError) or not isinstance(told, Exception)
    if told is not None and ours and (not text or "lapilli: " in text):
        return told
    return ModelError(f"{name}: LiteRT refuses the model: {text}")
