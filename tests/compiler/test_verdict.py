"""Verdicts are promises: what the NPU takes compiles, and what it does not take is named."""

from __future__ import annotations

import hand_graphs as by_hand
import pytest
from hand_graphs import IMAGE, RESULT, WEIGHTS
from rule_checks import chip, judged
from shared_data import shared_data

from lapilli.compiler import verdict as judging
from lapilli.compiler.operators.registry import BY_KIND
from lapilli.compiler.stages import compile_graph
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.graph import Activation, Graph, Padding, Quantization


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(graph, id=name)
        for name, graph in {
            "convolution": by_hand.convolution(),
            "depthwise": by_hand.convolution(outputs=4, depthwise=True),
            "multiplier of 2": by_hand.convolution(outputs=8, depthwise=True, depth_multiplier=2),
            "no bias": by_hand.with_operator(by_hand.convolution(), inputs=(IMAGE, WEIGHTS, -1)),
            "bias not in the list": by_hand.with_operator(
                by_hand.convolution(), inputs=(IMAGE, WEIGHTS)
            ),
            "stride 2": by_hand.convolution(stride_rows=2, stride_columns=2),
            "VALID": by_hand.convolution(padding=Padding.VALID),
            "largest kernel": by_hand.convolution((1, 16, 16, 4), (11, 11)),
            "rows only": by_hand.convolution(kernel=(7, 1)),
            "tallest": by_hand.convolution((1, 8191, 1, 1), (1, 1)),
            "tallest with stride": by_hand.convolution(
                (1, 4094, 2, 4), stride_rows=2, stride_columns=2
            ),
            "deepest": by_hand.convolution((1, 2, 2, 16383), (1, 1)),
            "deepest with stride": by_hand.convolution(
                (1, 2, 2, 4095), (1, 1), stride_rows=2, stride_columns=2
            ),
            "smaller output than SAME gives": by_hand.convolution(result=(1, 4, 4, 6)),
            "factor just below 2^16": by_hand.with_tensor(
                by_hand.convolution(), WEIGHTS, quantization=by_hand.quantised(65535.0)
            ),
            "ReLU": by_hand.convolution(activation=Activation.RELU),
            "ReLU6 that clamps nothing": by_hand.with_tensor(
                by_hand.convolution(activation=Activation.RELU6),
                RESULT,
                quantization=by_hand.quantised(6 / 255, 0),
            ),
            "equal scales per channel": by_hand.with_tensor(
                by_hand.convolution(),
                WEIGHTS,
                quantization=Quantization((0.01,) * 6, (3,) * 6),
            ),
            "addition": by_hand.addition(),
            "addition of numbers": by_hand.addition((1,)),
            "addition of rows": by_hand.addition((4, 6)),
            "addition of 8191 rows": by_hand.addition((1, 8191, 7, 1)),
            "padding": by_hand.padding(),
        }.items()
    ],
)
def test_taken(graph: Graph) -> None:
    verdict = judged(graph)
    assert verdict.supported, verdict.reason
    assert (verdict.rule, verdict.reason) == ("", "")


def test_what_is_taken_compiles() -> None:
    """Verdicts are promises: no rule leaves it to a later stage to refuse."""
    for graph in (
        by_hand.convolution(outputs=8, depthwise=True, depth_multiplier=2),
        by_hand.convolution((1, 16, 16, 4), (11, 11)),
        by_hand.convolution((1, 8191, 1, 1), (1, 1)),
        by_hand.convolution((1, 4094, 2, 4), stride_rows=2, stride_columns=2),
        by_hand.convolution((1, 2, 2, 4095), (1, 1), stride_rows=2, stride_columns=2),
        by_hand.convolution(result=(1, 4, 4, 6)),
        by_hand.addition((1,)),
        by_hand.addition((1, 8191, 7, 1)),
        by_hand.padding(),
    ):
        for schedule in ("reference", "best"):
            assert len(compile_graph(graph, chip(), schedule).parts) == 1


def test_other_operators_are_named() -> None:
    graph = by_hand.with_operator(by_hand.addition(), kind="SOFTMAX", index=7)
    verdict = judged(graph)
    assert (verdict.operator, verdict.rule) == (7, "operator")
    assert verdict.reason == f"The NPU takes {', '.join(BY_KIND)}. Found: SOFTMAX."
    assert {"CONV_2D", "ADD", "SUB", "PAD"} <= BY_KIND.keys()


def test_a_graph_of_which_nothing_is_taken_is_an_error() -> None:
    graph = by_hand.convolution(activation=Activation.OTHER)
    with pytest.raises(Unsupported) as caught:
        compile_graph(graph, chip())
    told = str(caught.value)
    assert told.startswith("by hand: the NPU takes none of its operators. A fused ")
    assert told.endswith("Broken by operator 0. Found first: other.")


@pytest.mark.parametrize(
    ("model", "taken", "of"),
    [
        ("mobilenet_v1_1.0_224_quant", 30, 31),
        ("mobilenet_v2_1.0_224_quant", 65, 66),
        ("ssdlite_mobiledet_coco_qat_postprocess", 124, 125),
        ("tf2_mobilenet_v2_1.0_224_ptq", 14, 68),
    ],
)
def test_operators_taken_of_whole_models(model: str, taken: int, of: int) -> None:
    graph = tflite.load(shared_data() / "models" / f"{model}.tflite")
    verdicts = judging.judge_all(graph, chip())
    assert (sum(verdict.supported for verdict in verdicts), len(verdicts)) == (taken, of)
    assert [verdict.operator for verdict in verdicts] == [o.index for o in graph.operators]
    for verdict in verdicts:
        assert verdict.supported or verdict.reason.endswith(f"Found: {verdict.found}.")
