"""Programs come from the cache as they were compiled, or they are compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from random_graphs import RandomGraph

from lapilli.cache import programs
from lapilli.cache.programs import part_of, program_of, store_for
from lapilli.cache.store import Store
from lapilli.compiler.stages import DEFAULT_OPTIONS
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.program import program_file
from lapilli.program.program import Program


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def model(weight: int = 100, scale: float = 0.05) -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 3), scale=0.02, zero_point=128)
    weights = np.full((8, 3, 3, 3), weight, np.uint8)
    return builder.build([builder.conv(image, weights, None, 0.01, 120, scale, 3)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def get(store: Store | None, data: bytes, **changes: Any) -> tuple[Program, bool]:
    graph = tflite.parse(data, changes.pop("name", "model.tflite"))
    given = {"chip": chip(), "schedule": "best", "options": DEFAULT_OPTIONS} | changes
    found = program_of(store, graph, model_digest=tflite.digest(data), **given)
    return found.program, found.kept


def same(first: Program, second: Program) -> bool:
    return program_file.to_bytes(first) == program_file.to_bytes(second)


def test_the_second_time_it_comes_from_the_cache_byte_for_byte(store: Store) -> None:
    for data in (model(), RandomGraph(3).model(), RandomGraph(8).model()):
        first, kept = get(store, data)
        assert not kept
        second, kept = get(store, data)
        assert kept
        assert same(first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"chip": chip("imx8mp")},
        {"schedule": "reference"},
        {"options": replace(DEFAULT_OPTIONS, zero_runs=False)},
        {"name": "other.tflite"},
    ],
)
def test_another_wish_is_compiled(store: Store, change: dict[str, Any]) -> None:
    get(store, model())
    found, kept = get(store, model(), **change)
    assert not kept
    assert same(found, get(None, model(), **change)[0])


def test_another_model_is_compiled(store: Store) -> None:
    get(store, model(100))
    found, kept = get(store, model(101))
    assert not kept
    assert same(found, get(None, model(101))[0])


def entry(store: Store) -> Path:
    (found,) = store.entries()
    return found.path


def test_a_damaged_entry_is_compiled_again_and_replaced(store: Store) -> None:
    wanted, _ = get(store, model())
    whole = entry(store).read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(whole), size=150).tolist():
        data = bytearray(whole)
        data[position] ^= int(rng.integers(1, 256))
        entry(store).write_bytes(data)
        found, _ = get(store, model())
        assert same(found, wanted)
    entry(store).write_bytes(whole[: len(whole) // 2])
    assert not get(store, model())[1]
    assert get(store, model())[1]


def test_a_whole_entry_with_another_program_inside_is_compiled_again(store: Store) -> None:
    """As another version, or a hand, might leave it."""
    get(store, model(100))
    key = entry(store).stem
    for other in (get(None, model(101))[0], get(None, model(100), chip=chip("imx8mp"))[0]):
        store.put(key, program_file.to_bytes(other), {})
        found, kept = get(store, model(100))
        assert not kept
        assert same(found, get(None, model(100))[0])
    store.put(key, b"no program at all", {})
    assert not get(store, model(100))[1]
    assert get(store, model(100))[1]


def test_without_a_cache_everything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not get(None, model())[1]
    assert store_for(False) is None
    monkeypatch.setenv("LAPILLI_CACHE", "")
    assert store_for(True) is None
    found = store_for("some/folder")
    assert found is not None
    assert found.folder == Path("some/folder")


def test_a_failed_compilation_keeps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Program:
        raise RuntimeError("stopped")

    monkeypatch.setattr(programs, "compile_graph", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        get(store, model())
    assert store.entries() == []


# ----------------------------------------------------------------------------------------- parts


def graph_of(data: bytes) -> Graph:
    return tflite.parse(data, "model.tflite")


def test_parts_are_told_by_what_they_are_made_of(store: Store) -> None:
    graph = graph_of(model(100))
    borders = (graph.inputs, graph.outputs)
    first, kept = part_of(store, graph, [0], chip(), "best", *borders)
    assert not kept
    again, kept = part_of(store, replace(graph, name="x"), [0], chip(), "best", *borders)
    assert kept
    assert again.commands.tolist() == first.commands.tolist()
    assert again.source == first.source != ""
    for other in (model(101), model(100, scale=0.06)):
        assert not part_of(store, graph_of(other), [0], chip(), "best", *borders)[1]
    assert not part_of(store, graph, [0], chip("imx8mp"), "best", *borders)[1]
    assert not part_of(store, graph, [0], chip(), "reference", *borders)[1]


def test_a_part_with_another_inside_is_compiled_again(store: Store) -> None:
    graph = graph_of(model(100))
    borders = (graph.inputs, graph.outputs)
    wanted, _ = part_of(store, graph, [0], chip(), "best", *borders)
    other, _ = part_of(None, graph_of(model(101)), [0], chip(), "best", *borders)
    program = Program("a311d", "best", "model.tflite", "", (other,))
    store.put(entry(store).stem, program_file.to_bytes(program), {})
    found, kept = part_of(store, graph, [0], chip(), "best", *borders)
    assert not kept
    assert found.source == wanted.source
