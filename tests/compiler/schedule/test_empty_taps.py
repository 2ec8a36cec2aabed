"""Depthwise kernels of one tap: written as 2x2 where runs of zeros make them shorter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lever_checks import NOTHING, only, results
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.generations import generation_of
from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.model import tflite
from lapilli.program.program import Program


def compiled(channels: int, options: CompileOptions, name: str = "a311d") -> Program:
    rng = np.random.default_rng(channels)
    builder = ModelBuilder()
    image = builder.input((1, 13, 9, channels), 0.02, 128)
    weights = rng.integers(60, 180, (1, 1, 1, channels)).astype(np.uint8)
    bias = rng.integers(-900, 900, channels).astype(np.int32)
    made = builder.depthwise(image, weights, bias, 0.01, 120, 0.02, 100)
    graph = tflite.parse(builder.build([made]), "one tap")
    return compile_graph(graph, chip(name), options=options)


def sides(program: Program) -> set[tuple[int, int]]:
    """Of all kernels."""
    layout = generation_of(chip(program.chip)).layout
    found = [
        layout.decode(part.job_words(job).tolist())
        for part in program.parts
        for job in part.jobs
        if job.unit == "NN"
    ]
    return {(each["kernel_y_size"], each["kernel_x_size"]) for each in found}


@pytest.mark.parametrize("channels", [96, 197, 288])
def test_many_channels_get_them_and_keep_their_values(channels: int) -> None:
    before, after = compiled(channels, NOTHING), compiled(channels, only("empty-taps"))
    assert (sides(before), sides(after)) == ({(1, 1)}, {(2, 2)})
    sizes = [sum(job.coefficients[1] for part in program.parts for job in part.jobs
                 if job.coefficients) for program in (before, after)]  # fmt: skip
    assert sizes[1] < sizes[0] / 2
    for usual, other in zip(results(before), results(after), strict=True):
        assert all(np.array_equal(usual[tensor], other[tensor]) for tensor in usual)


def test_where_nothing_is_gained_nothing_changes() -> None:
    """Few channels; V8, which has depthwise kernels; no coded runs."""
    assert sides(compiled(8, CompileOptions())) == {(1, 1)}
    assert sides(compiled(96, CompileOptions(), "imx8mp")) == {(1, 1)}
    assert sides(compiled(96, replace(CompileOptions(), zero_runs=False))) == {(1, 1)}


def test_192_kernels_take_less_than_a_third() -> None:
    sizes = []
    for options in (NOTHING, only("empty-taps")):
        (part,) = compiled(192, options).parts
        sizes += [job.coefficients[1] for job in part.jobs if job.coefficients]
    assert sizes[0] > 192 * 192 and sizes[1] < sizes[0] / 3
