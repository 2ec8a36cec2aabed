"""A crafted file costs no more time and memory than a large honest one."""

from __future__ import annotations

import numpy as np
from small_model import IMAGE, SUM, outcome, small_model
from work import counted_bytes
from worst_cases import longest_list, tensors_alike

from lapilli.model import limits, tflite
from lapilli.model.graph import Graph


def test_tables_that_share_a_long_list_are_refused_soon() -> None:
    result = outcome(tensors_alike(limits.MOST_TABLES, 1_000_000))
    assert "found lists that overlap or never end" in str(result)


def test_as_many_tensors_as_allowed_are_read_soon_and_more_are_refused() -> None:
    result = outcome(tensors_alike(limits.MOST_TABLES, 1000))
    assert isinstance(result, Graph)
    assert len(result.tensors) == limits.MOST_TABLES
    result = outcome(tensors_alike(limits.MOST_TABLES + 1, 1000))
    assert "main subgraph: tensors: found 16385; allowed: up to 16384" in str(result)


def test_the_worst_lists_take_bounded_time_and_memory() -> None:
    data = longest_list()
    assert isinstance(outcome(data), Graph)
    with counted_bytes() as taken:
        tflite.parse(data, "small.tflite")
    assert taken.peak_bytes < 20 * limits.READ_LIMIT


def test_many_operators_that_share_many_scales_are_refused_soon() -> None:
    builder = small_model()
    channels = 50_000
    kernel = builder.constant(
        np.zeros((channels, 1, 1, 2), np.uint8), [0.5] * channels, 0, name="shared"
    )
    for _ in range(200):
        result = builder.tensor((1, 4, 4, channels), 1.0)
        builder.operator("CONV_2D", [IMAGE, kernel], [result], builder.operators[0].options)
    assert "lists that overlap" in str(outcome(builder.build([SUM])))
