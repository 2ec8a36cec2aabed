"""Borders that repeat the image, to the byte: of images of two to four dimensions, with and without
the line at the edge, as wide as they may be."""

from __future__ import annotations

import itertools

import numpy as np
import on_npu
import pytest
from comparing import CHIPS, SCHEDULES
from models import ModelBuilder

MODES = {"reflect": 0, "symmetric": 1}
Amounts = tuple[tuple[int, int], ...]


def model(shape: tuple[int, ...], amounts: Amounts, mode: str) -> bytes:
    builder = ModelBuilder()
    x = builder.input(shape, 0.1, 30)
    padded = [sum(sides) + extent for sides, extent in zip(amounts, shape, strict=True)]
    y = builder.tensor(tuple(padded), 0.1, 30)
    constant = builder.constant(np.array(amounts, np.int32))
    builder.operator(
        "MIRROR_PAD", [x, constant], [y], ("MirrorPadOptions", {"Mode": MODES[mode]}), 2
    )
    return builder.build([y])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "amounts"),
    [
        ((1, 5, 6, 4), ((0, 0), (3, 2), (1, 5), (2, 1))),
        ((1, 5, 6, 4), ((0, 0), (4, 4), (0, 0), (0, 0))),
        ((1, 5, 6, 4), ((0, 0), (0, 0), (0, 5), (0, 0))),
        ((1, 1, 6, 4), ((0, 0), (0, 0), (1, 0), (3, 3))),
        ((5, 6, 4), ((2, 0), (1, 3), (0, 2))),
        ((6, 4), ((1, 3), (0, 2))),
        ((9,), ((8, 3),)),
    ],
    ids=str,
)
def test_borders_repeat_the_image(shape: tuple[int, ...], amounts: Amounts, mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = np.pad(values, amounts, mode=mode)  # type: ignore[call-overload]
    for chip, schedule in itertools.product(CHIPS, SCHEDULES):
        (found,) = on_npu.run(model(shape, amounts, mode), [values], chip, schedule)
        assert np.array_equal(found, expected), (chip, schedule)
