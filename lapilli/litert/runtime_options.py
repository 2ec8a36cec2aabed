"""Options of operators as the runtime holds them: one declaration a C structure.

    "SOFTMAX": Layout("TfLiteSoftmaxParams", Softmax, beta=REAL)

says that SOFTMAX's data is a structure of one float, which becomes ``beta`` of
``model/options.py``'s ``Softmax``. Members stand in the structure's order; those called ``_`` and
something are skipped, and a structure may go on behind the last one.

Source: ``builtin_op_data.h``. The file's side of the same options: ``model/option_tables.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ctypes import Structure, c_bool, c_float, c_int
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from lapilli.errors import ModelError
from lapilli.litert import tflite_c
from lapilli.model.limits import MOST_OPTION_VALUES
from lapilli.model.options import (
    Activation,
    Addition,
    Blocks,
    Concatenation,
    Convolution,
    Division,
    Extremum,
    FullyConnected,
    Gathering,
    Gelu,
    LeakyRelu,
    MirrorPadding,
    Multiplication,
    Options,
    Padding,
    Pooling,
    Reduction,
    Reshaping,
    Resizing,
    Softmax,
    Squeezing,
    Stack,
    StridedSlice,
    TransposedConvolution,
)

_ACTIVATIONS: Final = MappingProxyType(
    {
        tflite_c.FusedActivation.NONE: Activation.NONE,
        tflite_c.FusedActivation.RELU: Activation.RELU,
        tflite_c.FusedActivation.RELU6: Activation.RELU6,
        tflite_c.FusedActivation.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
    }
)
_PADDINGS: Final = MappingProxyType(
    {
        tflite_c.PaddingKind.SAME: Padding.SAME,
        tflite_c.PaddingKind.VALID: Padding.VALID,
    }
)
_SHUFFLED, _REFLECT = 1, 1


# ----------------------------------------------------------------------------------------- members


@dataclass(frozen=True)
class Member:
    """A member's type in C, and what its value is to us."""

    ctype: Any
    value: Callable[[Any], Any]


class _List(Structure):
    """Numbers, and how many of them count: two members of a structure in a row."""

    _fields_ = [("values", c_int * MOST_OPTION_VALUES), ("count", c_int)]


def _padding(value: int) -> Padding:
    if value not in _PADDINGS:
        raise ModelError(f"padding {value}; allowed are 1 (SAME) and 2 (VALID)")
    return _PADDINGS[tflite_c.PaddingKind(value)]


def _activation(value: int) -> Activation:
    return _ACTIVATIONS.get(value, Activation.OTHER)  # type: ignore[call-overload, no-any-return]


def _numbers(found: _List) -> tuple[int, ...]:
    if not 0 <= found.count <= MOST_OPTION_VALUES:
        raise ModelError(f"a list of {found.count} values; allowed are up to {MOST_OPTION_VALUES}")
    return tuple(found.values[: found.count])


def _index_type(value: int) -> str:
    name = tflite_c.TYPE_NAMES[value] if 0 <= value < len(tflite_c.TYPE_NAMES) else str(value)
    if name not in ("int32", "int64"):
        raise ModelError(f"indices of type {name}; allowed are int32 and int64")
    return name


INTEGER: Final = Member(c_int, int)
BOOLEAN: Final = Member(c_bool, bool)
REAL: Final = Member(c_float, float)
PADDING: Final = Member(c_int, _padding)
ACTIVATION: Final = Member(c_int, _activation)
NUMBERS: Final = Member(_List, _numbers)
INDEX_TYPE: Final = Member(c_int, _index_type)


# --------------------------------------------------------------------------------------- structures


class Layout:
    """A structure called ``name`` in C, and what ``make`` takes of it."""

    def __init__(self, name: str, make: Callable[..., Options], **members: Member) -> None:
        fields = [(member, declared.ctype) for member, declared in members.items()]
        self._structure = type(name, (Structure,), {"_fields_": fields})
        self._make = make
        self._members = {n: m for n, m in members.items() if not n.startswith("_")}

    def read(self, address: int) -> Options:
        """The options at an address; raises ModelError for values that no operator has."""
        data = self._structure.from_address(address)  # type: ignore[attr-defined]
        return self._make(
            **{name: member.value(getattr(data, name)) for name, member in self._members.items()}
        )


_STRIDES = {"stride_columns": INTEGER, "stride_rows": INTEGER}
_DILATIONS = {"dilation_columns": INTEGER, "dilation_rows": INTEGER}
_POOLING = Layout(
    "TfLitePoolParams",
    Pooling,
    padding=PADDING,
    **_STRIDES,
    columns=INTEGER,
    rows=INTEGER,
    activation=ACTIVATION,
)
_REDUCTION = Layout("TfLiteReducerParams", Reduction, keep_dimensions=BOOLEAN)
_EXTREMUM = Layout("TfLiteArgMaxParams", Extremum, dtype=INDEX_TYPE)
_BLOCKS = Layout("TfLiteSpaceToDepthParams", Blocks, size=INTEGER)
_RESIZING = Layout(
    "TfLiteResizeBilinearParams", Resizing, align_corners=BOOLEAN, half_pixel_centers=BOOLEAN
)

LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "CONV_2D": Layout(
            "TfLiteConvParams",
            Convolution,
            padding=PADDING,
            **_STRIDES,
            activation=ACTIVATION,
            **_DILATIONS,
        ),
        "DEPTHWISE_CONV_2D": Layout(
            "TfLiteDepthwiseConvParams",
            Convolution,
            padding=PADDING,
            **_STRIDES,
            _depth_multiplier=INTEGER,
            activation=ACTIVATION,
            **_DILATIONS,
        ),
        "TRANSPOSE_CONV": Layout(
            "TfLiteTransposeConvParams",
            TransposedConvolution,
            padding=PADDING,
            **_STRIDES,
            activation=ACTIVATION,
        ),
        "FULLY_CONNECTED": Layout(
            "TfLiteFullyConnectedParams",
            FullyConnected,
            activation=ACTIVATION,
            shuffled=Member(c_int, lambda value: bool(value == _SHUFFLED)),
            keep_dimensions=BOOLEAN,
        ),
        "AVERAGE_POOL_2D": _POOLING,
        "MAX_POOL_2D": _POOLING,
        "L2_POOL_2D": _POOLING,
        "ADD": Layout("TfLiteAddParams", Addition, activation=ACTIVATION),
        "SUB": Layout("TfLiteSubParams", Addition, activation=ACTIVATION),
        "MUL": Layout("TfLiteMulParams", Multiplication, activation=ACTIVATION),
        "DIV": Layout("TfLiteDivParams", Division, activation=ACTIVATION),
        "MEAN": _REDUCTION,
        "SUM": _REDUCTION,
        "REDUCE_MAX": _REDUCTION,
        "REDUCE_MIN": _REDUCTION,
        "REDUCE_PROD": _REDUCTION,
        "REDUCE_ANY": _REDUCTION,
        "REDUCE_ALL": _REDUCTION,
        "SOFTMAX": Layout("TfLiteSoftmaxParams", Softmax, beta=REAL),
        "LEAKY_RELU": Layout("TfLiteLeakyReluParams", LeakyRelu, slope=REAL),
        "GELU": Layout("TfLiteGeluParams", Gelu, approximate=BOOLEAN),
        "ARG_MAX": _EXTREMUM,
        "ARG_MIN": _EXTREMUM,
        "CONCATENATION": Layout(
            "TfLiteConcatenationParams", Concatenation, axis=INTEGER, activation=ACTIVATION
        ),
        "PACK": Layout("TfLitePackParams", Stack, _count=INTEGER, axis=INTEGER),
        "UNPACK": Layout("TfLiteUnpackParams", Stack, _count=INTEGER, axis=INTEGER),
        "RESHAPE": Layout("TfLiteReshapeParams", Reshaping, shape=NUMBERS),
        "SQUEEZE": Layout("TfLiteSqueezeParams", Squeezing, axes=NUMBERS),
        "STRIDED_SLICE": Layout(
            "TfLiteStridedSliceParams",
            StridedSlice,
            begin_mask=INTEGER,
            end_mask=INTEGER,
            ellipsis_mask=INTEGER,
            new_axis_mask=INTEGER,
            shrink_axis_mask=INTEGER,
            offset=BOOLEAN,
        ),
        "GATHER": Layout("TfLiteGatherParams", Gathering, axis=INTEGER, batch_dimensions=INTEGER),
        "MIRROR_PAD": Layout(
            "TfLiteMirrorPaddingParams",
            MirrorPadding,
            symmetric=Member(c_int, lambda value: bool(value != _REFLECT)),
        ),
        "RESIZE_BILINEAR": _RESIZING,
        "RESIZE_NEAREST_NEIGHBOR": _RESIZING,
        "DEPTH_TO_SPACE": _BLOCKS,
        "SPACE_TO_DEPTH": _BLOCKS,
    }
)
"""By kind of operator, as ``TABLES`` of ``model/option_tables.py``."""
