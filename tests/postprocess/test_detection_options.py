"""The operator's options, a FlexBuffer's map from a file that anybody may have made."""

from __future__ import annotations

import random
from typing import Any

import pytest
from detectors import OPTIONS, flexbuffer
from flatbuffers import flexbuffers

from lapilli.errors import ModelError
from lapilli.postprocess.options import LONGEST_OPTIONS, DetectionOptions, read_options


def read(**changes: Any) -> DetectionOptions:
    return read_options(flexbuffer({**OPTIONS, **changes}))


def test_all_options_are_read() -> None:
    assert read(use_regular_nms=True, detections_per_class=7, x_scale=3.5) == DetectionOptions(
        max_detections=10,
        max_classes_per_detection=1,
        detections_per_class=7,
        regular=True,
        score_threshold=0.30000001192092896,
        overlap_threshold=0.6000000238418579,
        classes=4,
        y_scale=10.0,
        x_scale=3.5,
        h_scale=5.0,
        w_scale=5.0,
    )


def test_what_is_absent_has_litert_s_default() -> None:
    assert read_options(flexbuffer({})) == DetectionOptions(
        0, 0, 100, False, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0
    )


def test_numbers_may_be_of_any_kind() -> None:
    """As LiteRT converts them: whole numbers lose what is behind the point."""
    found = read(max_detections=12.9, x_scale=3, use_regular_nms=1, num_classes=True)
    assert (found.max_detections, found.x_scale, found.regular, found.classes) == (12, 3.0, True, 1)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "0 bytes"),
        (b"12", "2 bytes"),
        (bytes(LONGEST_OPTIONS + 1), f"{LONGEST_OPTIONS + 1} bytes"),
        (bytes(flexbuffers.Dumps([1, 2, 3])), "no map"),
        (flexbuffer({**OPTIONS, "num_classes": "four"}), "num_classes is no number"),
        (flexbuffer({**OPTIONS, "max_detections": 1 << 40}), "32-bit"),
        (flexbuffer({**OPTIONS, "max_detections": float("inf")}), "32-bit"),
        (flexbuffer(OPTIONS)[7:], "damaged"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        read_options(data)


def test_damaged_options_are_read_or_refused() -> None:
    rng, whole = random.Random(0), flexbuffer(OPTIONS)
    refused = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[: rng.randrange(len(data))]
        try:
            read_options(bytes(data))
        except ModelError:
            refused += 1
    assert refused > 100
