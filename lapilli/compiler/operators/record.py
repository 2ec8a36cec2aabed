"""What there is to know about an operator that the NPU takes, and what its rules are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.table_functions import Function
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator, Tensor


@dataclass(frozen=True)
class Case:
    """An operator that rules are held against. Which of its tensors are images, and whose
    quantisation counts, its record says."""

    graph: Graph
    operator: Operator
    chip: Chip
    record: OperatorRecord

    def input(self, position: int) -> Tensor:
        """The operator's input there; it must be present."""
        return self.graph.tensors[self.operator.inputs[position]]

    def has_input(self, position: int) -> bool:
        """Whether an optional input is there."""
        return len(self.operator.inputs) > position and self.operator.inputs[position] >= 0

    def output(self, position: int = 0) -> Tensor:
        """The operator's output there."""
        return self.graph.tensors[self.operator.outputs[position]]

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """All outputs, which are images."""
        return tuple(self.graph.tensors[i] for i in self.operator.outputs)

    @property
    def images_in(self) -> tuple[Tensor, ...]:
        """The inputs that are images."""
        return self._inputs(self.record.images)

    @property
    def images(self) -> tuple[Tensor, ...]:
        """Images that go in and come out; weights, biases and paddings have rules of their own."""
        return (*self.images_in, *self.outputs)

    @property
    def quantised(self) -> tuple[Tensor, ...]:
        """Tensors whose quantisation counts."""
        record = self.record
        positions = record.images if record.quantised is None else record.quantised
        return (*self._inputs(positions), *self.outputs)

    def _inputs(self, positions: tuple[int, ...] | None) -> tuple[Tensor, ...]:
        if positions is None:
            return tuple(self.graph.tensors[i] for i in self.operator.inputs)
        return tuple(self.input(position) for position in positions)


Rule: TypeAlias = Callable[[Case], "str | None"]
"""None if it holds, else what was found. The docstring is the sentence a user reads: what must
hold; its second paragraph, after "Remedy:", what a user can do where it does not."""


_RELIES_ON = "relies_on"


def relies_on(*rules: Rule) -> Callable[[Rule], Rule]:
    """A rule that can be asked where these hold, whatever else is broken; one without this mark
    relies on all that stand before it in its record."""

    def mark(rule: Rule) -> Rule:
        setattr(rule, _RELIES_ON, rules)
        return rule

    return mark


def relied_on(rule: Rule) -> tuple[Rule, ...] | None:
    """What a rule relies on; None if on all before it."""
    found: tuple[Rule, ...] | None = getattr(rule, _RELIES_ON, None)
    return found


@dataclass(frozen=True)
class OperatorRecord:
    """An operator or a family of them.

    ``kinds``: TFLite's names. ``words``: what becomes of it, in a sentence for the operator table.
    ``rules``: all must hold; they are asked in order, so that a later one may rely on an earlier.
    ``lower``: appends what is to be done for one operator to a builder, and notes where its outputs
    lie. ``images``: positions of the inputs that are images, None for all. ``quantised``: positions
    of the inputs whose quantisation counts, if they are others. ``needed``: how many inputs must
    be present at least. ``outputs``: how many there are, None for any number. ``function``: of an
    operator whose every byte depends on one byte alone, what it makes of a number; None if it is
    not such a one.
    """

    kinds: tuple[str, ...]
    words: str
    rules: tuple[Rule, ...]
    lower: Callable[[Builder, Operator], None]
    images: tuple[int, ...] | None = (0,)
    quantised: tuple[int, ...] | None = None
    needed: int = 1
    outputs: int | None = 1
    function: Callable[[Graph, Operator], Function | None] | None = None
