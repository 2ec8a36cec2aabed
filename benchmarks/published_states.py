"""Published figures, and the streams that the drivers they belong to would have submitted."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lapilli.compiler import stages as compiler
from lapilli.compiler.stages import CompileOptions
from lapilli.compiler.verdict import judge_all
from lapilli.emulator.work import WorkReader, memory_of
from lapilli.hw.chips import Chip
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.profile.host_work import host_work
from lapilli.timing.host import HostWork
from lapilli.timing.work import Work

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LAPILLI_TEST_DATA", HERE.parents[1] / "shared"))
MOBILENET = "mobilenet_v1_1.0_224_quant"
MOBILEDET = "ssdlite_mobiledet_coco_qat_postprocess"
MODELS = (MOBILENET, MOBILEDET)
MOBILENET_V2 = "mobilenet_v2_1.0_224_quant"
SHORT = {MOBILENET: "MobileNetV1", MOBILENET_V2: "MobileNetV2", MOBILEDET: "MobileDet"}
KINDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "ADD"})
STATES = {
    "dense": CompileOptions(False, False, True, True, kinds=KINDS),
    "zero_runs": CompileOptions(True, False, True, True, kinds=KINDS),
    "all_channels": CompileOptions(True, False, True, False, kinds=KINDS),
    "image_cache": CompileOptions(kinds=KINDS),
}
"""What the recorded driver could do, from January to February 2024."""
RECORDED = "recorded"
"""The state of figures of which only the total is known: taken as the recorded driver's."""


@dataclass(frozen=True)
class Row:
    """A published figure."""

    source: str
    date: str
    chip: str
    model: str
    state: str
    milliseconds: float
    kind: str


@dataclass(frozen=True)
class State:
    """A model in a state: the instructions' work, the host's, and distinct published figures."""

    model: str
    state: str
    work: tuple[Work, ...]
    host: HostWork
    published: tuple[float, ...]

    @property
    def name(self) -> str:
        """For tables."""
        return f"{SHORT[self.model]}, {self.state}"

    @property
    def mean(self) -> float:
        """Mean of the published figures, ms."""
        return sum(self.published) / len(self.published)


def rows() -> list[Row]:
    """All figures of published.csv."""
    with (HERE / "published.csv").open(newline="") as file:
        return [
            Row(
                r["source"], r["date"], r["chip"], r["model"], r["state"], float(r["ms"]), r["kind"]
            )
            for r in csv.DictReader(file)
        ]


@cache
def graph_of(model: str) -> Graph:
    """A model of the shared data."""
    return tflite.parse(tflite.read_file(DATA / "models" / f"{model}.tflite"), model)


def work_of(
    graph: Graph, chip: Chip, options: CompileOptions, schedule: str = "reference"
) -> tuple[tuple[Work, ...], HostWork]:
    """What NPU and host have to do for one inference."""
    program = compiler.compile_graph(graph, chip, schedule, options=options)
    reader = WorkReader(chip)
    work = [
        instruction.work
        for part in program.parts
        for instruction in reader.read(part.commands, memory_of(part.buffers))
    ]
    verdicts = judge_all(graph, chip, options.rules)
    return tuple(work), host_work(graph, [verdict.supported for verdict in verdicts])


def states(chip: Chip) -> list[State]:
    """Both models in every state; a figure that is quoted twice counts once."""
    return [
        _state(chip, model, state, options) for model in MODELS for state, options in STATES.items()
    ]


def unfitted_states(chip: Chip) -> list[State]:
    """The models of which a chip's totals are known that nothing was fitted to."""
    return [_state(chip, model, RECORDED, CompileOptions()) for model in SHORT]


def _state(chip: Chip, model: str, state: str, options: CompileOptions) -> State:
    figures = {
        row.milliseconds
        for row in rows()
        if (row.chip, row.model, row.state, row.kind) == (chip.name, model, state, "whole")
    }
    work, host = work_of(graph_of(model), chip, options)
    return State(model, state, work, host, tuple(sorted(figures)))
