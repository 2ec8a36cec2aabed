"""A model file with other constants: what changes, what stays, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from models import ModelBuilder
from shared_data import shared_data

from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph, Quantization, Tensor
from lapilli.model.rewriting import rewritten
from lapilli.reference.executor import execute

SCALE = float(np.float32(0.02))


def two_layers(bias: bool = True) -> tuple[bytes, Graph]:
    """Two convolutions of the same kernel tensor."""
    builder = ModelBuilder("int8")
    image = builder.input((1, 4, 4, 3), 0.05, 0)
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (3, 3, 3, 3)).astype(np.int8)
    first = builder.conv(image, weights, np.zeros(3), [0.01, 0.02, 0.03], 0, 0.1, 3)
    second = builder.conv(first, weights, np.zeros(3), [0.01, 0.02, 0.03], 0, 0.1, 3)
    operands = [spec.inputs for spec in builder.operators]
    assert operands[0] is not None and operands[1] is not None
    builder.operators[1].inputs = [operands[1][0], operands[0][1], operands[1][2]]
    if not bias:
        builder.operators[1].inputs[2] = -1
    data = builder.build([second])
    return data, tflite.parse(data, "model")


def changed(graph: Graph, index: int, **fields: object) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)  # type: ignore[arg-type]
    return replace(graph, tensors=tuple(tensors))


def by_litert(data: bytes, image: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def test_nothing_changed_is_the_same_model() -> None:
    data, graph = two_layers()
    assert tflite.parse(rewritten(data, graph), "model").operators == graph.operators


def test_new_weights_and_scales_are_what_litert_runs() -> None:
    data, graph = two_layers()
    kernel = graph.operators[0].inputs[1]
    weights = np.random.default_rng(1).integers(-127, 128, (3, 3, 3, 3)).astype(np.int8)
    other = changed(graph, kernel, data=weights, quantization=Quantization((SCALE,), (0,)))
    other = changed(
        other,
        graph.operators[0].inputs[2],
        quantization=Quantization((float(np.float32(0.05) * np.float32(SCALE)),), (0,)),
    )
    other = changed(
        other,
        graph.operators[1].inputs[2],
        quantization=Quantization((float(np.float32(0.1) * np.float32(SCALE)),), (0,)),
    )
    image = np.random.default_rng(2).integers(-128, 128, (1, 4, 4, 3)).astype(np.int8)
    found = by_litert(rewritten(data, other), image)
    wanted = execute(other, {graph.inputs[0]: image[None]})[graph.outputs[0]][0]
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 1
    assert (found != by_litert(data, image)).any()


def test_one_of_two_layers_that_share_weights_gets_its_own() -> None:
    data, graph = two_layers()
    kernel = graph.tensors[graph.operators[1].inputs[1]]
    number = len(graph.tensors)
    weights = np.ones(kernel.shape, np.int8)
    own = Tensor(number, "own weights", kernel.shape, "int8", Quantization((0.5,), (0,)), weights)
    operator = graph.operators[1]
    inputs = (operator.inputs[0], number, operator.inputs[2])
    other = replace(
        graph,
        tensors=(*graph.tensors, own),
        operators=(graph.operators[0], replace(operator, inputs=inputs)),
    )
    found = tflite.parse(rewritten(data, other), "model")
    assert found.operators[1].inputs == inputs
    np.testing.assert_array_equal(found.tensors[number].data, weights)
    np.testing.assert_array_equal(
        found.tensors[kernel.index].data, graph.tensors[kernel.index].data
    )


def test_what_the_graph_does_not_know_stays_in_the_file() -> None:
    path = shared_data() / "models/ssdlite_mobiledet_coco_qat_postprocess.tflite"
    data, graph = path.read_bytes(), tflite.load(path)
    bias = next(o for o in graph.operators if o.kind == "CONV_2D").inputs[2]
    values = graph.tensors[bias].data
    assert values is not None
    result = rewritten(data, changed(graph, bias, data=values + np.int32(1)))
    assert len(result) - len(data) < 100_000
    interpreter = Interpreter(model_content=result)
    interpreter.allocate_tensors()
    assert len(interpreter.get_output_details()) == 4


def place_of(tensor: Tensor, data: bytes) -> int:
    """Where a constant lies in its file."""
    assert tensor.data is not None
    whole = np.frombuffer(data, np.uint8)
    first, second = (each.__array_interface__["data"][0] for each in (tensor.data, whole))
    return int(first - second)


@pytest.mark.parametrize(
    "name", ["tf2_mobilenet_v2_1.0_224_ptq", "movenet_single_pose_lightning_ptq"]
)
def test_data_are_as_well_aligned_as_before(name: str) -> None:
    path = shared_data() / f"models/{name}.tflite"
    data = path.read_bytes()
    graph = tflite.parse(data, name)
    kernel = next(o for o in graph.operators if o.kind == "CONV_2D").inputs[1]
    scale = Quantization((0.25,), (0,))
    weights = np.zeros(graph.tensors[kernel].shape, np.int8)
    result = rewritten(data, changed(graph, kernel, data=weights, quantization=scale))
    for before, after in zip(graph.tensors, tflite.parse(result, name).tensors, strict=True):
        if before.data is not None:
            assert place_of(after, result) % 64 == place_of(before, data) % 64


def test_files_whose_tables_overlap_are_refused() -> None:
    data, graph = two_layers()
    first, second = (o.inputs[2] for o in graph.operators)
    mutable = bytearray(data)
    values = np.arange(1, 4, dtype=np.int32)
    # The second bias's tensor is told to have the first one's quantisation and bytes changed.
    other = changed(graph, first, data=values)
    tensors = list(other.tensors)
    tensors[second] = replace(tensors[second], name="another name")
    with pytest.raises(ModelError, match="overlap"):
        rewritten(bytes(mutable), replace(other, tensors=tuple(tensors)))
