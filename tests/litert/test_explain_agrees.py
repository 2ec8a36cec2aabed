"""What explain says of a model's operators, and what the delegate takes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fake_npu import new_interpreter
from random_graphs import RandomGraph
from shared_data import shared_data
from structures import STRUCTURES

from lapilli.compiler.cuts import Cuts
from lapilli.compiler.explanation import explain
from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.units.options import unit_options
from lapilli.compiler.units.requantise import Requantised
from lapilli.device.open import open_device
from lapilli.errors import LapilliError
from lapilli.litert.backend import NpuBackend
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.graph import Graph

SOME = (
    "models/ops/mb0.tflite",
    "today/kws_ref_model.tflite",
    "today/mobilenet_v1_0.25_128_dynamic_batch.tflite",
    "today/selfie_segmentation_aeq_int8.tflite",
    "today/simple_group_norm_op.tflite",
    "today/vad.tflite",
    "reports/dynamic-tensors/dyn_after.tflite",
    "reports/written-twice/written_twice.tflite",
)


class Idle:
    """A part that was not compiled."""

    def close(self) -> None:
        """Nothing is held."""


class Choosing(NpuBackend):
    """Chooses as the real one, and compiles nothing."""

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        return Requantised(graph, None)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        return tuple(operators)

    def load(self, part: Any) -> Any:
        return Idle()


def every_model() -> list[str]:
    folder = shared_data()
    found = sorted(folder.rglob("*.tflite"))
    return [str(path.relative_to(folder)) for path in found if "attack" not in path.parts]


def not_rounded(graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
    return Requantised(graph, None)


def agree(data: bytes, name: str, partition: str = "fastest") -> bool:
    """False if LiteRT does not take the model at all."""
    try:
        new_interpreter(data)
    except (RuntimeError, ValueError):
        return False
    device = open_device("emulator:a311d")
    delegate = Delegate(_backend=Choosing(device, "best"), partition=partition)
    new_interpreter(data, delegate)
    graph = tflite.parse(data, name)
    wish = PerChannel(unit_options("fast"))
    report = explain(graph, device.chip, Cuts(partition), wish, not_rounded, weigh=False)
    verdicts = [line.verdict for line in report.operators]
    told = [(v.operator, v.supported, v.rule) for v in verdicts]
    found = [(v.operator, v.supported, v.rule) for v in delegate.verdicts]
    assert found == told, name
    parts = {frozenset(run.operators) for run in report.runs if run.on_npu}
    assert set(map(frozenset, delegate.partitions)) == parts, name
    return True


@pytest.mark.parametrize("name", SOME)
def test_explain_and_the_delegate_agree(name: str) -> None:
    path = shared_data() / name
    if not path.exists():
        pytest.skip(f"no {path}")
    assert agree(path.read_bytes(), name)


@pytest.mark.parametrize("seed", range(5))
def test_they_agree_on_graphs_whose_parts_do_not_all_pay(seed: int) -> None:
    data = RandomGraph(seed).model()
    assert agree(data, "random", "fastest") and agree(data, "random", "all")


@pytest.mark.parametrize("name", STRUCTURES)
def test_they_agree_on_the_structures_of_networks(name: str) -> None:
    assert agree(STRUCTURES[name](), name, "fastest")


@pytest.mark.long
def test_explain_and_the_delegate_agree_on_every_model() -> None:
    agreed, refused = [], []
    for name in every_model():
        try:
            (agreed if agree((shared_data() / name).read_bytes(), name) else refused).append(name)
        except LapilliError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert len(agreed) > 3 * len(refused)
