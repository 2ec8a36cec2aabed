"""The options of TFLite_Detection_PostProcess, which a file holds as a FlexBuffer's map.

Source: ``Init`` in LiteRT's ``detection_postprocess.cc``. What it would read beyond the buffer, or
make out of a text or a list, is refused here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

from flatbuffers import flexbuffers

from lapilli.errors import ModelError

LONGEST_OPTIONS: Final = 1 << 16
"""Bytes; honest options have some 300."""
DEFAULT_DETECTIONS_PER_CLASS: Final = 100
_INT32: Final = 1 << 31
_DAMAGED: Final = (
    struct.error,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)


@dataclass(frozen=True)
class DetectionOptions:
    """As in the file; scores are compared, scales divided by, as single-precision numbers.

    ``max_detections``: boxes kept; ``max_classes_per_detection``: classes listed for each, of the
    fast way. ``regular``: suppression for each class by itself, with ``detections_per_class`` boxes
    at most; else all classes compete for a box. ``classes`` is without the background's column.
    """

    max_detections: int
    max_classes_per_detection: int
    detections_per_class: int
    regular: bool
    score_threshold: float
    overlap_threshold: float
    classes: int
    y_scale: float
    x_scale: float
    h_scale: float
    w_scale: float


def read_options(data: bytes) -> DetectionOptions:
    """Read the operator's custom options. Raises ModelError if they are damaged."""
    if not 3 <= len(data) <= LONGEST_OPTIONS:
        raise ModelError(f"custom options of {len(data)} bytes; allowed are 3 to {LONGEST_OPTIONS}")
    try:
        root = flexbuffers.GetRoot(bytes(data))
        if not root.IsMap:
            raise ModelError("custom options that are no map of names to values")
        return _options(root.AsMap)
    except _DAMAGED as error:
        raise ModelError("custom options that are damaged or cut off") from error


def _options(values: Any) -> DetectionOptions:
    def number(name: str, absent: float = 0) -> float:
        try:
            value = values[name]
        except KeyError:
            return absent
        if value.IsNull:
            return absent
        if not (value.IsBool or value.IsNumeric):
            raise ModelError(f"option {name} is no number")
        return float(value.AsFloat) if value.IsFloat else int(value.AsInt)

    def integer(name: str, absent: int = 0) -> int:
        value = number(name, absent)
        if not -_INT32 <= value < _INT32:
            raise ModelError(f"option {name} is {value}; allowed are 32-bit integers")
        return int(value)

    def single(name: str) -> float:
        value = float(number(name))
        try:
            return float(struct.unpack("f", struct.pack("f", value))[0])
        except OverflowError:
            return math.copysign(math.inf, value)

    return DetectionOptions(
        max_detections=integer("max_detections"),
        max_classes_per_detection=integer("max_classes_per_detection"),
        detections_per_class=integer("detections_per_class", DEFAULT_DETECTIONS_PER_CLASS),
        regular=bool(number("use_regular_nms")),
        score_threshold=single("nms_score_threshold"),
        overlap_threshold=single("nms_iou_threshold"),
        classes=integer("num_classes"),
        y_scale=single("y_scale"),
        x_scale=single("x_scale"),
        h_scale=single("h_scale"),
        w_scale=single("w_scale"),
    )
