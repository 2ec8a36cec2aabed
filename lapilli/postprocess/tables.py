"""What each of a tensor's 256 byte values stands for.

A table is indexed by the byte as an unsigned number, also where the tensor is int8.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lapilli.model.graph import Quantization

QUANTISED: Final = ("uint8", "int8")
LOGISTIC_SCALE: Final = 1 / 256
"""What LiteRT demands of a LOGISTIC's output, with the type's lowest value as zero point."""


def lowest(dtype: str) -> int:
    """The lowest value of uint8 or int8."""
    return int(np.iinfo(dtype).min)


def byte_values(dtype: str) -> NDArray[Any]:
    """The stored value of each byte, int64."""
    return np.arange(256, dtype=np.uint8).view(dtype).astype(np.int64)


def real_values(dtype: str, quantization: Quantization) -> NDArray[np.float32]:
    """The real value of each byte, rounded once, as LiteRT dequantises."""
    steps = (byte_values(dtype) - quantization.zero_point).astype(np.float32)
    return steps * np.float32(quantization.scale)


def scores_by_eights(dtype: str, quantization: Quantization) -> NDArray[np.float32]:
    """The score of each byte as TFLite_Detection_PostProcess dequantises eight at a time: scaled
    and then shifted, which rounds twice. What is left behind the last eight it rounds once, as
    ``real_values`` does."""
    scale = np.float32(quantization.scale)
    shift = np.float32(-quantization.zero_point * float(scale))
    return byte_values(dtype).astype(np.float32) * scale + shift


def logistic(dtype: str, quantization: Quantization) -> NDArray[np.uint8]:
    """The byte that LOGISTIC makes of each byte, whose output is of the same type."""
    real = real_values(dtype, quantization).astype(np.float64)
    with np.errstate(over="ignore"):
        power = np.exp(-real).astype(np.float32)
    share = np.float32(1) / (np.float32(1) + power)
    # Halves are rounded up, in LiteRT's builtin kernels; all of them are positive.
    steps = np.floor((share * np.float32(1 / LOGISTIC_SCALE)).astype(np.float64) + 0.5)
    stored = np.clip(steps, 0, 255) + lowest(dtype)
    return stored.astype(dtype).view(np.uint8)
