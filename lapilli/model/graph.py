"""The graph every stage works on: tensors, operators and their options, all frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Constant: TypeAlias = NDArray[np.generic]
Values: TypeAlias = NDArray[np.generic]
"""A tensor's values, in its shape and type."""


class Padding(Enum):
    """How a convolution treats the image's border."""

    SAME = "SAME"
    VALID = "VALID"


class Activation(Enum):
    """Function fused into an operator; ``OTHER`` is any that no rule of ours allows."""

    NONE = "none"
    RELU = "ReLU"
    RELU6 = "ReLU6"
    RELU_N1_TO_1 = "ReLU-1..1"
    OTHER = "other"


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
class Convolution:
    """Options of CONV_2D and, with ``depth_multiplier``, DEPTHWISE_CONV_2D."""

    padding: Padding
    stride_rows: int
    stride_columns: int
    dilation_rows: int = 1
    dilation_columns: int = 1
    activation: Activation = Activation.NONE
    depth_multiplier: int = 1


@dataclass(frozen=True)
class Addition:
    """Options of ADD and SUB."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Multiplication:
    """Options of MUL."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class FullyConnected:
    """Options of FULLY_CONNECTED. ``shuffled``: the weights are stored in another order than by
    rows."""

    activation: Activation = Activation.NONE
    shuffled: bool = False


@dataclass(frozen=True)
class Pooling:
    """Options of AVERAGE_POOL_2D and MAX_POOL_2D: a window of ``rows`` x ``columns``."""

    padding: Padding
    rows: int
    columns: int
    stride_rows: int
    stride_columns: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Concatenation:
    """Options of CONCATENATION; a negative ``axis`` counts from the last."""

    axis: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Stack:
    """Options of PACK and UNPACK: the axis that is there in the packed tensor only."""

    axis: int


@dataclass(frozen=True)
class StridedSlice:
    """Options of STRIDED_SLICE: bit i of a mask is about entry i of begin, end and strides.

    ``offset``: ends count from the begins.
    """

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@dataclass(frozen=True)
class MirrorPadding:
    """Options of MIRROR_PAD. ``symmetric``: the border's own elements are repeated too."""

    symmetric: bool


@dataclass(frozen=True)
class Custom:
    """Options of a custom operator: bytes that only the operator itself can read."""

    data: bytes = field(repr=False)


Options: TypeAlias = (
    Convolution
    | Addition
    | Multiplication
    | FullyConnected
    | Pooling
    | Concatenation
    | Stack
    | StridedSlice
    | MirrorPadding
    | Custom
    | None
)

DETECTION_POSTPROCESS = "CUSTOM:TFLite_Detection_PostProcess"
"""The custom operator behind a detector: box encodings and scores in, detections out."""


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
    from, for messages.
    """

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
