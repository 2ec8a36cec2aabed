"""Fused ReLU6 whose 6 lies just inside the bytes, on them and just beyond, against LiteRT."""

from __future__ import annotations

import numpy as np
import on_npu
import pytest
from comparing import CHIPS, SCHEDULES, compare, run_litert
from models import ModelBuilder

from lapilli.compiler.operators.endings import Ending, byte_ending, cut_range, ending_of
from lapilli.model.graph import Activation, Quantization


def quantised(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization((float(np.float32(scale)),), (zero_point,), 0)


@pytest.mark.parametrize(
    ("greatest", "zero_point"), [(253, 0), (254, 0), (255, 0), (254, 10), (255, 10), (1, 0)]
)
def test_the_byte_of_6_is_the_last_one(greatest: int, zero_point: int) -> None:
    """One below 255 it needs a job of its own, which 255 does not."""
    quantization = quantised(6 / (greatest - zero_point), zero_point)
    assert cut_range(quantization, Activation.RELU6) == (zero_point, greatest)
    shift = 255 - greatest
    expected = Ending(zero_point + shift, relu=True, shift=shift)
    assert ending_of(quantization, Activation.RELU6) == expected
    assert expected.direct == (greatest == 255)


@pytest.mark.parametrize("greatest", [253, 254, 255])
@pytest.mark.parametrize("zero_point", [0, 10])
def test_bytes_that_stay_as_they_are_are_cut_at_the_byte_of_6(
    greatest: int, zero_point: int
) -> None:
    quantization = quantised(6 / (greatest - zero_point), zero_point)
    shift = 255 - greatest
    expected = Ending(zero_point + shift, relu=zero_point > 0, shift=shift)
    assert byte_ending(quantization, Activation.RELU6) == expected


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("greatest", [253, 254, 255])
def test_the_greatest_of_a_window_is_cut_at_6(greatest: int, chip: str) -> None:
    builder = ModelBuilder()
    x = builder.input((1, 16, 16, 1), float(np.float32(6 / greatest)), 0)
    y = builder.tensor((1, 8, 8, 1), float(np.float32(6 / greatest)), 0)
    options = {"Padding": 1, "StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2,
               "FusedActivationFunction": 3}  # fmt: skip
    builder.operator("MAX_POOL_2D", [x], [y], ("Pool2DOptions", options))
    model = builder.build([y])
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    (found,) = on_npu.run(model, [values], chip)
    (expected,) = run_litert(model, [values])
    assert int(found.max()) == greatest
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("greatest", [253, 254, 255, 256])
def test_no_result_lies_above_6(greatest: int, schedule: str, chip: str) -> None:
    builder = ModelBuilder()
    x = builder.input((1, 16, 16, 1), 1.0, 0)
    weights = np.full((1, 1, 1, 1), 1, np.uint8)
    scale = float(np.float32(6 / greatest))
    y = builder.conv(x, weights, np.zeros(1), 1.3 * scale, 0, scale, 0, activation="RELU6")
    model = builder.build([y])
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    (found,) = on_npu.run(model, [values], chip, schedule)
    (expected,) = run_litert(model, [values])
    assert int(expected.max()) == min(greatest, 255)
    assert int(found.max()) == min(greatest, 255)
    assert compare(found, expected).worst <= 1
