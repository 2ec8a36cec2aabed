"""What a model's outputs mean: classes with scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.graph import Quantization


@dataclass(frozen=True)
class Score:
    """One class of a classifier; ``label`` is empty if none is known."""

    number: int
    label: str
    score: float


def dequantise(
    values: NDArray[np.generic], quantization: Quantization | None
) -> NDArray[np.float64]:
    """Real values of a tensor."""
    real = values.astype(np.float64)
    if quantization is None or not quantization.scales or values.dtype.kind == "f":
        return real
    return (real - quantization.zero_point) * quantization.scale


def is_classifier(shapes: list[tuple[int, ...]]) -> bool:
    """One output of which only the last dimension is more than 1."""
    return len(shapes) == 1 and len(shapes[0]) >= 1 and shapes[0][-1] > 1 and all(
        extent == 1 for extent in shapes[0][:-1])


def top_classes(
    scores: NDArray[np.float64], labels: Mapping[int, str], count: int
) -> tuple[Score, ...]:
    """The ``count`` best classes, best first, the lower number first among equals."""
    flat = scores.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    return tuple(Score(int(i), labels.get(int(i), ""), float(flat[i])) for i in order)
