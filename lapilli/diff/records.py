"""What a comparison found: differences of each operator's outputs."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.compiler.blocking import Blocking
from lapilli.compiler.units.report import Loss
from lapilli.device.open import emulated_chip, is_emulator
from lapilli.diff.statistics import Difference, total
from lapilli.diff.verdict import Answer
from lapilli.model.graph import Tensor

_TITLES = {"xnnpack": "XNNPACK", "builtin": "builtin kernels", "ref": "reference kernels"}

ALONE = (
    "each NPU operator compiled by itself and given the CPU's values as inputs: what differs is "
    "its own; operators that the NPU does as one are compiled together"
)
ACCUMULATED = (
    "the model run through the delegate, whole partitions at a time, CPU operators by the same "
    "CPU kernels on what the NPU made: differences travel; tensors inside a partition are read as "
    "additional outputs"
)


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
    CPU's operators, and tensors whose values the runtime doesn't give. ``one_with``: the operators
    that the NPU does as one, without making this tensor, if it is such a one."""

    operator: int
    kind: str
    tensor: Tensor
    part: int | None
    alone: Difference | None
    accumulated: Difference | None
    one_with: tuple[int, ...] = ()


@dataclass(frozen=True)
class Diff:
    """The whole report, layers in execution order. ``yardstick``: the same tensors by the CPU
    kernels that ``YARDSTICKS`` names, against the reference, accumulated; None if the runtime can't
    tell. ``loss``: what one scale a layer costs where the model has more. ``blocking``: what
    stays on the CPU, and why. ``answer``: what a user would see on both sides, None if a side lacks
    an output's values."""

    model: str
    device: str
    schedule: str
    reference: Reference
    tolerance: int
    operators: int
    layers: tuple[Layer, ...]
    yardstick: Difference | None
    loss: Loss | None = None
    blocking: Blocking | None = None
    answer: Answer | None = None

    @property
    def chip(self) -> str | None:
        """Of an emulated device; a board's is not noted."""
        return emulated_chip(self.device) if is_emulator(self.device) else None

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
