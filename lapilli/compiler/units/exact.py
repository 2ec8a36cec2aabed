"""Layers whose per-channel weights have one scale without any rounding.

Scales that are nearly equal, and scales that are whole multiples (powers of two above all) of the
smallest: every weight is then a whole number of the smallest scale. Channels without weights
have no say.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.units.fixed_order import Floats, Integers
from lapilli.compiler.units.layers import LARGEST_WEIGHT, Layer

TOLERANCE: Final = 2.0**-12
"""How far a ratio may be from a whole number, relatively: 0.03 of the largest weight's step."""


def exact_weights(layer: Layer) -> tuple[float, Integers] | None:
    """(scale in output steps an input step, weights in it) if units of 1 need no rounding."""
    largest = np.abs(layer.weights).max(axis=(1, 2), initial=0)
    alive = largest > 0
    if not alive.any():
        return float(layer.factors.max(initial=0.0)) or 1.0, layer.weights
    scale = float(layer.factors[alive].min())
    ratios = _whole(layer.factors / scale, alive)
    if ratios is None or int((ratios * largest).max()) > LARGEST_WEIGHT:
        return None
    return scale, layer.weights * ratios[:, None, None]


def _whole(ratios: Floats, alive: NDArray[np.bool_]) -> Integers | None:
    """The ratios as whole numbers, 1 for channels without weights; None if one isn't whole."""
    nearest = np.where(alive, np.rint(ratios), 1.0)
    off = np.abs(ratios - nearest) > TOLERANCE * nearest
    if bool((off & alive).any()) or float(nearest.max()) > LARGEST_WEIGHT:
        return None
    return nearest.astype(np.int64)
