"""Options of operators, as the file or the runtime states them: one frozen record a family.

An operator that is missing here has none that matter. Where an option is an axis it may be
negative, which counts from the last. What an operator reads from a constant tensor (paddings,
axes, begin and end, shapes, permutations) is no option: it stays a tensor of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


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


# ------------------------------------------------------------------------------------ convolutions


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
class TransposedConvolution:
    """Options of TRANSPOSE_CONV. Inputs: shape of the output, kernel, image, perhaps a bias."""

    padding: Padding
    stride_rows: int
    stride_columns: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class FullyConnected:
    """Options of FULLY_CONNECTED. ``shuffled``: the weights are stored in another order than by
    rows. ``keep_dimensions``: the output has all dimensions of the input, else two."""

    activation: Activation = Activation.NONE
    shuffled: bool = False
    keep_dimensions: bool = False


@dataclass(frozen=True)
class Pooling:
    """Options of AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D: a window of ``rows`` by
    ``columns``."""

    padding: Padding
    rows: int
    columns: int
    stride_rows: int
    stride_columns: int
    activation: Activation = Activation.NONE


# -------------------------------------------------------------------------------------- arithmetic


@dataclass(frozen=True)
class Addition:
    """Options of ADD and SUB."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Multiplication:
    """Options of MUL."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Division:
    """Options of DIV."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Reduction:
    """Options of MEAN, SUM, REDUCE_MAX and their like; the axes are the second input.
    ``keep_dimensions``: reduced ones stay, with extent 1."""

    keep_dimensions: bool = False


@dataclass(frozen=True)
class Softmax:
    """Options of SOFTMAX: exp(beta * x) over their sum, along the last axis."""

    beta: float


@dataclass(frozen=True)
class LeakyRelu:
    """Options of LEAKY_RELU: values below 0 are multiplied by ``slope``."""

    slope: float


@dataclass(frozen=True)
class Gelu:
    """Options of GELU. ``approximate``: by the hyperbolic tangent."""

    approximate: bool = False


@dataclass(frozen=True)
class Extremum:
    """Options of ARG_MAX and ARG_MIN; the axis is the second input. ``dtype``: of the indices."""

    dtype: str


# -------------------------------------------------------------------------------- moving of values


@dataclass(frozen=True)
class Concatenation:
    """Options of CONCATENATION."""

    axis: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Stack:
    """Options of PACK and UNPACK: the axis that is there in the packed tensor only."""

    axis: int


@dataclass(frozen=True)
class Reshaping:
    """Options of RESHAPE: the new shape where there is no second input that says it; -1 stands for
    what is left."""

    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Squeezing:
    """Options of SQUEEZE: axes of extent 1 to leave out, all of them if empty."""

    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class StridedSlice:
    """Options of STRIDED_SLICE. Bit i of a mask is about entry i of the inputs begin, end and
    strides. ``offset``: the ends are counted from the begins."""

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@dataclass(frozen=True)
class Gathering:
    """Options of GATHER."""

    axis: int = 0
    batch_dimensions: int = 0


@dataclass(frozen=True)
class MirrorPadding:
    """Options of MIRROR_PAD. ``symmetric``: the border's own elements are repeated too."""

    symmetric: bool


@dataclass(frozen=True)
class Resizing:
    """Options of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR; the size is the second input."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class Blocks:
    """Options of DEPTH_TO_SPACE and SPACE_TO_DEPTH: blocks of ``size`` x ``size`` pixels."""

    size: int


# ------------------------------------------------------------------------------------------ custom


@dataclass(frozen=True)
class Custom:
    """Options of a custom operator: bytes that only the operator itself can read."""

    data: bytes = field(repr=False)


DETECTION_POSTPROCESS = "CUSTOM:TFLite_Detection_PostProcess"
"""The custom operator behind a detector: box encodings and scores in, detections out."""
TRANSPOSED_WITH_BIAS = "CUSTOM:Convolution2DTransposeBias"
"""MediaPipe's transposed convolution. Inputs: image, kernel, bias."""
CUSTOM_WITH_OPTIONS = frozenset({DETECTION_POSTPROCESS, TRANSPOSED_WITH_BIAS})
"""Those whose options are read; others may hold megabytes."""

Options: TypeAlias = (
    Convolution
    | TransposedConvolution
    | FullyConnected
    | Pooling
    | Addition
    | Multiplication
    | Division
    | Reduction
    | Softmax
    | LeakyRelu
    | Gelu
    | Extremum
    | Concatenation
    | Stack
    | Reshaping
    | Squeezing
    | StridedSlice
    | Gathering
    | MirrorPadding
    | Resizing
    | Blocks
    | Custom
    | None
)
