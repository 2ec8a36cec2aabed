"""Options of custom operators, from the bytes that the file or the runtime has of them."""

from __future__ import annotations

import struct
from typing import Final

from lapilli.model.options import (
    TRANSPOSED_WITH_BIAS,
    Custom,
    Options,
    Padding,
    TransposedConvolution,
)

_TRANSPOSED: Final = struct.Struct("<3i")
"""TFLite's structure for TRANSPOSE_CONV, as MediaPipe writes it: padding, strides of columns and
rows."""
_PADDINGS: Final = {1: Padding.SAME, 2: Padding.VALID}


def options_of(kind: str, data: bytes) -> Options:
    """What the bytes say; ``Custom`` where that is the operator's own business, or nonsense."""
    if kind == TRANSPOSED_WITH_BIAS and len(data) >= _TRANSPOSED.size:
        padding, columns, rows = _TRANSPOSED.unpack_from(data)
        if padding in _PADDINGS and columns > 0 and rows > 0:
            return TransposedConvolution(_PADDINGS[padding], rows, columns)
    return Custom(data)
