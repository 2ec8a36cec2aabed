"""Running a whole graph: samples, values of inner tensors, and what can't be run."""

from __future__ import annotations

from dataclasses import replace

import hand_graphs
import numpy as np
import pytest
from oracle import run_litert
from shared_data import shared_data

from lapilli.errors import ModelError, Unsupported
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.reference.executor import execute
from lapilli.reference.node import Rounding

MODELS = (
    "models/tf2_mobilenet_v2_1.0_224_ptq",
    "models/mobilenet_v1_0.25_128_quant",
    "models/movenet_single_pose_lightning_ptq",
    "models/deeplabv3_mnv2_dm05_pascal_quant",
    "today/blazeface_128x128_quant",
    "today/kws_ref_model",
    "today/mobilenet_v2_1.0_224_int8_per_tensor",
    "today/model_ToyCar_quant_fullint_micro_intio",
    "today/str_ww_ref_model",
    "today/synth_unet_128",
    "today/vww_96_int8",
)


def samples_of(graph: Graph, count: int, seed: int = 0) -> dict[int, np.ndarray]:
    random = np.random.default_rng(seed)
    found = {}
    for index in graph.inputs:
        tensor = graph.tensors[index]
        values = random.integers(0, 256, (count, *tensor.shape))
        found[index] = values.astype(tensor.dtype)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_of_real_models_is_what_litert_s_reference_kernels_give(name: str) -> None:
    path = shared_data() / f"{name}.tflite"
    graph = tflite.load(path)
    inputs = samples_of(graph, 1)
    interpreter = run_litert(
        path, [inputs[index][0] for index in graph.inputs], reference=True, keep_tensors=True
    )
    made = [index for operator in graph.operators for index in operator.outputs]
    found = execute(graph, inputs, keep=made)
    different = [
        graph.tensors[index].name
        for index in made
        if not np.array_equal(found[index][0], interpreter.get_tensor(index))
    ]
    assert not different


def small_graph() -> Graph:
    return hand_graphs.convolution((1, 6, 5, 3))


def test_samples_do_not_know_of_each_other() -> None:
    graph = tflite.load(shared_data() / "today/vww_96_int8.tflite")
    inputs = samples_of(graph, 3)
    together = execute(graph, inputs)[graph.outputs[0]]
    for sample in range(3):
        alone = execute(graph, {i: v[sample : sample + 1] for i, v in inputs.items()})
        np.testing.assert_array_equal(alone[graph.outputs[0]][0], together[sample])


def test_exact_rounding_is_at_most_one_step_away_in_one_layer() -> None:
    graph = tflite.load(shared_data() / "models/ops/mb1.tflite")
    inputs = samples_of(graph, 2)
    first, second = (
        execute(graph, inputs, rounding=rounding)[graph.outputs[0]].astype(int)
        for rounding in Rounding
    )
    assert 0 < np.abs(first - second).max() <= 1


def test_values_that_are_not_kept_are_not_returned() -> None:
    graph = small_graph()
    found = execute(graph, samples_of(graph, 1))
    assert set(found) == {hand_graphs.RESULT}


def test_what_leads_nowhere_is_not_run() -> None:
    graph = small_graph()
    unknown = replace(
        graph.operators[0], index=1, kind="CUSTOM:nothing", outputs=(hand_graphs.BIAS,)
    )
    more = replace(graph, operators=(graph.operators[0], unknown))
    execute(more, samples_of(graph, 1))


def test_an_unknown_operator_is_named() -> None:
    graph = hand_graphs.with_operator(small_graph(), kind="CUSTOM:nothing")
    with pytest.raises(Unsupported, match="operator 0 CUSTOM:nothing: no reference"):
        execute(graph, samples_of(graph, 1))


def test_a_missing_input_is_named() -> None:
    with pytest.raises(ModelError, match="'image' has no value"):
        execute(small_graph(), {})


@pytest.mark.parametrize(
    "values", [np.zeros((1, 1, 6, 5, 4), np.uint8), np.zeros((1, 1, 6, 5, 3), np.int8)]
)
def test_an_input_of_another_shape_or_type_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ModelError, match="input 'image': found"):
        execute(small_graph(), {hand_graphs.IMAGE: values})


def test_a_watcher_sees_each_operator_with_its_results() -> None:
    graph = small_graph()
    seen = []
    execute(
        graph,
        samples_of(graph, 2),
        watch=lambda node, results: seen.append((node.operator.kind, results[0].shape)),
    )
    assert seen == [("CONV_2D", (2, *graph.tensors[hand_graphs.RESULT].shape))]


def test_an_operator_can_be_replaced_as_it_comes() -> None:
    graph = small_graph()
    weights = replace(
        graph.tensors[hand_graphs.WEIGHTS],
        data=np.full(graph.tensors[hand_graphs.WEIGHTS].shape, 200, np.uint8),
    )
    other = hand_graphs.with_tensor(graph, hand_graphs.WEIGHTS, data=weights.data)
    inputs = samples_of(graph, 1)
    wanted = execute(other, inputs)
    found = execute(
        graph,
        inputs,
        change=lambda node: replace(
            node,
            inputs=(node.inputs[0], weights, node.inputs[2]),
            values=(node.values[0], weights.data[None], node.values[2]),
        ),
    )
    np.testing.assert_array_equal(wanted[hand_graphs.RESULT], found[hand_graphs.RESULT])
    assert (execute(graph, inputs)[hand_graphs.RESULT] != wanted[hand_graphs.RESULT]).any()


def test_sums_that_could_not_be_exact_in_single_precision_are_exact() -> None:
    graph = hand_graphs.convolution((1, 3, 3, 600), (3, 3), 2)
    weights = np.full(graph.tensors[hand_graphs.WEIGHTS].shape, 255, np.uint8)
    graph = hand_graphs.with_tensor(graph, hand_graphs.WEIGHTS, data=weights)
    graph = hand_graphs.with_tensor(
        graph, hand_graphs.RESULT, quantization=hand_graphs.quantised(6000.0, 3)
    )
    image = np.random.default_rng(0).integers(0, 256, (1, 1, 3, 3, 600)).astype(np.uint8)
    found = execute(graph, {hand_graphs.IMAGE: image})[hand_graphs.RESULT]
    middle = (image.astype(np.int64) - 3).sum() * 252 * (0.5 * np.float32(0.01)) / 6000
    assert found[0, 0, 1, 1, 0] == round(float(middle)) + 3
