"""Where a .tflite keeps the options of operators whose tensors the reader does not look at.

Field numbers are those of TensorFlow Lite's ``schema.fbs``, which never change; absent fields have
the schema's default, 0 for all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from lapilli.model.graph import (
    Concatenation,
    FullyConnected,
    MirrorPadding,
    Multiplication,
    Options,
    Pooling,
    Stack,
    StridedSlice,
)


class Kind(Enum):
    """How a field is stored."""

    INT32 = "int32"
    BYTE = "int8"
    BOOL = "bool"
    ACTIVATION = "activation"
    PADDING = "padding"


@dataclass(frozen=True)
class OptionField:
    """``number`` in the schema, ``name`` for messages, ``attribute`` of our class."""

    attribute: str
    number: int
    kind: Kind = Kind.INT32

    @property
    def name(self) -> str:
        """For messages."""
        return self.attribute.replace("_", " ")


@dataclass(frozen=True)
class OptionTable:
    """``union``: the table's number among all options; ``make``: our class, from its attributes."""

    union: int
    make: Callable[..., Options]
    fields: tuple[OptionField, ...]


_POOLING = OptionTable(
    5,
    Pooling,
    (
        OptionField("padding", 0, Kind.PADDING),
        OptionField("stride_columns", 1),
        OptionField("stride_rows", 2),
        OptionField("columns", 3),
        OptionField("rows", 4),
        OptionField("activation", 5, Kind.ACTIVATION),
    ),
)
_SHUFFLED = 1
"""FULLY_CONNECTED's only other format of weights."""
_SYMMETRIC = 1
"""MIRROR_PAD's mode that is not REFLECT."""


def _fully_connected(weights_format: int, **more: Any) -> FullyConnected:
    return FullyConnected(shuffled=weights_format == _SHUFFLED, **more)


def _mirror_padding(mode: int) -> MirrorPadding:
    return MirrorPadding(symmetric=mode == _SYMMETRIC)


OPTION_TABLES: Final[Mapping[str, OptionTable]] = MappingProxyType(
    {
        "AVERAGE_POOL_2D": _POOLING,
        "MAX_POOL_2D": _POOLING,
        "FULLY_CONNECTED": OptionTable(
            8,
            _fully_connected,
            (
                OptionField("activation", 0, Kind.ACTIVATION),
                OptionField("weights_format", 1, Kind.BYTE),
            ),
        ),
        "CONCATENATION": OptionTable(
            10,
            Concatenation,
            (OptionField("axis", 0), OptionField("activation", 1, Kind.ACTIVATION)),
        ),
        "MUL": OptionTable(21, Multiplication, (OptionField("activation", 0, Kind.ACTIVATION),)),
        "STRIDED_SLICE": OptionTable(
            32,
            StridedSlice,
            (
                OptionField("begin_mask", 0),
                OptionField("end_mask", 1),
                OptionField("ellipsis_mask", 2),
                OptionField("new_axis_mask", 3),
                OptionField("shrink_axis_mask", 4),
                OptionField("offset", 5, Kind.BOOL),
            ),
        ),
        "PACK": OptionTable(59, Stack, (OptionField("axis", 1),)),
        "UNPACK": OptionTable(64, Stack, (OptionField("axis", 1),)),
        "MIRROR_PAD": OptionTable(77, _mirror_padding, (OptionField("mode", 0, Kind.BYTE),)),
    }
)
"""TFLite's name of an operator -> its options."""
