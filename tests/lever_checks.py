"""Programs with some levers of the best schedule, and whether they give the same bytes as without
any."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from comparing import device
from further_graphs import FurtherGraph
from operator_cases import OperatorCase
from random_graphs import RandomGraph
from shared_data import shared_data

from lapilli.compiler.schedule.levers.registry import NAMES
from lapilli.compiler.stages import CompileOptions, chip_named, compile_graph
from lapilli.device.runner import LoadedPart
from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.program.program import Program

NOTHING = CompileOptions(without=frozenset(NAMES))


def only(*names: str) -> CompileOptions:
    """Levers alone."""
    return CompileOptions(without=frozenset(NAMES) - frozenset(names))


@lru_cache(maxsize=64)
def program(model: str, chip: str, schedule: str, options: CompileOptions) -> Program:
    """Of a model of the shared data, of the random graph ``graph-SEED`` or ``further-SEED`` (of all
    kinds of operators), or of the operator ``case-FAMILY-SEED``."""
    return compile_graph(graph_named(model), chip_named(chip), schedule, options=options)


@lru_cache(maxsize=8)
def graph_named(model: str) -> Graph:
    kind, _, seed = model.rpartition("-")
    if kind == "graph":
        return tflite.parse(RandomGraph(int(seed)).model(), model)
    if kind == "further":
        return tflite.parse(FurtherGraph(int(seed)).model(), model)
    if kind.startswith("case-"):
        return tflite.parse(OperatorCase(kind.removeprefix("case-"), int(seed)).model(), model)
    return tflite.load(Path(shared_data() / "models" / f"{model}.tflite"))


def results(found: Program) -> list[dict[int, Any]]:
    """Every part's outputs on random inputs, whichever order the part has them in."""
    outputs = []
    for part in found.parts:
        rng = np.random.default_rng(1)
        crossing = sorted(part.inputs, key=lambda binding: binding.tensor)
        inputs = {b.tensor: rng.integers(0, 256, b.shape).astype(b.dtype) for b in crossing}
        with LoadedPart(device(found.chip), part) as loaded:
            outputs.append(loaded.run(inputs))
    return outputs


def check_equal(model: str, chip: str, options: CompileOptions) -> bool:
    """Whether the NPU takes anything of the model; fails if it gives other bytes than without
    levers."""
    try:
        plain = results(program(model, chip, "best", NOTHING))
    except ModelError:
        return False
    other = results(program(model, chip, "best", options))
    assert len(plain) == len(other)
    for before, after in zip(plain, other, strict=True):
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[tensor], after[tensor]) for tensor in before)
    return True
