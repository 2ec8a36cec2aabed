"""Layout of a V8 coefficient buffer: header, core streams, biases.

A stream codes bytes in pairs. On completing a pair, its two 3-bit parts are sent; then the 2-bit
parts of the pair before, as far as they exist; then the variable parts of the pair before that. A
decoder adds ``coef_zero_point`` back to each byte, modulo 256. Checked on 788 recorded buffers.
"""

from __future__ import annotations

import numpy as np

from lapilli.hw.bits import Field, Layout, Words

HEADER_BYTES = 64
STREAM_ALIGNMENT = 64
GROUP = 9
"""Values of a kernel that are read together."""
INPUT_MIDDLE = 128
"""The unit takes an input byte as byte - 128."""
SIGN_BIT = 0x80
"""Between a weight of an int8 model and the byte that is stored for it (which is 128 more)."""
FLUSH_PAIRS = 2
"""Pairs behind the last that only push its parts out ..."""
FLUSH_ODD, FLUSH_EVEN = 4, 0
"""... with these 3-bit parts, for an odd or even number of bytes before."""
STREAMS = 9
"""Stream sizes that fit between the fixed part and the first stream."""

w = Words()
HEADER = Layout.of(
    "V8 coefficient header",
    HEADER_BYTES // 4,
    [
        Field("precode", w[0][0]),
        Field("bit16", w[0][1]),
        Field("fp16", w[0][2]),
        Field("version", w[0][7:4], default=1),
        Field("run_length_size", w[0][15:8]),
        Field("symbol_map", w[5].all, note="nibble i: bit length of symbol i"),
        Field("average_bias", w[6][15:0]),
        *(
            Field(f"stream_size_{i}", w[7 + i].all, note="bits, without padding")
            for i in range(STREAMS)
        ),
    ],
)
del w

HISTOGRAM_CLASS = np.array(
    [max((b ^ 0xFF if b >= 128 else b).bit_length(), 1) if b else 0 for b in range(256)]
)
"""Class of each raw weight byte in the histogram that the symbols are chosen by."""
SORTING_NETWORK = (
    (0, 2),
    (1, 3),
    (4, 6),
    (5, 7),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
    (0, 1),
    (2, 3),
    (4, 5),
    (6, 7),
    (2, 4),
    (3, 5),
    (1, 4),
    (3, 6),
    (1, 2),
    (3, 4),
    (5, 6),
)
"""Compare-exchanges that sort the classes by falling frequency."""
FIRST_PART = np.array([(0, 4), (1, 4), (7, 0), (3, 0), (6, 0), (2, 0), (2, 0), (2, 0)])
"""For each symbol the 3-bit part, and what a negative sign adds to it."""
SECOND_PART = np.array(
    [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (1, 2, 2), (2, 0, 2), (0, 0, 2)]
)
"""For each symbol the 2-bit part, what a negative sign adds to it, and its width (0: none)."""
