"""Padding in every way that it is moved, to the byte: rows fetched along with slices or as lines,
columns and channels, NHWC bytes and planes, and a value that is no zero point."""

from __future__ import annotations

import itertools

import numpy as np
import on_npu
import pytest
from comparing import CHIPS, SCHEDULES
from models import ModelBuilder

NONE = (0, 0)
ROWS = (NONE, (1, 0), (0, 1), (1, 1), (3, 0), (0, 2), (3, 2))
OTHERS = ((NONE, NONE), ((1, 4), NONE), (NONE, (2, 1)), ((2, 0), (0, 3)))
"""Amounts of columns and channels."""


def model(
    shape: tuple[int, ...],
    amounts: tuple[tuple[int, int], ...],
    planes: bool,
    value: np.ndarray | None = None,
) -> bytes:
    """``planes``: what is padded comes from a convolution; with ``value`` it is a PADV2."""
    builder = ModelBuilder()
    x = builder.input(shape, 0.1, 30)
    if planes:
        channels = shape[3]
        weights = np.eye(channels, dtype=np.uint8).reshape(channels, 1, 1, channels)
        x = builder.conv(x, weights, np.zeros(channels), 1.0, 0, 0.1, 30)
    padded = (extent + before + behind for extent, (before, behind) in
              zip(shape, (NONE, *amounts), strict=True))  # fmt: skip
    y = builder.tensor(tuple(padded), 0.1, 30)
    constant = builder.constant(np.array((NONE, *amounts), np.int32))
    if value is None:
        builder.operator("PAD", [x, constant], [y], ("PadOptions", {}))
    else:
        inputs = [x, constant, builder.constant(value, 0.1, 30)]
        builder.operator("PADV2", inputs, [y], ("PadV2Options", {}))
    return builder.build([y])


@pytest.mark.parametrize("planes", [False, True], ids=["nhwc", "planes"])
@pytest.mark.parametrize("shape", [(1, 5, 6, 4), (1, 1, 6, 4), (1, 5, 6, 1)], ids=str)
def test_any_amounts_to_the_byte(shape: tuple[int, ...], planes: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    targets = itertools.cycle(itertools.product(CHIPS, SCHEDULES))
    for rows, (columns, channels) in itertools.product(ROWS, OTHERS):
        chip, schedule = next(targets)
        data = model(shape, (rows, columns, channels), planes)
        (found,) = on_npu.run(data, [values], chip, schedule)
        expected = np.pad(values, (NONE, rows, columns, channels), constant_values=30)
        assert np.array_equal(found, expected), (rows, columns, channels, chip, schedule)


@pytest.mark.parametrize("planes", [False, True], ids=["nhwc", "planes"])
@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
def test_a_value_that_is_no_zero_point(shape: tuple[int, ...], planes: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 4), dtype=np.uint8)
    amounts = ((1, 2), (0, 3), NONE)
    for chip, schedule in itertools.product(CHIPS, SCHEDULES):
        data = model((1, 5, 6, 4), amounts, planes, np.full(shape, 99, np.uint8))
        (found,) = on_npu.run(data, [values], chip, schedule)
        assert np.array_equal(found, np.pad(values, (NONE, *amounts), constant_values=99))
