"""The graph as LiteRT tells it to the delegate is the one in the file."""

from __future__ import annotations

import gc

import pytest
from fake_npu import (
    FakeBackend,
    FakePart,
    GraphComparison,
    new_interpreter,
    small_model,
)
from shared_data import shared_data

from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import (
    Activation,
    Addition,
    Convolution,
    Padding,
)


def test_the_graph_is_the_models() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    graph = backend.graphs[0]
    assert [operator.kind for operator in graph.operators] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX", "CONV_2D", "ADD"
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
    backend = GraphComparison(tflite.parse(path.read_bytes(), path.name))
    new_interpreter(path.read_bytes(), Delegate(_backend=backend))
    assert len(backend.graphs) == 1
