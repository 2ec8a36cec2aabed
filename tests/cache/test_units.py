"""What became of per-channel weights is kept, as it takes seconds; a bad entry costs only those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from per_channel_models import inverted_residuals

from lapilli.cache.store import Store
from lapilli.cache.units import requantised_of
from lapilli.compiler.per_channel import FAST_WAY, PerChannel
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.options import FAST
from lapilli.compiler.units.requantise import Requantised
from lapilli.model import tflite
from lapilli.model.graph import Graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tflite.parse(inverted_residuals(2, spread=100.0, blocks=1), "model")


def made(store: Store, graph: Graph, wish: PerChannel = FAST_WAY) -> Requantised:
    return requantised_of(store, graph, [range(len(graph.operators))], wish)


def same(first: Requantised, second: Requantised) -> bool:
    return (
        first.graph.operators == second.graph.operators
        and first.loss == second.loss
        and all(
            a.quantization == b.quantization and np.array_equal(a.data, b.data)
            for a, b in zip(first.graph.tensors, second.graph.tensors, strict=True)
            if a.data is not None and b.data is not None
        )
    )


def refuse(self: PerChannel, *arguments: object) -> Requantised:
    raise AssertionError("made anew")


def test_what_was_made_once_is_read(
    tmp_path: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    first = made(store, graph)
    monkeypatch.setattr(PerChannel, "done", refuse)
    assert same(made(store, graph), first)


def test_other_samples_are_looked_at_anew(
    tmp_path: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    made(store, graph)
    samples = np.zeros((2, *graph.tensors[graph.inputs[0]].shape), np.int8)
    other = PerChannel(FAST, Calibration({graph.inputs[0]: samples}, "mine"))
    monkeypatch.setattr(PerChannel, "done", refuse)
    with pytest.raises(AssertionError, match="made anew"):
        made(store, graph, other)
    with pytest.raises(AssertionError, match="made anew"):
        made(store, graph, PerChannel(replace(FAST, steps=39)))


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_an_entry_that_makes_no_sense_is_made_anew(tmp_path: Path, graph: Graph, cut: int) -> None:
    store = Store(tmp_path)
    first = made(store, graph)
    (entry,) = store.entries()
    key = entry.path.name.split(".")[0]
    data = store.get(key)
    assert data is not None
    store.put(key, data[:cut], {})
    assert same(made(store, graph), first)
    assert store.get(key) == data
