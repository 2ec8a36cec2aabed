"""MediaPipe's transposed convolution, which LiteRT itself does not have."""

from __future__ import annotations

from typing import Any

import hand_graphs as by_hand
import numpy as np
import pytest

from lapilli.errors import Unsupported
from lapilli.model.graph import Graph, Padding
from lapilli.model.options import TRANSPOSED_WITH_BIAS, TransposedConvolution
from lapilli.reference.executor import execute

IMAGE, KERNEL, BIAS, RESULT = 0, 1, 2, 3


def transposed(kernel: Any, bias: Any, padding: Padding, result: tuple[int, ...]) -> Graph:
    plain = {"dtype": "float32", "quantization": None}
    tensors = (
        by_hand.tensor(IMAGE, "image", (1, 2, 2, 1), **plain),
        by_hand.constant(KERNEL, "kernel", np.array(kernel, np.float32), quantization=None),
        by_hand.constant(BIAS, "bias", np.array(bias, np.float32), quantization=None),
        by_hand.tensor(RESULT, "result", result, **plain),
    )
    options = TransposedConvolution(padding, 2, 2)
    return by_hand.one_operator(TRANSPOSED_WITH_BIAS, tensors, (IMAGE, KERNEL, BIAS), options)


def run(graph: Graph) -> Any:
    image = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 1, 2, 2, 1)
    return execute(graph, {IMAGE: image})[RESULT][0, 0, :, :, 0]


def test_each_pixel_becomes_a_block_where_kernel_and_stride_agree() -> None:
    kernel = np.array([[1, 10], [100, 1000]]).reshape(1, 2, 2, 1)
    found = run(transposed(kernel, [0.5], Padding.SAME, (1, 4, 4, 1)))
    expected = np.kron([[1, 2], [3, 4]], [[1, 10], [100, 1000]]) + 0.5
    assert np.array_equal(found, expected)


def test_larger_kernels_overlap_and_are_cut_at_the_border() -> None:
    """SAME leaves out a row and a column in front of the image, as 4 is 2 more than the stride."""
    found = run(transposed(np.ones((1, 4, 4, 1)), [0], Padding.SAME, (1, 4, 4, 1)))
    assert np.array_equal(found[0], [1, 3, 3, 2])
    assert np.array_equal(found[1], [4, 10, 10, 6])


def test_bytes_are_refused() -> None:
    graph = transposed(np.ones((1, 2, 2, 1)), [0], Padding.SAME, (1, 4, 4, 1))
    graph = by_hand.with_tensor(graph, IMAGE, dtype="int8")
    with pytest.raises(Unsupported, match="Convolution2DTransposeBias of int8"):
        execute(graph, {IMAGE: np.zeros((1, 1, 2, 2, 1), np.int8)})
