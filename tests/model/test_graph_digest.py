"""A part of a graph has one digest, whether it was read from a file or told by LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from fake_npu import FakeBackend, FakeVerdict, new_interpreter
from hand_graphs import addition, convolution, with_operator, with_tensor
from random_graphs import RandomGraph
from shared_data import shared_data

from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import Activation, Addition, Graph
from lapilli.model.graph_digest import part_digest, plain

MODELS = (
    "mobilenet_v1_0.25_128_quant",
    "ssdlite_mobiledet_coco_qat_postprocess",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "movenet_single_pose_lightning_ptq",
)


class Digests(FakeBackend):
    """The digest of each operator, and of all together, as LiteRT hands them over."""

    found: Sequence[str] = ()

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        self.found = digests(graph)
        return [FakeVerdict(False, "none") for _ in graph.operators]


def digests(graph: Graph) -> list[str]:
    """Only of operators whose shapes the file has."""
    usual = [i for i, o in enumerate(graph.operators) if not o.kind.startswith("CUSTOM")]
    found = [part_digest(graph, [i], graph.operators[i].inputs[:1], ()) for i in usual]
    return [*found, part_digest(graph, usual, graph.inputs, ())]


def as_litert_tells(data: bytes) -> Sequence[str]:
    backend = Digests()
    new_interpreter(data, Delegate(postprocess=False, _backend=backend))
    return backend.found


@pytest.mark.parametrize("name", MODELS)
def test_whole_models(name: str) -> None:
    data = (shared_data() / "models" / f"{name}.tflite").read_bytes()
    own = digests(tflite.parse(data, name))
    assert as_litert_tells(data) == own
    assert len(set(own)) == len(own)


def test_random_graphs() -> None:
    for seed in range(25):
        data = RandomGraph(seed).model()
        assert as_litert_tells(data) == digests(tflite.parse(data, "random"))


def whole(graph: Graph) -> str:
    return part_digest(graph, range(len(graph.operators)), graph.inputs, graph.outputs)


def test_everything_that_counts_changes_it() -> None:
    graph = convolution()
    weights = graph.tensors[1]
    assert weights.data is not None
    other = np.asarray(weights.data).copy()
    other.reshape(-1)[5] = 1
    options = graph.operators[0].options
    assert options is not None
    found = [
        whole(graph),
        whole(with_tensor(graph, 1, data=other)),
        whole(with_tensor(graph, 0, name="another")),
        whole(with_tensor(graph, 0, dtype="int8")),
        whole(with_tensor(graph, 3, quantization=None)),
        whole(with_operator(graph, index=7)),
        whole(with_operator(graph, options=replace(options, activation=Activation.RELU))),
        whole(replace(graph, outputs=())),
        whole(addition()),
    ]
    assert len(set(found)) == len(found)


def test_what_does_not_count_leaves_it() -> None:
    graph = addition()
    same = [
        whole(graph),
        whole(replace(graph, name="another")),
        whole(replace(graph, inputs=graph.inputs[::-1])),
        whole(with_operator(graph, version=2)),
    ]
    assert len(set(same)) == 1


@dataclass(frozen=True)
class Old:
    steps: int
    fast: bool = False


def test_an_option_that_is_new_and_as_by_default_leaves_it() -> None:
    @dataclass(frozen=True)
    class Newer:
        steps: int
        fast: bool = False
        careful: bool = False

    Newer.__name__ = "Old"
    assert plain(Newer(3)) == plain(Old(3))
    assert plain(Newer(3, careful=True)) != plain(Old(3))
    assert plain(Addition(Activation.RELU)) != plain(Addition())


@pytest.mark.parametrize("value", [object(), 1j, {1: 2}, print])
def test_values_of_another_kind_are_an_error_of_ours(value: Any) -> None:
    with pytest.raises(TypeError):
        plain(value)


def test_sets_have_no_order() -> None:
    assert plain(frozenset({"b", "a"})) == ["a", "b"]
    assert plain((1, "x", None, b"\1", frozenset())) == [1, "x", None, "01", []]
