"""Kinds of rows of a resized image: which rows they look at, and how far beyond the border."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lapilli.compiler.operators.phases import Side, as_it_is, side_of

HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)


@pytest.mark.parametrize(
    ("first", "scale", "source", "target", "border"),
    [
        # Row 7 of the result lies at 3.5: between the last row and the one behind it.
        (Fraction(0), HALF, 4, 8, (0, 1)),
        # With half pixels the first one lies at -0.25 as well.
        (-QUARTER, HALF, 4, 8, (1, 1)),
        # With aligned corners none lies beyond.
        (Fraction(0), HALF, 4, 7, (0, 0)),
        (Fraction(0), Fraction(2), 6, 3, (0, 0)),
        (HALF, Fraction(2), 6, 3, (0, 0)),
        (Fraction(0), Fraction(3, 2), 6, 4, (0, 0)),
    ],
)
def test_borders(
    first: Fraction, scale: Fraction, source: int, target: int, border: tuple[int, int]
) -> None:
    assert side_of(first, scale, source, target).border == border


def rows_of(side: Side) -> list[dict[int, Fraction]]:
    """What each row of the result is made of: weights by row of the image."""
    found: dict[int, dict[int, Fraction]] = {}
    for number, phase in enumerate(side.phases):
        for i in range(phase.count):
            place = phase.first + i * side.step
            found[number + i * len(side.phases)] = {
                place + k: Fraction(weight, phase.whole) for k, weight in enumerate(phase.weights)
            }
    return [found[i] for i in range(side.made)]


@pytest.mark.parametrize("source", [1, 2, 5, 6])
@pytest.mark.parametrize("target", [1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize("first", [Fraction(0), Fraction(-1, 4), HALF])
def test_every_row_lies_where_the_scale_says(source: int, target: int, first: Fraction) -> None:
    scale = Fraction(source, target)
    side = side_of(first, scale, source, target)
    rows = rows_of(side)
    assert len(rows) == target
    for i, weights in enumerate(rows):
        assert sum(weights.values()) == 1
        assert sum(row * weight for row, weight in weights.items()) == first + i * scale
    touched = {row for weights in rows for row in weights}
    before, behind = max(-min(touched), 0), max(max(touched) - source + 1, 0)
    assert side.border == (before, behind), "no row more than is looked at"


def test_what_stays_is_one_phase() -> None:
    assert rows_of(as_it_is(3)) == [{0: 1}, {1: 1}, {2: 1}]
    assert as_it_is(3).border == (0, 0)
