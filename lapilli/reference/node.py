"""What a kernel gets: one operator with its tensors and the values of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lapilli.errors import Unsupported
from lapilli.model.graph import Operator, Tensor
from lapilli.reference.arithmetic import Array


class Rounding(Enum):
    """How sums are brought to the output's scale.

    ``TFLITE``: by a 31-bit multiplier and two roundings, as TFLite's reference kernels.
    ``EXACT``: the product with the real factor, rounded once with halves up, as the NPU is known
    to do up to the bits of its multiplier.
    """

    TFLITE = "tflite"
    EXACT = "exact"


@dataclass(frozen=True, eq=False)
class Node:
    """An operator and the values of its inputs, each of shape [samples, *tensor.shape]; constants
    have one sample. An optional input that is absent is None."""

    operator: Operator
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    values: tuple[Array | None, ...]
    rounding: Rounding = Rounding.TFLITE

    def tensor(self, place: int) -> Tensor:
        """The input at ``place``; Unsupported if it is absent."""
        tensor = self.inputs[place] if place < len(self.inputs) else None
        if tensor is None:
            raise Unsupported(f"{self.operator.kind} without its input {place}")
        return tensor

    def value(self, place: int) -> Array:
        """The values of the input at ``place``; Unsupported if it is absent."""
        value = self.values[place] if place < len(self.values) else None
        if value is None:
            raise Unsupported(f"{self.operator.kind} without its input {place}")
        return value

    def constant(self, place: int) -> Array:
        """The values of a constant input; Unsupported if it is computed."""
        tensor = self.tensor(place)
        if tensor.data is None:
            raise Unsupported(f"{self.operator.kind} whose input {place} is computed")
        return tensor.data

    def has(self, place: int) -> bool:
        """Whether there is an input at ``place``."""
        return place < len(self.values) and self.values[place] is not None

    @property
    def samples(self) -> int:
        """The largest number of samples among the inputs."""
        return max((len(value) for value in self.values if value is not None), default=1)


Kernel: TypeAlias = Callable[[Node], "tuple[Array, ...]"]
