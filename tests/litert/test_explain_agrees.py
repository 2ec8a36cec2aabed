"""What explain says of a model's operators, and what the delegate takes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_npu import new_interpreter
from shared_data import shared_data

from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.units.options import unit_options
from lapilli.compiler.units.requantise import Requantised
from lapilli.compiler.verdict import judge_all, with_host
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


def agree(path: Path) -> bool:
    """False if LiteRT does not take the model at all."""
    data = path.read_bytes()
    try:
        new_interpreter(data)
    except (RuntimeError, ValueError):
        return False
    device = open_device("emulator:a311d")
    delegate = Delegate(_backend=Choosing(device, "best"))
    new_interpreter(data, delegate)
    graph = tflite.parse(data, path.name)
    seen = PerChannel(unit_options("fast")).seen(graph)
    verdicts = with_host(graph, judge_all(seen, device.chip))
    told = [(v.operator, v.supported, v.rule) for v in verdicts]
    found = [(v.operator, v.supported, v.rule) for v in delegate.verdicts]
    assert found == told, path
    taken = [verdict.operator for verdict in verdicts if verdict.supported]
    assert sorted(sum(delegate.partitions, ())) == taken, path
    return True


@pytest.mark.parametrize("name", SOME)
def test_explain_and_the_delegate_agree(name: str) -> None:
    path = shared_data() / name
    if not path.exists():
        pytest.skip(f"no {path}")
    assert agree(path)


@pytest.mark.long
def test_explain_and_the_delegate_agree_on_every_model() -> None:
    agreed, refused = [], []
    for name in every_model():
        try:
            (agreed if agree(shared_data() / name) else refused).append(name)
        except LapilliError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert len(agreed) > 3 * len(refused)
