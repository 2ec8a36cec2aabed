"""Rounding with error feedback, the choice of a scale, the correction of a bias."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lapilli.compiler.units import rounding
from lapilli.compiler.units.bias import correction, patch_means
from lapilli.compiler.units.scale import choose_scale, nearest


def correlated(seed: int, patches: int, weights: int) -> np.ndarray:
    """Whole input patches whose elements go together, as neighbouring pixels do."""
    random = np.random.default_rng(seed)
    common = random.normal(0, 40, (patches, 3)) @ random.normal(0, 1, (3, weights))
    return np.clip(np.rint(common + random.normal(0, 8, common.shape)), -128, 127).astype(np.int64)


def noise(wanted: np.ndarray, whole: np.ndarray, patches: np.ndarray) -> float:
    errors = wanted - whole
    return float(np.einsum("oi,ij,oj->", errors, rounding.covariance(patches), errors))


@pytest.mark.parametrize("size", [5, 64, 150])
def test_error_feedback_makes_less_noise_than_rounding_to_the_nearest(size: int) -> None:
    patches = correlated(size, 600, size)
    wanted = np.random.default_rng(1).normal(0, 30, (7, size))
    found = rounding.round_dense(wanted, patches)
    assert np.array_equal(found, np.rint(found)) and np.abs(found).max() <= 127
    assert noise(wanted, found, patches) < 0.7 * noise(wanted, np.rint(wanted), patches)


def test_it_comes_close_to_the_best_there_is() -> None:
    patches = correlated(3, 300, 4)
    wanted = np.random.default_rng(2).normal(0, 3, (1, 4))
    best = min(
        noise(wanted, np.floor(wanted) + np.array([corner]), patches)
        for corner in product(range(-1, 3), repeat=4)
    )
    assert noise(wanted, rounding.round_dense(wanted, patches), patches) < 1.5 * best


def test_depthwise_channels_are_rounded_as_if_each_were_a_layer() -> None:
    patches = np.stack([correlated(seed, 400, 9) for seed in range(3)], axis=2)
    wanted = np.random.default_rng(4).normal(0, 30, (3, 9))
    found = rounding.round_depthwise(wanted, patches)
    for channel in range(3):
        alone = rounding.round_dense(wanted[channel : channel + 1], patches[:, :, channel])
        np.testing.assert_array_equal(found[channel], alone[0])


def test_the_factor_is_the_matrix_s() -> None:
    patches = correlated(5, 900, 130)
    matrix = rounding.covariance(patches)
    deviation = np.sqrt(np.diagonal(matrix))
    matrix = matrix / np.outer(deviation, deviation)
    lower = rounding.factor(matrix) / 2.0**20
    np.testing.assert_allclose(lower @ lower.T, matrix, atol=2e-4)
    assert np.array_equal(lower, np.tril(lower))


def test_patches_that_never_differ_are_rounded_all_the_same() -> None:
    found = rounding.round_dense(np.full((2, 3), 0.4), np.full((50, 3), 7, np.int64))
    assert np.isin(found, [0.0, 1.0]).all()


def test_one_large_weight_is_clipped_where_that_makes_less_noise() -> None:
    steps = np.random.default_rng(0).normal(0, 1.0, (64, 1, 200))
    steps[0, 0, 0] = 12.0
    energy = np.ones((1, 1, 200))
    assert choose_scale(steps, energy, np.ones(64)) < 12.0 / 127
    # … and not where that channel counts.
    energy[0, 0, 0] = 1e4
    assert choose_scale(steps, energy, np.ones(64)) == 12.0 / 127


def test_weights_that_are_all_zero_have_a_scale() -> None:
    assert choose_scale(np.zeros((2, 1, 3)), np.ones((1, 1, 3)), np.ones(2)) == 1.0


def test_the_correction_takes_the_mean_error_out() -> None:
    random = np.random.default_rng(6)
    patches = np.abs(correlated(7, 500, 40)).reshape(500, 4, 10)
    steps = random.normal(0, 0.02, (6, 4, 10))
    scales = np.full(6, 0.004)
    whole = nearest(steps, scales)
    added = correction(steps, scales, whole, patch_means(patches)[None])
    errors = np.einsum("pti,oti->po", patches, steps - whole * 0.004) - added
    assert np.abs(errors.mean(axis=0)).max() < 1e-9 * np.abs(errors).max()
