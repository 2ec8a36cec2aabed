"""How the file states an operator's options: one declaration a family of operators.

    _SOFTMAX = Declaration(9, Softmax, beta=real(0))

says that SOFTMAX has a table of union member 9 whose field 0 is a float and becomes ``beta`` of
``options.Softmax``. Numbers of fields and members are those of TensorFlow Lite's ``schema.fbs``,
which never renumbers them. A field that is absent has the schema's default; without a table TFLite
works with zeros, and so do we, unless zero is no value that an operator can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lapilli.model.flatbuffer import INT8, INT32, UINT8, Field, Table
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

_ACTIVATIONS: Final = (
    Activation.NONE,
    Activation.RELU,
    Activation.RELU_N1_TO_1,
    Activation.RELU6,
)
_PADDINGS: Final = (Padding.SAME, Padding.VALID)
_INDEX_TYPES: Final = {2: "int32", 4: "int64"}
_SIDES: Final = ("rows", "columns")
_OPTIONS_TYPE: Final = Field(3, "options type")
_OPTIONS: Final = Field(4, "options")


# ------------------------------------------------------------------------------------------ fields


@dataclass(frozen=True)
class Member:
    """A field: its ``number``, how it is read under its name for messages, and its value without
    a table. ``needed`` says instead what there has to be."""

    number: int
    read: Callable[[Table, Field], Any]
    without: Any = None
    needed: str = ""


def integer(number: int) -> Member:
    """Any 32-bit number."""
    return Member(number, lambda table, field: table.scalar(field, INT32), 0)


def boolean(number: int, without: bool = False) -> Member:
    """True or false, or an enumeration of two."""
    return Member(number, lambda table, field: bool(table.scalar(field, UINT8)), without)


def real(number: int) -> Member:
    """A single-precision number."""
    return Member(number, lambda table, field: table.real(field), 0.0)


def integers(number: int) -> Member:
    """A short list of 32-bit numbers."""

    def read(table: Table, field: Field) -> tuple[int, ...]:
        found = table.numbers(field, "<i4")
        if len(found) > MOST_OPTION_VALUES:
            table.fail(f"{len(found)} values of {field.name}", f"up to {MOST_OPTION_VALUES}")
        return found

    return Member(number, read, ())


def positive(number: int, needed: str, default: int = 0) -> Member:
    """A number from 1."""

    def read(table: Table, field: Field) -> int:
        value = table.scalar(field, INT32, default)
        if value < 1:
            table.fail(f"{field.name} {value}", "1 and above")
        return value

    return Member(number, read, needed=f"a {needed} above 0")


def padding(number: int) -> Member:
    """SAME or VALID."""

    def read(table: Table, field: Field) -> Padding:
        value = table.scalar(field, INT8)
        if not 0 <= value < len(_PADDINGS):
            table.fail(f"{field.name} {value}", "0 (SAME) or 1 (VALID)")
        return _PADDINGS[value]

    return Member(number, read, needed="a padding")


def activation(number: int) -> Member:
    """Any fused function."""

    def read(table: Table, field: Field) -> Activation:
        value = table.scalar(field, INT8)
        return _ACTIVATIONS[value] if 0 <= value < len(_ACTIVATIONS) else Activation.OTHER

    return Member(number, read, Activation.NONE)


def index_type(number: int) -> Member:
    """The type of indices that an operator gives."""

    def read(table: Table, field: Field) -> str:
        value = table.scalar(field, INT8)
        if value not in _INDEX_TYPES:
            table.fail(f"{field.name} {value}", "2 (int32) or 4 (int64)")
        return _INDEX_TYPES[value]

    return Member(number, read, needed="a type of indices")


# ------------------------------------------------------------------------------------ declarations


class Declaration:
    """``union``: the table's number among all options. The others: what ``make`` takes."""

    def __init__(self, union: int, make: Callable[..., Options], **members: Member) -> None:
        self.union = union
        self.make = make
        self.members: Mapping[str, Member] = members

    def read(self, operator: Table) -> Options:
        """The options of an operator; ModelError if they are of another kind or make no sense."""
        found = operator.scalar(_OPTIONS_TYPE, UINT8)
        if found not in (0, self.union):
            operator.fail(f"options type {found}", f"type {self.union} or none")
        table = operator.table(_OPTIONS) if found else None
        if table is None:
            return self._without(operator)
        return self.make(
            **{
                name: member.read(table, Field(member.number, _words(name)))
                for name, member in self.members.items()
            }
        )

    def _without(self, operator: Table) -> Options:
        needed = [member.needed for member in self.members.values() if member.needed]
        if needed:
            operator.fail("no options", f"options of type {self.union} with {needed[-1]}")
        return self.make(**{name: member.without for name, member in self.members.items()})


def _words(name: str) -> str:
    """An option's name as messages have it."""
    what, _, along = name.rpartition("_")
    return f"{what} of the {along}" if what and along in _SIDES else name.replace("_", " ")


_STRIDE = {"stride_rows": positive(2, "stride"), "stride_columns": positive(1, "stride")}
_POOLING = Declaration(
    5,
    Pooling,
    padding=padding(0),
    columns=positive(3, "size"),
    rows=positive(4, "size"),
    activation=activation(5),
    **_STRIDE,
)
_REDUCTION = Declaration(27, Reduction, keep_dimensions=boolean(0))

TABLES: Mapping[str, Declaration] = {
    "CONV_2D": Declaration(
        1,
        Convolution,
        padding=padding(0),
        activation=activation(3),
        dilation_columns=positive(4, "dilation", default=1),
        dilation_rows=positive(5, "dilation", default=1),
        **_STRIDE,
    ),
    "DEPTHWISE_CONV_2D": Declaration(
        2,
        Convolution,
        padding=padding(0),
        depth_multiplier=integer(3),
        activation=activation(4),
        dilation_columns=positive(5, "dilation", default=1),
        dilation_rows=positive(6, "dilation", default=1),
        **_STRIDE,
    ),
    "TRANSPOSE_CONV": Declaration(
        49, TransposedConvolution, padding=padding(0), activation=activation(3), **_STRIDE
    ),
    "FULLY_CONNECTED": Declaration(
        8,
        FullyConnected,
        activation=activation(0),
        shuffled=boolean(1),
        keep_dimensions=boolean(2),
    ),
    "AVERAGE_POOL_2D": _POOLING,
    "MAX_POOL_2D": _POOLING,
    "L2_POOL_2D": _POOLING,
    "ADD": Declaration(11, Addition, activation=activation(0)),
    "SUB": Declaration(28, Addition, activation=activation(0)),
    "MUL": Declaration(21, Multiplication, activation=activation(0)),
    "DIV": Declaration(29, Division, activation=activation(0)),
    "MEAN": _REDUCTION,
    "SUM": _REDUCTION,
    "REDUCE_MAX": _REDUCTION,
    "REDUCE_MIN": _REDUCTION,
    "REDUCE_PROD": _REDUCTION,
    "REDUCE_ANY": _REDUCTION,
    "REDUCE_ALL": _REDUCTION,
    "SOFTMAX": Declaration(9, Softmax, beta=real(0)),
    "LEAKY_RELU": Declaration(75, LeakyRelu, slope=real(0)),
    "GELU": Declaration(116, Gelu, approximate=boolean(0)),
    "ARG_MAX": Declaration(40, Extremum, dtype=index_type(0)),
    "ARG_MIN": Declaration(57, Extremum, dtype=index_type(0)),
    "CONCATENATION": Declaration(10, Concatenation, axis=integer(0), activation=activation(1)),
    "PACK": Declaration(59, Stack, axis=integer(1)),
    "UNPACK": Declaration(64, Stack, axis=integer(1)),
    "RESHAPE": Declaration(17, Reshaping, shape=integers(0)),
    "SQUEEZE": Declaration(30, Squeezing, axes=integers(0)),
    "STRIDED_SLICE": Declaration(
        32,
        StridedSlice,
        begin_mask=integer(0),
        end_mask=integer(1),
        ellipsis_mask=integer(2),
        new_axis_mask=integer(3),
        shrink_axis_mask=integer(4),
        offset=boolean(5),
    ),
    "GATHER": Declaration(23, Gathering, axis=integer(0), batch_dimensions=integer(1)),
    "MIRROR_PAD": Declaration(77, MirrorPadding, symmetric=boolean(0, without=True)),
    "RESIZE_BILINEAR": Declaration(
        15, Resizing, align_corners=boolean(2), half_pixel_centers=boolean(3)
    ),
    "RESIZE_NEAREST_NEIGHBOR": Declaration(
        74, Resizing, align_corners=boolean(0), half_pixel_centers=boolean(1)
    ),
    "DEPTH_TO_SPACE": Declaration(94, Blocks, size=positive(0, "block size")),
    "SPACE_TO_DEPTH": Declaration(19, Blocks, size=positive(0, "block size")),
}
"""By kind of operator; a kind that is missing has no options that matter."""
