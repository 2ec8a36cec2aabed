"""Borders that are not made: of paddings in front of convolutions, of strided first layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from comparing import CHIPS
from further_operators import pad
from lever_checks import NOTHING, results
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.model import tflite
from lapilli.program.program import Program


@dataclass(frozen=True)
class Padded:
    """A padding in front of a convolution that has none of its own. ``amounts``: rows in front and
    behind, columns in front and behind; ``byte``: what is padded with, None for zero points."""

    size: tuple[int, int]
    amounts: tuple[int, int, int, int]
    kernel: int
    stride: int = 1
    depthwise: bool = False
    byte: int | None = None
    read_twice: bool = False
    own: str = "VALID"

    def model(self) -> bytes:
        """Behind a convolution of single pixels, so that planes are padded."""
        rng = np.random.default_rng(sum(self.size) + self.kernel)
        builder = ModelBuilder()
        image = builder.input((1, *self.size, 8), 0.02, 128)
        first = builder.conv(image, _weights(rng, 16, 1, 8), None, 0.01, 120, 0.05, 90)
        rows, columns = self.amounts[:2], self.amounts[2:]
        padded = pad(builder, first, [(0, 0), rows, columns, (0, 0)], self.byte)
        if self.depthwise:
            weights = _weights(rng, 1, self.kernel, 16)
            convolve = builder.depthwise
        else:
            weights = _weights(rng, 12, self.kernel, 16)
            convolve = builder.conv
        made = [
            convolve(
                padded, weights, None, 0.01, 120, 0.2, 100, stride=self.stride, padding=self.own
            )
            for _ in range(1 + self.read_twice)
        ]
        return builder.build(made)


def _weights(rng: np.random.Generator, count: int, kernel: int, channels: int) -> np.ndarray:
    return rng.integers(60, 180, (count, kernel, kernel, channels)).astype(np.uint8)


def first_layer(size: tuple[int, int], kernel: int) -> bytes:
    rng = np.random.default_rng(sum(size))
    builder = ModelBuilder()
    image = builder.input((1, *size, 3), 0.02, 128)
    weights = _weights(rng, 16, kernel, 3)
    return builder.build([builder.conv(image, weights, None, 0.01, 120, 0.05, 90, stride=2)])


def kinds(program: Program) -> list[str]:
    """Of the jobs, each operation once."""
    found = [job.kind for part in program.parts for job in part.jobs]
    return [kind for kind, before in zip(found, ["", *found], strict=False) if kind != before]


def compiled(model: bytes, name: str) -> Program:
    """By the best schedule, which gives the same bytes as one without levers."""
    graph = tflite.parse(model, "padded")
    usual, best = (
        compile_graph(graph, chip(name), options=options) for options in (NOTHING, CompileOptions())
    )
    for before, after in zip(results(usual), results(best), strict=True):
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[tensor], after[tensor]) for tensor in before)
    return best


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    "case",
    [
        Padded((14, 14), (0, 1, 0, 1), 3, 2, depthwise=True),
        Padded((13, 18), (1, 1, 1, 1), 3, 2, depthwise=True),
        Padded((15, 11), (1, 1, 1, 1), 3, depthwise=True),
        Padded((11, 15), (1, 1, 1, 1), 3),
        Padded((12, 9), (2, 2, 1, 2), 5),
        Padded((9, 16), (0, 0, 2, 0), 3),
        Padded((14, 14), (0, 1, 0, 1), 3, 2),
        Padded((16, 13), (1, 1, 2, 1), 3, 2),
        Padded((15, 16), (2, 1, 2, 2), 5, 2),
        Padded((12, 12), (1, 1, 1, 1), 3, own="SAME"),
    ],
    ids=str,
)
def test_the_unit_adds_the_border(case: Padded, name: str) -> None:
    assert "pad" not in kinds(compiled(case.model(), name))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    "case",
    [
        Padded((12, 12), (1, 1, 1, 1), 3, byte=7),
        Padded((12, 12), (1, 1, 1, 1), 3, read_twice=True),
        Padded((12, 12), (3, 3, 3, 3), 3),
        Padded((12, 12), (1, 1, 0, 0), 1),
        Padded((12, 12), (0, 3, 0, 3), 3, 2, depthwise=True),
    ],
    ids=str,
)
def test_borders_that_are_made(case: Padded, name: str) -> None:
    """Of other bytes, for several readers, or where kernels would see nothing of the image."""
    assert "pad" in kinds(compiled(case.model(), name))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    ("size", "kernel"),
    [((33, 33), 3), ((33, 40), 3), ((40, 33), 3), ((47, 65), 3), ((48, 50), 5), ((64, 64), 3)],
    ids=str,
)
def test_a_first_layer_of_any_size_in_one_pass(
    size: tuple[int, int], kernel: int, name: str
) -> None:
    found = kinds(compiled(first_layer(size, kernel), name))
    assert found[:2] == ["reshuffle", "convolution"]


@pytest.mark.parametrize("name", CHIPS)
def test_two_rows_of_border_take_two_passes(name: str) -> None:
    found = kinds(compiled(first_layer((47, 64), 5), name))
    assert found[:3] == ["transpose", "reshuffle", "convolution"]
