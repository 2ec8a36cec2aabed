"""The graph every stage works on: tensors and operators, all frozen; options: ``options``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lapilli.model.options import (
    DETECTION_POSTPROCESS,
    Activation,
    Addition,
    Concatenation,
    Convolution,
    Custom,
    FullyConnected,
    MirrorPadding,
    Multiplication,
    Options,
    Padding,
    Pooling,
    Stack,
    StridedSlice,
)

__all__ = [
    "DETECTION_POSTPROCESS",
    "Activation",
    "Addition",
    "Concatenation",
    "Constant",
    "Convolution",
    "Custom",
    "FullyConnected",
    "Graph",
    "MirrorPadding",
    "Multiplication",
    "Operator",
    "Options",
    "Padding",
    "Pooling",
    "Quantization",
    "Stack",
    "StridedSlice",
    "Tensor",
    "Values",
]

Constant: TypeAlias = NDArray[np.generic]
Values: TypeAlias = NDArray[np.generic]
"""A tensor's values, in its shape and type."""


@dataclass(frozen=True)
class Quantization:
    """Real value = scale * (stored - zero_point). More than one scale: one for each channel."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        """More than one distinct scale or zero point."""
        return len(set(self.scales)) > 1 or len(set(self.zero_points)) > 1

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantisation."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantisation."""
        return self.zero_points[0]


@dataclass(frozen=True, eq=False)
class Tensor:
    """``shape`` as in the model (NHWC for images); ``dtype`` is NumPy's name, or TFLite's for types
    NumPy does not have. ``data`` holds a constant's values, read-only and in ``shape``. ``signed``:
    the model has it as int8, and ``dtype``, zero points and values here are those of byte + 128."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: Constant | None = field(default=None, repr=False)
    signed: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        total = 1
        for extent in self.shape:
            total *= extent
        return total


@dataclass(frozen=True)
class Operator:
    """One operator. ``kind`` is TFLite's name, as in CONV_2D; ``inputs`` and ``outputs`` are tensor
    indices, -1 for an optional input that is absent."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options = None
    version: int = 1


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in execution order; tensors by their index in the model.

    ``operators[i].index`` is the operator's index in the .tflite. ``name`` says what it was read
    from, for messages. ``remarks``: what the model has beside this, in sentences.
    """

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    remarks: tuple[str, ...] = ()

    @cached_property
    def positions(self) -> Mapping[int, int]:
        """Where in ``operators`` the one with an index is."""
        return {operator.index: i for i, operator in enumerate(self.operators)}
