"""Small models for tests of the reader, and what becomes of one when it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from models import ModelBuilder
from work import counted_calls

from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph

CALLS_A_BYTE = 25
"""What reading may take. Tables of four bytes each that share the rest are the worst: some 18."""
IMAGE, KERNEL, BIAS, CONVOLVED = 0, 1, 2, 3
DEPTHWISE_KERNEL, DEPTHWISE_BIAS, DEPTHWISED, SUM = 4, 5, 6, 7


def small_model() -> ModelBuilder:
    """Convolution, depthwise convolution and addition of 4 x 4 pixels; the tensors as above."""
    builder = ModelBuilder()
    image = builder.input((1, 4, 4, 2), 0.02, 128)
    kernel = np.arange(36, dtype=np.uint8).reshape(2, 3, 3, 2)
    bias = np.array([5, -7], dtype=np.int32)
    convolved = builder.conv(image, kernel, bias, 0.01, 120, 0.05, 3, name="first")
    kernel = np.arange(18, dtype=np.uint8).reshape(1, 3, 3, 2)
    depthwised = builder.depthwise(convolved, kernel, bias, 0.01, 120, 0.05, 3, name="second")
    builder.add(convolved, depthwised, 0.1, 4, name="sum")
    return builder


def small_bytes() -> bytes:
    return small_model().build([SUM])


def outcome(data: bytes) -> Graph | ModelError:
    """What reading gives; any other exception, or work out of proportion, fails the test."""
    result: Graph | ModelError
    with counted_calls() as taken:
        try:
            result = tflite.parse(data, "small.tflite")
        except ModelError as error:
            result = error
    assert "\n" not in str(result)
    assert taken.calls < CALLS_A_BYTE * len(data) + 2000
    return result


def two_convolutions(description: str = "", dtype: str = "uint8") -> tuple[ModelBuilder, int]:
    """A model with every option different from its default, and its output."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder(dtype)
    builder.description += description
    zero_point = 100 if dtype == "uint8" else 0
    around = (zero_point - 60, zero_point + 80)
    image = builder.input((1, 9, 11, 2), 0.02, 3)
    weights = rng.integers(*around, (4, 3, 3, 2)).astype(dtype)
    bias = rng.integers(-99, 99, 4)
    scales: Any = 0.01 if dtype == "uint8" else [0.01, 0.02, 0.03, 0.04]
    first = builder.conv(
        image, weights, bias, scales, zero_point, 0.05, 9,
        stride=(1, 2), padding="VALID", activation="RELU6",
    )  # fmt: skip
    weights = rng.integers(*around, (1, 3, 2, 8)).astype(dtype)
    second = builder.depthwise(
        first, weights, rng.integers(-99, 99, 8), 0.01, zero_point, 0.05, 9,
        dilation=(2, 1), activation="RELU",
    )  # fmt: skip
    return builder, builder.add(second, second, 0.1, 9, activation="RELU_N1_TO_1")
