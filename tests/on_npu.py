"""Models that the NPU takes as a whole, on the emulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from comparing import compare, device, run_litert
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.compiler.stages import compile_graph
from lapilli.compiler.verdict import judge_all
from lapilli.device.runner import LoadedPart
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.program.program import Part

Values = list[NDArray[Any]]


def whole(graph: Graph, chip: str, schedule: str = "best") -> Part:
    """The only part of a program that has all of a graph's operators."""
    found = device(chip).chip
    refused = [v.reason for v in judge_all(graph, found) if not v.supported]
    assert not refused, refused
    (part,) = compile_graph(graph, found, schedule).parts
    return part


def run(model: bytes, inputs: Values, chip: str, schedule: str = "best") -> Values:
    """The model's outputs on the emulator."""
    graph = tflite.parse(model, "model")
    with LoadedPart(device(chip), whole(graph, chip, schedule)) as loaded:
        outputs = loaded.run(dict(zip(graph.inputs, inputs, strict=True)))
    return [outputs[tensor] for tensor in graph.outputs]


def random_inputs(builder: ModelBuilder, seed: int = 0) -> Values:
    """Any bytes for each input; the least and the greatest are among them."""
    rng = np.random.default_rng(seed)
    found = []
    for tensor in builder.inputs:
        spec = builder.tensors[tensor]
        values = rng.integers(0, 256, spec.shape, dtype=np.uint8)
        values.reshape(-1)[:2] = (0, 255)[: values.size]
        found.append(values.view(np.int8) if spec.dtype == "int8" else values)
    return found


def worst(
    builder: ModelBuilder, outputs: Sequence[int], chip: str, schedule: str = "best", seed: int = 0
) -> int:
    """The largest difference, in output steps, between emulator and LiteRT."""
    model, inputs = builder.build(outputs), random_inputs(builder, seed)
    found, expected = run(model, inputs, chip, schedule), run_litert(model, inputs)
    differences = []
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        differences.append(compare(ours.astype(np.int16), theirs.astype(np.int16)).worst)
    return max(differences)
