"""Where a schedule's jobs read and write: inside their buffers, every byte of a result once, and no
byte that somebody still needs. Read from the emitted words, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from digests import CHIPS
from lever_checks import graph_named
from numpy.typing import NDArray
from rule_checks import chip
from scheduled_parts import scheduled_parts
from shared_data import shared_data
from tp_by_hand import run_move

from lapilli.compiler.emit import ScheduledNn, emit
from lapilli.compiler.generations import generation_of
from lapilli.compiler.schedule import legal
from lapilli.compiler.stages import ScheduledPart
from lapilli.hw import tp
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Pooling
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.program.program import Job, Part

LONG = pytest.mark.long
Bytes = NDArray[np.int64]
NOBODY, CONTENT, LOST = -1, -2, -3
"""Whose a byte is: not written yet; there from the start; perhaps gone, by kernels that only fill
up the cores. Others are operators, and inputs as ``-10 - tensor``."""
COPY = "copy"
MOVES = ("transpose", "detranspose", "reshuffle", COPY)
"""Kinds of jobs that change layout or place: what they write is still the result of who made it.
Copies of a part's outputs stand at its end, whichever operator made them."""


HOLDING = {
    *("CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "PAD"),
    "RESIZE_BILINEAR",
}
"""Operators whose results may hold bytes of their operands where those were made, beside others
that jobs of their own put there."""


@dataclass(frozen=True)
class Access:
    """What one instruction reads and writes, as GPU addresses; ``perhaps``: what it may write."""

    reads: Bytes
    writes: Bytes
    perhaps: Bytes


def nn_access(words: Mapping[str, int], on: Chip) -> Access:
    """Whole planes in and out."""
    source, target = words["in_image_address"], words["out_image_address"]
    plane = words["in_image_x_stride"] * words["in_image_y_stride"]
    assert (words["in_image_x_size"], words["in_image_y_size"]) == (
        words["in_image_x_stride"],
        words["in_image_y_stride"],
    )
    step = 2 if words["pooling"] == Pooling.FIRST_PIXEL else 1
    made = words["out_image_x_stride"] * words["out_image_y_stride"]
    assert (-(-words["out_image_x_size"] // step)) == words["out_image_x_stride"]
    assert (-(-words["out_image_y_size"] // step)) == words["out_image_y_stride"]
    channels = words["out_image_z_size"]
    end = target + made * channels
    # V7's streams have kernels for every core in the last round; V8's say how many each has.
    whole = on.generation == 8 or legal.may_be_followed(channels, on)
    filled = channels if whole else -(-channels // on.nn_cores) * on.nn_cores
    return Access(
        np.arange(source, source + plane * words["kernel_z_size"]),
        np.arange(target, end),
        np.arange(end, target + made * filled),
    )


def tp_access(words: Mapping[str, int]) -> Access:
    """The window's elements that the image has, and where the loops put all of them."""
    base = words["in_image_base_address"]
    across = np.arange(
        max(words["in_window_x_start"], 0),
        min(words["in_window_x_end"] + 1, words["in_image_x_size"]),
    )
    down = np.arange(
        max(words["in_window_y_start"], 0),
        min(words["in_window_y_end"] + 1, words["in_image_y_size"]),
    )
    planes = np.arange(words["in_image_z_size"])
    reads = (
        base
        + planes[:, None, None] * words["in_image_slice"]
        + down[:, None] * words["in_image_stride"]
        + across
    ).reshape(-1)
    memory = np.zeros(int(reads.max() - base) + 1 if reads.size else 1, np.uint8)
    plain = {
        name: value if "count" not in name else value or 1 << 62 for name, value in words.items()
    }
    writes, _ = run_move(plain, memory, 0)
    return Access(reads, writes + words["out_image_base_address"], np.zeros(0, np.int64))


def accesses(part: Part, on: Chip) -> Iterator[tuple[Job, Access]]:
    """Of every instruction in order."""
    for job in part.jobs:
        words = part.job_words(job).tolist()
        if job.unit == "NN":
            yield job, nn_access(generation_of(on).layout.decode(words), on)
        else:
            yield job, tp_access(tp.TP.decode(words))


class Memory:
    """Whose every byte of a part's buffers is."""

    def __init__(self, part: Part) -> None:
        self._spans = []
        for number, buffer in enumerate(part.buffers):
            owner = np.full(buffer.size, NOBODY if buffer.data is None else CONTENT, np.int64)
            for binding in part.inputs:
                if binding.buffer == number:
                    owner[binding.offset : binding.offset + binding.size] = -10 - binding.tensor
            self._spans.append((buffer.address, owner))

    def owners(self, addresses: Bytes) -> tuple[NDArray[np.int64], Bytes]:
        """The one buffer that ``addresses`` lie in, and their places there."""
        for start, owner in self._spans:
            if start <= addresses.min() < start + len(owner):
                assert addresses.max() < start + len(owner), "leaves its buffer"
                return owner, addresses - start
        raise AssertionError("no buffer there")


def makers(graph: Graph, with_jobs: set[int], entering: set[int]) -> dict[int, set[int]]:
    """For each operator whose bytes its jobs may read: its own, those of the makers of its
    operands, looking through operators without jobs, and what enters the part."""
    producer = {t: operator for operator in graph.operators for t in operator.outputs}

    def behind(tensor: int) -> set[int]:
        if tensor in entering:
            return {-10 - tensor}
        if tensor not in producer:
            return set()
        operator = producer[tensor]
        own = {operator.index} if operator.index in with_jobs else set()
        if own and operator.kind not in HOLDING:
            return own
        return own.union(*(behind(t) for t in operator.inputs if t >= 0))

    return {
        operator.index: {operator.index}.union(*(behind(t) for t in operator.inputs if t >= 0))
        for operator in graph.operators
    }


def check_part(graph: Graph, scheduled: ScheduledPart, on: Chip) -> int:
    """Plays a part's jobs over its memory; how many instructions."""
    part = emit(graph, scheduled.part, scheduled.jobs, on)
    memory = Memory(part)
    entering = {binding.tensor for binding in part.inputs}
    allowed = makers(graph, {job.operator for job in part.jobs}, entering)
    count = 0
    for job, access in accesses(part, on):
        found, at = memory.owners(access.reads)
        read = set(np.unique(found[at]).tolist()) - {CONTENT}
        if job.kind == COPY and not read & {NOBODY, LOST}:
            right = read  # whoever reads the copy is asked whose it is
        else:
            right = allowed[job.operator]
        assert read <= right, (job, read, right)
        made, at = memory.owners(access.writes)
        assert len(np.unique(at)) == len(at), "a byte written twice"
        moved = job.kind in MOVES and len(read) == 1
        made[at] = read.pop() if moved else job.operator
        if access.perhaps.size:
            made, at = memory.owners(access.perhaps)
            made[at] = LOST
        count += 1
    for binding in part.outputs:
        owner, at = memory.owners(
            part.buffers[binding.buffer].address + binding.offset + np.arange(binding.size)
        )
        left = set(np.unique(owner[at]).tolist())
        of = [o.index for o in graph.operators if binding.tensor in o.outputs]
        assert left <= allowed[of[0]], (binding.name, left)
    return count


def check_tiles(scheduled: ScheduledPart, on: Chip) -> None:
    """Tiles times superblocks do every pixel of every kernel once."""
    for item in scheduled.jobs:
        if not isinstance(item, ScheduledNn):
            continue
        job, tiling = item.job, item.tiling
        step = 2 if job.first_pixel else 1
        size = (job.output_size.rows * step, job.output_size.columns * step)
        done = np.zeros(size, np.int64)
        for top in range(0, size[0], tiling.rows):
            for left in range(0, size[1], tiling.columns):
                done[top : top + tiling.rows, left : left + tiling.columns] += 1
        assert (done == 1).all()
        each = legal.kernels_of_a_superblock(job.kernels.output_channels, tiling.superblocks, on)
        per_core = -(-job.kernels.output_channels // on.nn_cores)
        assert each * (tiling.superblocks - 1) < per_core <= each * tiling.superblocks
        assert item.coefficients.size.statistics.kernels == per_core


def models(folder: str) -> list[Path]:
    return sorted((shared_data() / "models" / folder).glob("*.tflite"))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    ("folder", "every"),
    [("ops", 40), ("random", 6), ("nonsquare", 3), pytest.param(".", 1, marks=pytest.mark.long)]
    + [
        pytest.param(folder, 1, marks=pytest.mark.long) for folder in ("ops", "random", "nonsquare")
    ],
)
def test_jobs_keep_to_their_places(folder: str, every: int, name: str) -> None:
    counted = [places_of(path, chip(name)) for path in models(folder)[::every]]
    assert sum(counted) >= 6


@pytest.mark.parametrize("name", CHIPS)
def test_jobs_of_a_whole_model_keep_to_their_places(name: str) -> None:
    path = shared_data() / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    assert places_of(path, chip(name)) >= 30


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    ("first", "behind"), [(0, 8), *(pytest.param(n, n + 25, marks=LONG) for n in range(8, 250, 25))]
)
def test_jobs_of_all_kinds_of_operators_keep_to_their_places(
    first: int, behind: int, name: str
) -> None:
    graphs = (graph_named(f"further-{seed}") for seed in range(first, behind))
    assert all(places_in(graph, chip(name)) for graph in graphs)


def places_of(path: Path, on: Chip) -> int:
    return places_in(tflite.load(path), on)


def places_in(graph: Graph, on: Chip) -> int:
    count = 0
    for scheduled in scheduled_parts(graph, on, "best"):
        check_tiles(scheduled, on)
        count += check_part(graph, scheduled, on)
    return count


def broken_part(change: str) -> None:
    """Checks a model's first part with one job's result put elsewhere."""
    path = shared_data() / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    graph, on = tflite.load(path), chip("a311d")
    scheduled = next(scheduled_parts(graph, on, "best"))
    jobs = list(scheduled.jobs)
    number = [n for n, item in enumerate(jobs) if isinstance(item, ScheduledNn)][5]
    item = jobs[number]
    assert isinstance(item, ScheduledNn)
    job = item.job
    views = {
        "none": job.target,
        "beyond": replace(job.target, offset=scheduled.part.storages[job.target.storage].size),
        "over its operand": replace(job.source, size=job.target.size),
        "a byte further": replace(job.target, offset=job.target.offset + 1),
    }
    jobs[number] = replace(item, job=replace(job, target=views[change]))
    check_part(graph, replace(scheduled, jobs=tuple(jobs)), on)


def test_what_is_out_of_place_is_seen() -> None:
    broken_part("none")
    for change in ("beyond", "over its operand", "a byte further"):
        with pytest.raises(AssertionError):
            broken_part(change)
