"""Outputs of a layer that share a scale: the best of all ways to cut."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from lapilli.compiler.units.groups import cut, cut_sorted, noise


def every_cut(count: int, most: int) -> list[list[np.ndarray]]:
    """All ways to cut a row of ``count`` into at most ``most`` runs."""
    found = []
    for cuts in range(most):
        for places in combinations(range(1, count), cuts):
            found.append(np.split(np.arange(count), places))
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_no_other_cut_makes_less_noise(seed: int, most: int) -> None:
    random = np.random.default_rng(seed)
    needed, weight = 10.0 ** random.uniform(-2, 0, 9), random.uniform(0.0, 1.0, 9)
    found = cut(needed, weight, most)
    assert len(found) <= most
    np.testing.assert_array_equal(np.concatenate(found), np.arange(9))
    least = min(noise(needed, weight, runs) for runs in every_cut(9, most))
    assert noise(needed, weight, found) == pytest.approx(least, rel=1e-12)


def test_a_row_that_is_free_is_sorted_first() -> None:
    needed = np.array([1.0, 0.01, 1.0, 0.01, 1.0])
    weight = np.ones(5)
    found = cut_sorted(needed, weight, 2)
    assert [sorted(run.tolist()) for run in found] == [[1, 3], [0, 2, 4]]


def test_cuts_that_bring_nothing_are_not_made() -> None:
    assert len(cut(np.ones(8), np.ones(8), 4)) == 1
    assert len(cut_sorted(np.array([1.0, 2.0, 1.0, 2.0]), np.ones(4), 4)) == 2
