"""``lapilli diff``: what the numbers mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapilli.diff.statistics import HISTOGRAM_NAMES, Difference, difference, total
from lapilli.model.graph import Quantization

pairs = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=60)


def arrays(pair_list: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    npu, cpu = (np.array(side, np.uint8) for side in zip(*pair_list, strict=True))
    return npu, cpu


def class_of(steps: int) -> str:
    """The histogram's classes in words."""
    if steps <= 2:
        return str(steps)
    return "3-4" if steps <= 4 else "5-8" if steps <= 8 else ">8"


@given(pairs, st.floats(1e-4, 10), st.integers(0, 255))
def test_the_definitions_hold(
    pair_list: list[tuple[int, int]], scale: float, zero_point: int
) -> None:
    found = difference(*arrays(pair_list), Quantization((scale,), (zero_point,)))
    steps = [abs(n - c) for n, c in pair_list]
    assert found.values == len(steps)
    assert found.maximum == max(steps)
    assert found.mean == pytest.approx(sum(steps) / len(steps))
    assert found.unequal == sum(s > 0 for s in steps)
    assert found.share == pytest.approx(sum(s > 0 for s in steps) / len(steps))
    assert found.histogram == tuple(
        sum(class_of(s) == name for s in steps) for name in HISTOGRAM_NAMES
    )
    noise = sum(((n - c) * scale) ** 2 for n, c in pair_list)
    signal = sum(((c - zero_point) * scale) ** 2 for _, c in pair_list)
    if noise == 0:
        assert found.snr_db == math.inf
    elif signal == 0:
        assert found.snr_db == -math.inf
    else:
        assert found.snr_db == pytest.approx(10 * math.log10(signal / noise), abs=1e-6)


@given(pairs, pairs)
def test_totals_are_those_of_the_values_together(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    whole = difference(*arrays(first + second))
    summed = total([difference(*arrays(first)), difference(*arrays(second))])
    assert summed.mean == pytest.approx(whole.mean)
    assert summed.snr_db is None
    for name in ("values", "unequal", "maximum", "histogram"):
        assert getattr(summed, name) == getattr(whole, name)


def test_hand_made_difference() -> None:
    cpu = np.array([[10, 10, 10, 10]], np.uint8)
    npu = np.array([[10, 11, 7, 255]], np.uint8)
    found = difference(npu, cpu, Quantization((0.5,), (0,)))
    assert found == Difference(4, 3, 245, 249 / 4, (1, 1, 0, 1, 0, 1), found.snr_db)
    assert found.snr_db == pytest.approx(10 * math.log10(100 / (0.25 * (1 + 9 + 245**2))))


def test_signs_do_not_wrap() -> None:
    npu, cpu = np.array([-128, 127], np.int8), np.array([127, -128], np.int8)
    assert difference(npu, cpu).maximum == 255


def test_floats_have_no_steps() -> None:
    cpu = np.array([1.0, 2.0, np.nan], np.float32)
    found = difference(cpu, cpu)
    assert (found.maximum, found.mean, found.histogram) == (None, None, None)
    assert (found.unequal, found.snr_db) == (0, math.inf)
    assert not found.exceeds(0)
    assert difference(np.array([1.0, 2.0, 5.0], np.float32), cpu).snr_db == -math.inf


def test_nothing_compared() -> None:
    empty = np.zeros(0, np.uint8)
    assert difference(empty, empty) == Difference(0, 0, 0, 0.0, (0,) * 6, math.inf)
    assert total([]) == Difference(0, 0, 0, 0.0, (0,) * 6, None)


def test_tensors_of_different_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        difference(np.zeros(3, np.uint8), np.zeros(4, np.uint8))
