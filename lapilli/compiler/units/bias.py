"""Correction of the bias for the mean error that rounding weights leaves.

Local: b'[c] += sum_k (W'[c,k] - S n[c,k]) E[p_k - z], with the mean of the quantised stream: only
what this layer's own rounding does. Correcting what earlier layers left, too, fits the
calibration samples more than others. Source: Nagel et al. 2019 (the idea), measured here.
"""

from __future__ import annotations

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers, ordered_sum


def patch_means(patches: Integers) -> Floats:
    """E[p - z] of [patches, taps, inputs]."""
    means: Floats = patches.sum(axis=0) / float(max(1, len(patches)))
    return means


def patch_energies(patches: Integers) -> Floats:
    """E[(p - z)^2] of [patches, taps, inputs]."""
    wide = patches.astype(np.float64)
    energies: Floats = np.einsum("pti,pti->ti", wide, wide) / float(max(1, len(patches)))
    return energies


def correction(steps: Floats, scales: Floats, whole: Floats, means: Floats) -> Floats:
    """Output steps to add for each channel. ``steps``, ``whole``: [outputs, taps, inputs];
    ``means``: [outputs or 1, taps, inputs]."""
    left = (steps - whole * scales[:, None, None]) * means
    return ordered_sum(left.reshape(len(left), -1), axis=1)


def in_sums(bias: Floats, scales: Floats) -> Integers:
    """B = round(b' / S), within 32 bits."""
    limit = float((1 << 31) - 1)
    return np.clip(np.rint(bias / scales), -limit, limit).astype(np.int64)
