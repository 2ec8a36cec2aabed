"""The graph as LiteRT tells it to the delegate is the one in the file."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import further_operators as build
import numpy as np
import pytest
from fake_npu import (
    FakeBackend,
    FakePart,
    FakeVerdict,
    new_interpreter,
    small_model,
)
from models import ModelBuilder
from shared_data import shared_data

from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import (
    Activation,
    Addition,
    Concatenation,
    Convolution,
    FullyConnected,
    Graph,
    MirrorPadding,
    Multiplication,
    Padding,
    Pooling,
    Stack,
    StridedSlice,
)


def test_the_graph_is_the_models() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    graph = backend.graphs[0]
    assert [operator.kind for operator in graph.operators] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "CONV_2D", "ADD"
    ]  # fmt: skip
    assert graph.operators[0].options == Convolution(Padding.SAME, 2, 2, activation=Activation.RELU)
    assert graph.operators[3].options == Convolution(Padding.VALID, 1, 1)
    assert graph.operators[4].options == Addition()
    assert graph.inputs == (interpreter.get_input_details()[0]["index"],)
    assert graph.outputs == (interpreter.get_output_details()[0]["index"],)
    part: FakePart = delegate.parts[0]
    weights = part.graph.tensors[part.operators[0].inputs[1]].data
    assert weights is not None
    assert weights.shape == (4, 3, 3, 3)
    assert not weights.flags.writeable
    del interpreter, delegate
    gc.collect()
    assert weights.sum() > 0  # a copy: the model's memory is gone


def assert_same_graph(ours: Graph, read: Graph) -> None:
    """The runtime appends temporary tensors, and it works out shapes that the file leaves open."""
    assert ours.operators == read.operators
    assert set(ours.outputs) == set(read.outputs)
    for mine, theirs in zip(ours.tensors, read.tensors, strict=False):
        assert (mine.index, mine.name, mine.dtype) == (theirs.index, theirs.name, theirs.dtype)
        assert mine.shape == theirs.shape or theirs.shape == ()
        assert mine.quantization == theirs.quantization, mine
        assert (mine.data is None) == (theirs.data is None), mine
        if mine.data is not None and theirs.data is not None:
            assert np.array_equal(mine.data, theirs.data)


class Reader(FakeBackend):
    """Compares the graph with the one read from the file."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(kinds=())
        self.graph = graph

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        assert_same_graph(graph, self.graph)
        return super().verdicts(graph)


MODELS = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v2_1.0_224_quant",
    "tf2_mobilenet_v2_1.0_224_ptq",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "movenet_single_pose_lightning_ptq",
    "ssdlite_mobiledet_coco_qat_postprocess",
)


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_is_what_the_file_says(name: str) -> None:
    path = shared_data() / "models" / f"{name}.tflite"
    backend = Reader(tflite.parse(path.read_bytes(), path.name))
    new_interpreter(path.read_bytes(), Delegate(_backend=backend))
    assert len(backend.graphs) == 1


def further_operators(dtype: str) -> bytes:
    """One of each with options that are no default."""
    builder = ModelBuilder(dtype)
    zero = -3 if dtype == "int8" else 125
    x = builder.input((1, 8, 6, 4), 0.1, zero)
    pooled = build.pool(builder, "MAX_POOL_2D", x, (3, 2), (2, 1), "SAME", "RELU6")
    averaged = build.pool(builder, "AVERAGE_POOL_2D", x, (1, 3), (2, 1), "VALID", "RELU")
    joined = build.concatenate(builder, [averaged, averaged], -1)
    scaled = build.multiply(builder, joined, joined, (0.2, zero), "RELU_N1_TO_1")
    picked = build.strided_slice(
        builder, scaled, (0, 1, 0, 2), (0, 0, 4, 6), (1, 1, 2, 1), 1, 3, 1 << 0
    )
    first, *_ = build.unpack(builder, picked, 1)
    stacked = build.pack(builder, [first, first], 2)
    mirrored = [
        build.mirror_pad(builder, pooled, [[0, 0], [1, 1], [0, 2], [0, 0]], symmetric)
        for symmetric in (False, True)
    ]
    weights = np.ones((5, 4), dtype)
    dense = build.fully_connected(
        builder, x, weights, None, (0.5, 0), (0.1, zero), activation="RELU", keep_dims=True
    )
    return builder.build([stacked, *mirrored, dense])


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_options_are_read_alike_from_file_and_runtime(dtype: str) -> None:
    model = further_operators(dtype)
    graph = tflite.parse(model, "options")
    options = [operator.options for operator in graph.operators]
    assert options[0] == Pooling(Padding.SAME, 3, 2, 2, 1, Activation.RELU6)
    assert options[1] == Pooling(Padding.VALID, 1, 3, 2, 1, Activation.RELU)
    assert options[2:] == [
        Concatenation(-1),
        Multiplication(Activation.RELU_N1_TO_1),
        StridedSlice(begin_mask=1, end_mask=3, shrink_axis_mask=1),
        Stack(1),
        Stack(2),
        MirrorPadding(symmetric=False),
        MirrorPadding(symmetric=True),
        FullyConnected(Activation.RELU, keep_dimensions=True),
    ]
    backend = Reader(graph)
    new_interpreter(model, Delegate(_backend=backend))
    assert len(backend.graphs) == 1
