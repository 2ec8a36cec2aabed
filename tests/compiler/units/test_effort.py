"""Per-channel weights of a small file with large images: looked at on fewer samples, or not at
all."""

from __future__ import annotations

import numpy as np
import pytest
from models import ModelBuilder
from work import peak_of

from lapilli.compiler.explanation import explain
from lapilli.compiler.stages import DEFAULT_OPTIONS, chip_named, prepare
from lapilli.compiler.units import effort
from lapilli.compiler.units.effort import affordable
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.graph import Graph

OUTPUTS = 8


def image_of(side: int) -> Graph:
    """A convolution with a scale for each channel."""
    builder = ModelBuilder("int8")
    x = builder.input((1, side, side, 3), 0.02, 0)
    weights = np.random.default_rng(0).integers(-99, 99, (OUTPUTS, 3, 3, 3)).astype(np.int8)
    scales = [0.01 * (1 + channel) for channel in range(OUTPUTS)]
    y = builder.conv(x, weights, np.zeros(OUTPUTS, np.int32), scales, 0, 0.5, 0)
    return tflite.parse(builder.build([y]), "model")


def test_images_of_honest_models_are_looked_at_as_often_as_asked() -> None:
    assert affordable(image_of(513), 32) == 32


def test_larger_ones_are_looked_at_less_often() -> None:
    values = OUTPUTS * 2000**2
    assert affordable(image_of(2000), 32) == effort.MOST_VALUES // values == 4


def test_what_is_larger_than_that_stays_on_the_cpu() -> None:
    graph = image_of(5000)
    with pytest.raises(Unsupported, match="a sample takes 200000000 values of a tensor; allowed"):
        affordable(graph, 1)

    def looked_at() -> None:
        note = explain(graph, chip_named("a311d")).note
        assert note.startswith("per-channel weights stay on the CPU: a sample takes")

    assert peak_of(looked_at) < 4 << 20


@pytest.mark.parametrize("limit", ["MOST_VALUES", "MOST_WORK", "MOST_MACS"])
def test_each_limit_counts(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With values, all values or multiplications of three samples allowed, three are looked at."""
    graph = image_of(16)
    one = {
        "MOST_VALUES": 16 * 16 * OUTPUTS,
        "MOST_WORK": 16 * 16 * (OUTPUTS + 3),
        "MOST_MACS": 16 * 16 * OUTPUTS * 27,
    }[limit]
    monkeypatch.setattr(effort, limit, 3 * one + 1)
    assert affordable(graph, 6) == 3
    prepared = prepare(graph, chip_named("a311d"), DEFAULT_OPTIONS)
    assert prepared.loss is not None
    assert prepared.loss.samples == 3
