"""Operators of all families over images of any size: a few bytes of a file ask for as much as they
like, and get a program within the limit, or an error; memory is no multiple of the image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from cases import seeded
from models import ModelBuilder
from operator_cases import FAMILIES, OperatorCase
from work import counted_bytes

from lapilli.compiler.stages import DEFAULT_OPTIONS, SCHEDULES, chip_named, compile_graph
from lapilli.errors import LapilliError, ModelError, UsageError
from lapilli.model import tflite
from lapilli.model.input_shapes import with_input_shapes

TARGETS = list(itertools.product(("a311d", "imx8mp"), SCHEDULES))
EXTENTS = (300, 1000, 4000, 8191, 16383, 65535, 1 << 20)
LIMIT = 1 << 22
ROOM = 32 << 20
"""For the search, the model, and what the limit allows while it is made."""
SAMPLE, ALL = 2, 60


def enlarged(builder: ModelBuilder, rng: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """One or two extents of the first input, and those of others that have its shape."""
    given = [tuple(builder.tensors[tensor].shape or ()) for tensor in builder.inputs]
    first = list(given[0])
    for _ in range(int(rng.integers(1, 3))):
        axis = int(rng.integers(len(first)))
        if len(first) < 4 or axis > 0:
            first[axis] = int(rng.choice(EXTENTS))
    return {str(i): tuple(first) for i, shape in enumerate(given) if shape == given[0]}


def travel(family: str, seed: int, targets: Sequence[tuple[str, str]]) -> set[str]:
    """How it ended on a chip under a schedule, for each of ``targets``."""
    builder, outputs = OperatorCase(family, seed).built()
    shapes = enlarged(builder, seeded("enlarged", family, str(seed)))
    found = set()
    try:
        graph = tflite.parse(with_input_shapes(builder.build(outputs), shapes, "model"), "model")
    except (ModelError, UsageError):  # a file, or --shape, asks for more than there may be
        return {"unread"}
    options = replace(DEFAULT_OPTIONS, max_program_bytes=LIMIT)
    for chip, schedule in targets:
        with counted_bytes() as taken:
            try:
                compile_graph(graph, chip_named(chip), schedule, "", options)
                found.add("compiled")
            except LapilliError:
                found.add("refused")
        assert taken.peak_bytes < ROOM, (family, seed, shapes, chip, schedule)
    return found


def check(count: int, every: bool) -> None:
    """On one target in turn, or on ``every`` one."""
    ended = []
    for number, (family, seed) in enumerate(itertools.product(FAMILIES, range(count))):
        turn = number + number // len(TARGETS)
        targets = TARGETS if every else [TARGETS[turn % len(TARGETS)]]
        ended.append(travel(family, seed, targets))
    for way in ("compiled", "refused"):
        assert sum(way in each for each in ended) > len(ended) // 5, ended


def test_operators_over_images_of_any_size() -> None:
    check(SAMPLE, every=False)


@pytest.mark.long
def test_many_operators_over_images_of_any_size() -> None:
    check(ALL, every=True)
