"""Rounding of weights with error feedback: what one weight's rounding spoils, the next repair.

Minimises e H e' for each output channel over whole weights, e the errors of its weights and H the
covariance of what they meet (input patches of the quantised stream), with 0.08 on the diagonal
for the rounding of bytes and 2 % of the mean diagonal. Columns are taken by falling H_kk:

    n_k = round(w_k + sum_{j taken before k} e_j L_jk / L_kk),   H = L L', taken last to first.

Source: OBQ and GPTQ (Frantar et al. 2022), in the form that is Babai's nearest plane: the factor
of H itself in the reverse order in place of the inverse's. All large sums are products of whole
numbers that are exact in any order (``fixed_order``): L and the errors lie on grids.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers, ordered_total, whole_product
from lapilli.compiler.units.layers import LARGEST_WEIGHT

BYTE_ROUNDING: Final = 0.08
DAMPING: Final = 0.02
_BLOCK: Final = 64
_FACTOR_GRID: Final = float(1 << 20)
_ERROR_GRID: Final = float(1 << 18)
_LARGEST_ERROR: Final = 16.0
_LEAST_PIVOT: Final = 2.0**-20


def covariance(patches: Integers) -> Floats:
    """H of [patches, weights] whole numbers, with what lies on the diagonal."""
    wide = patches.astype(np.float64)
    count = float(max(1, len(wide)))
    sums = wide.sum(axis=0)
    # Below 2**53 for 4,096 patches of bytes, so exact.
    products: Floats = whole_product(wide.T, wide) * count - sums[:, None] * sums[None, :]
    products /= count * count
    diagonal = np.diagonal(products)
    mean = ordered_total(np.ascontiguousarray(diagonal)) / max(1, len(diagonal))
    products[np.diag_indices_from(products)] += BYTE_ROUNDING + DAMPING * mean
    return products


def factor(matrix: Floats) -> Floats:
    """L of a symmetric positive definite matrix with ones on the diagonal, times 2**20, whole."""
    size = len(matrix)
    lower = np.zeros_like(matrix)
    for start in range(0, size, _BLOCK):
        stop = min(size, start + _BLOCK)
        # Rows of L are shorter than 1: sums of products of whole numbers stay below 2**41.
        done = whole_product(lower[start:, :start], lower[start:stop, :start].T)
        panel = matrix[start:, start:stop] - done / (_FACTOR_GRID * _FACTOR_GRID)
        for j in range(stop - start):
            pivot = np.sqrt(max(float(panel[j, j]), _LEAST_PIVOT))
            column = np.rint(panel[j:, j] * (_FACTOR_GRID / pivot))
            lower[start + j :, start + j] = column
            rest = column[1 : stop - start - j] / _FACTOR_GRID
            panel[j:, j + 1 :] -= (column / _FACTOR_GRID)[:, None] * rest[None, :]
    return lower


def round_dense(weights: Floats, patches: Integers) -> Floats:
    """Whole weights for ``weights`` [outputs, weights] in units of their scales."""
    matrix = covariance(patches)
    diagonal = np.diagonal(matrix).copy()
    order = np.argsort(diagonal, kind="stable")
    deviation = np.sqrt(diagonal)[order]
    matrix = matrix[order][:, order] / (deviation[:, None] * deviation[None, :])
    lower = factor(matrix)
    shares = deviation / deviation.max()
    found = _sweep(np.ascontiguousarray(weights.T[order]), lower, shares)
    result = np.empty_like(weights)
    result[:, order] = found.T
    return result


def _sweep(wanted: Floats, lower: Floats, shares: Floats) -> Floats:
    """From the last row of ``wanted`` [weights, outputs] to the first."""
    size = len(wanted)
    chosen = np.empty_like(wanted)
    errors = np.zeros_like(wanted)
    for start in reversed(range(0, size, _BLOCK)):
        stop = min(size, start + _BLOCK)
        # Whole numbers: errors below 2**22, factors up to 2**20, at most 2**11 of them.
        pulled = whole_product(lower[stop:, start:stop].T, errors[stop:])
        for k in range(stop - 1, start - 1, -1):
            pivot = shares[k] * max(float(lower[k, k]), 1.0) * _ERROR_GRID
            target = wanted[k] + pulled[k - start] / pivot
            whole = np.clip(np.rint(target), -LARGEST_WEIGHT, LARGEST_WEIGHT)
            chosen[k] = whole
            error = np.clip(wanted[k] - whole, -_LARGEST_ERROR, _LARGEST_ERROR)
            errors[k] = np.rint(error * (shares[k] * _ERROR_GRID))
            if k > start:
                pulled[: k - start] += lower[k, start:k][:, None] * errors[k][None, :]
    return chosen


def round_depthwise(weights: Floats, patches: Integers) -> Floats:
    """The same for each channel by itself: ``weights`` [channels, taps] meet ``patches``
    [patches, taps, channels]."""
    matrices = _covariances(patches)
    channels, taps = weights.shape
    diagonal = np.diagonal(matrices, axis1=1, axis2=2).copy()
    order = np.argsort(diagonal, axis=1, kind="stable")
    rows = np.arange(channels)[:, None]
    matrices = matrices[rows[:, :, None], order[:, :, None], order[:, None, :]]
    lower = _factors(matrices)
    wanted = weights[rows, order]
    chosen, errors = np.empty_like(wanted), np.zeros_like(wanted)
    for k in range(taps - 1, -1, -1):
        target = wanted[:, k].copy()
        for j in range(k + 1, taps):
            target += errors[:, j] * lower[:, j, k] / lower[:, k, k]
        chosen[:, k] = np.clip(np.rint(target), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        errors[:, k] = np.clip(wanted[:, k] - chosen[:, k], -_LARGEST_ERROR, _LARGEST_ERROR)
    result = np.empty_like(weights)
    result[rows, order] = chosen
    return result


def _covariances(patches: Integers) -> Floats:
    """H of each channel, [channels, taps, taps]."""
    count, taps, channels = patches.shape
    wide = patches.astype(np.float64)
    sums = wide.sum(axis=0)
    matrices = np.empty((channels, taps, taps))
    for a in range(taps):
        for b in range(a + 1):
            # Whole numbers below 2**53, as above.
            product = np.einsum("rc,rc->c", wide[:, a], wide[:, b]) * count - sums[a] * sums[b]
            matrices[:, a, b] = matrices[:, b, a] = product / float(count * count)
    mean = np.add.accumulate(np.diagonal(matrices, axis1=1, axis2=2), axis=1)[:, -1] / taps
    every = np.arange(taps)
    matrices[:, every, every] += BYTE_ROUNDING + (DAMPING * mean)[:, None]
    return matrices


def _factors(matrices: Floats) -> Floats:
    """L of each of [channels, n, n], column after column."""
    rest = matrices.copy()
    lower = np.zeros_like(rest)
    for j in range(rest.shape[1]):
        pivot = np.sqrt(np.maximum(rest[:, j, j], _LEAST_PIVOT))
        column = rest[:, j:, j] / pivot[:, None]
        lower[:, j:, j] = column
        rest[:, j:, j:] -= column[:, :, None] * column[:, None, :]
    return lower
