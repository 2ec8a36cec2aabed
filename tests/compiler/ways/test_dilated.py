"""Which way a dilated convolution goes: zeros between its taps while they fit a kernel and cost
little, else taps as planes, or, for depthwise kernels, a stack of small images."""

from __future__ import annotations

import hand_graphs as by_hand
import pytest
from rule_checks import chip

from lapilli.compiler.stages import compile_graph


def way_of(name: str, depthwise: bool, dilation: tuple[int, int]) -> str:
    graph = by_hand.convolution(
        (1, 33, 33, 8), outputs=8, depthwise=depthwise,
        dilation_rows=dilation[0], dilation_columns=dilation[1],
    )  # fmt: skip
    kinds = [job.kind for job in compile_graph(graph, chip(name), "reference").parts[0].jobs]
    if "copy" in kinds:
        return "stack"
    return "planes" if "planes" in kinds else "zeros"


@pytest.mark.parametrize(
    ("name", "depthwise", "dilation", "way"),
    [
        # A kernel has at most 11x11 taps on the A311D, 15x15 on the newer chip.
        ("a311d", False, (1, 1), "zeros"),
        ("a311d", False, (5, 5), "zeros"),
        ("a311d", False, (6, 6), "planes"),
        ("a311d", False, (1, 6), "planes"),
        ("a311d", True, (5, 5), "zeros"),
        ("a311d", True, (6, 6), "stack"),
        ("a311d", True, (6, 1), "stack"),
        # Zeros cost what other weights do there: four times as many, and no more.
        ("imx8mp", False, (2, 2), "zeros"),
        ("imx8mp", False, (3, 3), "planes"),
        ("imx8mp", False, (1, 5), "zeros"),
        ("imx8mp", False, (1, 6), "planes"),
        ("imx8mp", True, (7, 7), "zeros"),
        ("imx8mp", True, (8, 8), "stack"),
    ],
)
def test_the_way(name: str, depthwise: bool, dilation: tuple[int, int], way: str) -> None:
    assert way_of(name, depthwise, dilation) == way
