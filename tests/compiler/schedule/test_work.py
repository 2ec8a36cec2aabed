"""A schedule's jobs and the bytes made of them have the same work and take the same cycles.

The compiler counts what it is about to write, the emulator what it reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from digests import CHIPS
from lever_checks import graph_named
from rule_checks import chip
from scheduled_parts import DEFAULT, scheduled_parts
from shared_data import shared_data
from small_program import small_model

from lapilli.compiler.emit import ScheduledNn, emit
from lapilli.compiler.generations import generation_of
from lapilli.compiler.schedule.work import nn_work, tp_work
from lapilli.compiler.stages import SCHEDULES, CompileOptions, ScheduledPart
from lapilli.emulator.work import WorkReader, memory_of
from lapilli.hw.chips import Chip
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.timing.constants import constants_of
from lapilli.timing.cycles import charge
from lapilli.timing.work import Work


def before(scheduled: ScheduledPart, on: Chip) -> Iterator[Work]:
    """What the compiler expects. Sizes of coefficients are taken from where none was written."""
    generation = generation_of(on)
    for item in scheduled.jobs:
        if isinstance(item, ScheduledNn):
            size = generation.measure(item.job, on, item.tiling)
            assert size == item.coefficients.size
            yield nn_work(item.job, item.tiling, item.memory, size.statistics, on)
        else:
            yield from tp_work(item, on)


def behind(graph: Graph, scheduled: ScheduledPart, on: Chip) -> list[Work]:
    """What the emulator finds."""
    part = emit(graph, scheduled.part, scheduled.jobs, on)
    found = WorkReader(on).read(part.commands, memory_of(part.buffers))
    return [instruction.work for instruction in found]


def jobs_compared(graph: Graph, on: Chip, schedule: str, options: CompileOptions = DEFAULT) -> int:
    """Compares all jobs of a model; how many."""
    compared, constants = 0, constants_of(on)
    for scheduled in scheduled_parts(graph, on, schedule, options):
        expected, found = list(before(scheduled, on)), behind(graph, scheduled, on)
        assert expected == found, graph.name
        for work, read in zip(expected, found, strict=True):
            assert charge(work, constants).cycles == charge(read, constants).cycles
        compared += len(found)
    return compared


def models(folder: str) -> list[Path]:
    return sorted((shared_data() / "models" / folder).glob("*.tflite"))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    ("folder", "schedule"),
    [
        *itertools.product(("ops", "random", "nonsquare"), SCHEDULES),
        (".", "best"),
        pytest.param(".", "reference", marks=pytest.mark.long),
    ],
)
def test_every_job_has_the_work_that_its_bytes_have(folder: str, schedule: str, name: str) -> None:
    found = [jobs_compared(tflite.load(path), chip(name), schedule) for path in models(folder)]
    assert sum(found) >= 6


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("first", "behind"), [(0, 6), pytest.param(6, 250, marks=pytest.mark.long)]
)
def test_so_it_is_with_all_kinds_of_operators(
    first: int, behind: int, schedule: str, name: str
) -> None:
    graphs = (graph_named(f"further-{seed}") for seed in range(first, behind))
    assert all(jobs_compared(graph, chip(name), schedule) for graph in graphs)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    "options",
    [
        replace(DEFAULT, zero_runs=False),
        replace(DEFAULT, image_cache=False),
        replace(DEFAULT, kernel_cache=False),
    ],
    ids=["zero_runs", "image_cache", "kernel_cache"],
)
def test_so_it_is_with_everything_that_can_be_left_out(options: CompileOptions, name: str) -> None:
    graph = tflite.parse(small_model(), "small")
    for schedule in SCHEDULES:
        assert jobs_compared(graph, chip(name), schedule, options) >= 5
