"""One scale for a layer's weights: a little below the largest, where clipping costs less than
coarseness: the best of some shares of max |W'| / 127 by

    sum_c T_c u_c^2 sum_k E[(p_k - z)^2] (n S - W')^2,  n = round(W' / S) within +-127.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, ordered_sum, ordered_total
from lapilli.compiler.units.layers import LARGEST_WEIGHT

SHARES: Final = (1.0, 0.92, 0.85, 0.78, 0.7, 0.6)


def choose_scale(steps: Floats, energy: Floats, weight: Floats) -> float:
    """S for weights ``steps`` [outputs, taps, inputs] in output steps an input step.

    ``energy``: E[(p - z)^2] of what each weight meets, [outputs or 1, taps, inputs]; ``weight``:
    how much each output channel counts.
    """
    largest = float(np.abs(steps).max(initial=0.0)) / LARGEST_WEIGHT
    if largest == 0.0:
        return 1.0
    best, least = largest, np.inf
    for share in SHARES:
        scale = largest * share
        whole = np.clip(np.rint(steps / scale), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        off = whole * scale - steps
        off *= off
        off *= energy
        rows = ordered_sum(off.reshape(len(off), -1), axis=1)
        cost = ordered_total(rows * weight)
        if cost < least:
            best, least = scale, cost
    return best


def nearest(steps: Floats, scales: Floats) -> Floats:
    """W' / S to the nearest whole number within +-127; ``scales``: one for each output channel."""
    whole: Floats = np.rint(steps / scales[:, None, None])
    return np.clip(whole, -LARGEST_WEIGHT, LARGEST_WEIGHT)
