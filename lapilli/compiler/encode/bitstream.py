"""Bit fields to bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(values: NDArray[np.uint64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bit fields of up to 32 bits one after another, least significant bit first, in whole
    words."""
    ends = np.cumsum(widths)
    starts = ends - widths
    word = starts >> 5
    shifted = values << (starts & 31).astype(np.uint64)
    size = int(-(-ends[-1] // 32))
    # The fields of a word share no bits, so adding is or-ing, and sums stay below 2**32: exact.
    low = np.bincount(
        word, weights=(shifted & np.uint64(0xFFFFFFFF)).astype(np.float64), minlength=size + 1
    )
    high = np.bincount(
        word + 1, weights=(shifted >> np.uint64(32)).astype(np.float64), minlength=size + 1
    )
    total = low[: size + 1].astype(np.uint64) + high[: size + 1].astype(np.uint64)
    return total[:size].astype("<u4").view(np.uint8)
