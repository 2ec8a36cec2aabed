"""Networks that people use, with random weights: how many parts, and the same as LiteRT's."""

from __future__ import annotations

import pytest
from backbones import BACKBONES, MINIATURES
from comparing import CHIPS, SCHEDULES, GraphCase, check

from lapilli.compiler.partition import partition
from lapilli.compiler.stages import chip_named
from lapilli.compiler.verdict import judge_all
from lapilli.model import tflite

PARTS = {
    "yolov8n-224": (2, {"SOFTMAX"}),
    "mobilenet-v3-small": (1, {"SOFTMAX"}),
    "mobilenet-v3-large": (1, {"SOFTMAX"}),
    "efficientnet-lite0": (1, {"SOFTMAX"}),
    "efficientnet-b0": (1, {"SOFTMAX"}),
    "deeplab-v3-257": (1, set()),
    "u-net-128": (1, set()),
}
"""Of the NPU, and what stays on the CPU."""
QUICK = ("mobilenet-v3-32", "deeplab-v3-33", "u-net-16")


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    "chip", [CHIPS[0], *(pytest.param(chip, marks=pytest.mark.long) for chip in CHIPS[1:])]
)
def test_whole_networks_are_few_parts(name: str, chip: str) -> None:
    graph = tflite.parse(BACKBONES[name]().model(), name)
    taken = [verdict.supported for verdict in judge_all(graph, chip_named(chip))]
    left = {op.kind for op, on_npu in zip(graph.operators, taken, strict=True) if not on_npu}
    parts = sum(part.on_npu for part in partition(graph, taken))
    assert (parts, left) == PARTS[name]


@pytest.mark.parametrize("number", range(len(QUICK)))
def test_every_operator_of_a_miniature_is_within_one(number: int) -> None:
    """On one of the chips under one of the schedules, in turns."""
    name, chip = QUICK[number], CHIPS[number % 2]
    (outcome,) = check(GraphCase(0, network=name), [SCHEDULES[number // 2 % 2]], chip)
    assert outcome.right, outcome
    assert outcome.values and set(outcome.refused) <= {"operator"}


@pytest.mark.long
@pytest.mark.parametrize("name", MINIATURES)
@pytest.mark.parametrize("chip", CHIPS)
def test_miniatures_everywhere(name: str, chip: str) -> None:
    outcomes = check(GraphCase(0, network=name), SCHEDULES, chip)
    assert not [outcome for outcome in outcomes if not outcome.right]
