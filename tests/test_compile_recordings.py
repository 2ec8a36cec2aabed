"""Every recording of an A311D against what the compiler makes of the same model.

Compared: the sequence of jobs, every field of every NN and TP instruction (addresses as buffer and
offset), the coefficient buffers to the byte, and the command stream around the jobs. The recorded
driver is wrong, or writes bytes that nobody knows, in the recordings that ``DEVIATIONS`` lists,
each with its reason and what our program has instead; there, too, everything else must be equal.

Where the output channels are no multiple of the cores, the driver fills up the last cores with
kernels whose weights and biases it reads from behind its own arrays. In a process that just started
these are zero bytes, which is why the reference schedule writes zero bytes into such kernels (and
corrects their biases for them); where the arrays end with a page, the driver met other data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from coefficients_v7 import WORD, Kernel, Shape, decode_stream, split_cores
from recorded_jobs import (
    COEFFICIENTS,
    CORE_COUNT,
    BufferMatch,
    Differences,
    RecordedJob,
    compare_job,
    compiled_part,
    differences,
    extents_of,
    jobs_of,
    jobs_of_part,
    load,
    model_of,
    recording_names,
    stream,
)
from shared_data import shared_data
from tp_by_hand import run_moves, space_to_depth

from lapilli import tflite
from lapilli.graph import Convolution, Graph, Operator, Padding

SWAPPED_FIELDS = (
    ("in_image_x_size", "in_image_y_size"),
    ("in_image_x_stride", "in_image_y_stride"),
    ("out_image_x_size", "out_image_y_size"),
    ("out_image_x_stride", "out_image_y_stride"),
)
MOVE_SIZES = {
    *("in_image_x_size", "in_image_y_size", "in_image_base_address", "out_image_base_address"),
    *("in_window_x_start", "in_window_y_start", "in_window_x_end", "in_window_y_end"),
    *("in_tile_x_size", "in_tile_y_size", "in_tile_x_inc", "in_tile_y_inc"),
    *("out_loop_0_inc", "out_loop_1_count", "out_loop_2_inc", "out_loop_3_count"),
    *("out_loop_3_inc", "out_loop_6_inc"),
}
"""What follows from image size and padding in a space-to-depth instruction."""
WINDOW = {"in_window_x_start", "in_window_y_start", "in_window_x_end", "in_window_y_end"}
STARTS = {"in_window_x_start", "in_window_y_start"}
PLANE_SIZES = {"out_loop_0_inc", "out_loop_2_inc", "out_loop_6_inc"}


@dataclass(frozen=True)
class Deviation:
    """Why a recording can't be met, and what is expected instead.

    ``nn``: NN job -> field -> (recorded, ours), beside the fields that ``tall`` swaps. ``tp``:
    names of the fields that differ in any of the TP jobs. ``checks`` get
    (recording's name, job number, differences) of every NN job that differs.
    """

    reason: str
    nn: dict[int, dict[str, tuple[int, int]]] = field(default_factory=dict)
    tp: frozenset[str] | set[str] = frozenset()
    tall: bool = False
    checks: tuple[Callable[[str, int, Differences], None], ...] = ()


# ------------------------------------------------------------------------------------------ checks


@cache
def graph_of(name: str) -> Graph:
    return tflite.load(model_of(name)[0])


def operator_of(name: str, job: int) -> Operator:
    index = compiled_part(name).jobs[job].operator
    return next(o for o in graph_of(name).operators if o.index == index)


def padding_of(name: str, job: int) -> tuple[int, int]:
    """Rows and columns of padding before the image, by TFLite's definition."""
    graph, operator = graph_of(name), operator_of(name, job)
    options = operator.options
    assert isinstance(options, Convolution)
    if options.padding is Padding.VALID:
        return 0, 0
    sizes, kernel = (graph.tensors[i].shape[1:3] for i in operator.inputs[:2])
    outputs = graph.tensors[operator.outputs[0]].shape[1:3]
    rows, columns = (
        max((out - 1) * options.stride_rows + taps - size, 0) // 2
        for size, taps, out in zip(sizes, kernel, outputs, strict=True)
    )
    return rows, columns


def offsets_are_the_padding(name: str, job: int, different: Differences) -> None:
    """Ours is right where the recorded offset is not."""
    rows, columns = padding_of(name, job)
    recorded = different["in_image_x_offset"][0], different["in_image_y_offset"][0]
    ours = different["in_image_x_offset"][1], different["in_image_y_offset"][1]
    assert ours == (-columns, -rows)
    assert recorded != ours


@cache
def kernels_of(job: RecordedJob, six: bool | None = None) -> dict[int, Kernel]:
    """The kernels of an NN job by number."""
    values = job.values
    shape = Shape(values["kernel_z_size"], values["kernel_y_size"], values["kernel_x_size"])
    per_core, zero_point = values["kernels_per_core"], values["coef_zero_point"]
    plane = values["out_image_x_stride"] * values["out_image_y_stride"]
    found = {}
    for core in split_cores(job.coefficients, CORE_COUNT):
        decoded = decode_stream(core, shape, per_core, zero_point, six)
        assert not any(core[-(-decoded.bits // 8) :])
        for kernel in decoded.kernels:
            number, rest = divmod(kernel.tail, plane)
            assert rest == 0 and number not in found
            found[number] = kernel
    return found


def pair_of_jobs(name: str, job: int) -> tuple[RecordedJob, RecordedJob]:
    return jobs_of(load(name))[job], jobs_of_part(compiled_part(name))[job]


def only_filler_kernels_differ(name: str, job: int, different: Differences) -> None:
    """Same lengths, and every differing byte belongs to a kernel behind the last output channel,
    whose weights are zero bytes in ours."""
    theirs, ours = pair_of_jobs(name, job)
    count = theirs.values["out_image_z_size"]
    assert len(theirs.coefficients) == len(ours.coefficients)
    their_kernels, our_kernels = kernels_of(theirs), kernels_of(ours)
    assert their_kernels.keys() == our_kernels.keys() == set(range(-(-count // 8) * 8))
    other = {k for k in their_kernels if their_kernels[k] != our_kernels[k]}
    assert other and min(other) >= count
    for k in range(count, len(our_kernels)):
        assert set(our_kernels[k].weights) == {0}
        assert our_kernels[k].tail == their_kernels[k].tail
        size, zero_points = len(our_kernels[k].weights), ours.values
        correction = -zero_points["in_image_border_const"] * size * zero_points["coef_zero_point"]
        assert our_kernels[k].bias == -correction & WORD


def same_kernels_in_other_superblocks(name: str, job: int, different: Differences) -> None:
    """The tiles differ, and with them the number of superblocks; kernels are the same."""
    theirs, ours = pair_of_jobs(name, job)
    assert theirs.values["kernels_per_core"] != ours.values["kernels_per_core"]
    assert kernels_of(theirs) == kernels_of(ours)


def same_kernels_in_blocks_of_six(name: str, job: int, different: Differences) -> None:
    """Read as the driver wrote them, not as the unit reads them, the recorded kernels are ours."""
    theirs, ours = pair_of_jobs(name, job)
    assert kernels_of(theirs, six=False) == kernels_of(ours)
    # As the unit reads them, not even the places of biases and offsets fit.
    with pytest.raises(AssertionError):
        kernels_of(theirs)


# ---------------------------------------------------------------------------------- the deviations

SAME_ONE_PIXEL = "3x3 SAME with stride 2 on 2x2: the driver's offset is -1 (overview.md 6, M)"
TALL = "the driver swaps rows and columns of images taller than wide (overview.md 6, M)"
LARGE_KERNEL = "the driver's SAME knows no kernel above 5 (overview.md 6, M)"
PARITY = "SAME with stride 2, one side odd: the driver mixes up the sides (overview.md 6, M)"
ODD_SIDE = "SAME depthwise with stride 2 and an odd side: wrong offset (overview.md 6, M)"
TWO_BY_TWO = (
    "2x2 with stride 2 becomes 1x1, which the unit reads in groups of six channels; the driver "
    "writes it channel by channel (overview.md 6, V7 only)"
)
STRAY = "the driver read filler kernels from memory beyond its own (coefficients_v7.md 7.1)"
OFFSETS = ("in_image_x_offset", "in_image_y_offset")
IN_SIZES = tuple(name for pair in SWAPPED_FIELDS[:2] for name in pair)


def offsets(recorded: int, ours: int) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(OFFSETS, (recorded, ours))


def tile(recorded: tuple[int, int], ours: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Tile sizes (columns, rows), of which equal ones are left out."""
    names = ("out_image_tile_x_size", "out_image_tile_y_size")
    pairs = zip(names, zip(recorded, ours, strict=True), strict=True)
    return {name: pair for name, pair in pairs if pair[0] != pair[1]}


def images(recorded: tuple[int, int], ours: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Input sizes (columns, rows) and the strides that go with them."""
    return dict(zip(IN_SIZES, 2 * list(zip(recorded, ours, strict=True)), strict=True))


def tall(nn: dict[int, dict[str, tuple[int, int]]], reason: str = TALL, **more: Any) -> Deviation:
    return Deviation(reason, nn, tall=True, **more)


DEVIATIONS: dict[str, Deviation] = {
    "ops/mobiledet82": Deviation(
        SAME_ONE_PIXEL, {1: offsets(-1, 0)}, checks=(offsets_are_the_padding,)
    ),
    "models/mobilenet_v1_1.0_224_quant.part1": Deviation(
        STRAY, {1: {}}, checks=(only_filler_kernels_differ,)
    ),
    "random/r12": tall({1: tile((32, 10), (10, 24))}),
    "random/r38": tall({1: tile((38, 24), (34, 24))}),
    "random/r53": tall({1: tile((30, 20), (21, 20))}),
    "random/r70": tall({1: tile((32, 19), (19, 22))}),
    "random/r73": tall(
        {1: {**tile((15, 11), (11, 15)), "kernels_per_core": (9, 7)}},
        checks=(same_kernels_in_other_superblocks,),
    ),
    "random/r85": tall({0: tile((31, 10), (28, 10))}),
    "random/r86": tall({1: tile((24, 14), (14, 24))}),
    "random/r87": tall({0: tile((9, 2), (2, 9))}),
    "random/r33": tall({5: tile((6, 4), (4, 6))}, tp=MOVE_SIZES - STARTS - PLANE_SIZES),
    "random/r39": tall(
        {5: tile((9, 1), (1, 8))},
        tp=MOVE_SIZES - STARTS - PLANE_SIZES - {"in_image_base_address", "out_image_base_address"},
    ),
    "random/r13": Deviation(LARGE_KERNEL, {1: offsets(-2, -3)}, checks=(offsets_are_the_padding,)),
    "random/r30": tall(
        {1: {**tile((11, 10), (10, 11)), **offsets(-2, -3)}},
        f"{TALL}; {LARGE_KERNEL}",
        checks=(offsets_are_the_padding,),
    ),
    "random/r26": tall(
        {5: {**tile((19, 12), (13, 18)), **images((20, 14), (16, 22))}},
        f"{TALL}; {LARGE_KERNEL}",
        tp=MOVE_SIZES | {"in_image_z_size"},
    ),
    "random/r58": Deviation(
        LARGE_KERNEL, {5: images((17, 17), (19, 19))}, MOVE_SIZES - {"in_image_x_size"}
    ),
    "random/r72": Deviation(
        LARGE_KERNEL, {4: images((13, 9), (15, 11))}, MOVE_SIZES - {"in_image_y_size"}
    ),
    "random/r32": Deviation(PARITY, tp=WINDOW),
    "nonsquare/c3s2rgbodd": Deviation(
        PARITY, tp=WINDOW | {"in_image_x_size", "in_image_base_address"}
    ),
    "random/r84": Deviation(ODD_SIDE, {1: offsets(-1, -2)}, checks=(offsets_are_the_padding,)),
    "nonsquare/d3s2_9x5": tall(
        {
            1: {
                **tile((10, 6), (6, 10)),
                **offsets(0, -1),
                "kernels_per_core": (16, 8),
                # Two superblocks read the image twice, so it is kept in the on-chip memory.
                "image_caching_mode": (0, 1),
                "kernel_cache_end_address": (13824, 14336),
                "image_cache_start_address": (0, 14336),
                "image_cache_end_address": (2048, 26624),
            }
        },
        f"{TALL}; {ODD_SIDE}",
        checks=(offsets_are_the_padding, same_kernels_in_other_superblocks),
    ),
    "random/r67": Deviation(TWO_BY_TWO, {5: {}}, checks=(same_kernels_in_blocks_of_six,)),
}
"""Recordings of which some words differ; see also ADDITIONS and DETECTOR."""

ADDITIONS = (*(f"ops/mobiledet{n}" for n in (8, 14, 22, 32, 38, 60, 64, 68)), "random/add4")
"""Additions of two graph inputs: they run on NHWC bytes, and the driver then takes the sum for
planar and transposes it (overview.md 4.6, M). Ours leaves it where it belongs."""

DETECTOR = "models/ssdlite_mobiledet_coco_qat_postprocess.part0"
"""Two of 138 jobs differ: 100 is ops/mobiledet82, and 128 has 546 output channels."""

NAMES = recording_names()


def expected_fields(deviation: Deviation, job: int, recorded: RecordedJob) -> Differences:
    """Field -> (recorded, ours) of an NN job."""
    expected: Differences = {}
    if deviation.tall:
        for x, y in SWAPPED_FIELDS:
            columns, rows = recorded.values[x], recorded.values[y]
            assert columns > rows, "not a recording of a tall image"
            expected |= {x: (columns, rows), y: (rows, columns)}
    return expected | deviation.nn.get(job, {})


# ------------------------------------------------------------------------------------------- tests


def test_no_recording_is_missing() -> None:
    shared_data()
    assert len(NAMES) == 153
    assert not (DEVIATIONS.keys() | {*ADDITIONS, DETECTOR}) - set(NAMES)


@pytest.mark.parametrize("name", sorted({*NAMES} - DEVIATIONS.keys() - {*ADDITIONS, DETECTOR}))
def test_program_is_the_recorded_one(name: str) -> None:
    recorded, part = load(name), compiled_part(name)
    assert differences(recorded, part) == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@pytest.mark.parametrize("name", sorted(DEVIATIONS.keys() & {*NAMES}))
def test_program_deviates_where_the_driver_is_wrong_and_nowhere_else(name: str) -> None:
    recorded, part, deviation = load(name), compiled_part(name), DEVIATIONS[name]
    found, jobs = differences(recorded, part), jobs_of(recorded)
    units = {number: jobs[number].unit for number in found}
    assert {number for number, unit in units.items() if unit == "NN"} == deviation.nn.keys()
    for number in deviation.nn:
        fields = {n: pair for n, pair in found[number].items() if n != COEFFICIENTS}
        assert fields == expected_fields(deviation, number, jobs[number])
        explained = [check for check in deviation.checks if check is not offsets_are_the_padding]
        assert (COEFFICIENTS in found[number]) == bool(explained)
        for check in deviation.checks:
            check(name, number, found[number])
    moves = [set(fields) for number, fields in found.items() if units[number] == "TP"]
    assert set().union(*moves) == set(deviation.tp)
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


def test_detector_deviates_in_two_jobs() -> None:
    shared_data()
    recorded, part = load(DETECTOR), compiled_part(DETECTOR)
    found = differences(recorded, part)
    assert found.keys() == {100, 128}
    assert found[100] == offsets(-1, 0)
    offsets_are_the_padding(DETECTOR, 100, found[100])
    assert found[128].keys() == {COEFFICIENTS}
    only_filler_kernels_differ(DETECTOR, 128, found[128])
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@pytest.mark.parametrize("name", sorted({*ADDITIONS} & {*NAMES}))
def test_addition_of_two_inputs_is_the_recorded_one_without_a_transpose(name: str) -> None:
    recorded, part = load(name), compiled_part(name)
    theirs, ours = jobs_of(recorded), jobs_of_part(part)
    assert [job.unit for job in theirs] == ["NN", "TP"]
    assert [job.unit for job in ours] == ["NN"]
    assert (
        compare_job(theirs[0], ours[0], BufferMatch(extents_of(recorded), extents_of(part))) == {}
    )
    # The transpose that we leave out reads what the addition wrote.
    values = theirs[0].values
    assert theirs[1].values["in_image_base_address"] == values["out_image_address"]
    # Five registers start an NN job, six a TP job; then come two flushes and a filler.
    their_stream, our_stream = stream(recorded.commands.tolist()), stream(part.commands.tolist())
    assert our_stream == their_stream[: 8 + 10] + their_stream[-6:]
    assert len(their_stream) == len(our_stream) + 12
    first, second = part.inputs
    assert (first.buffer, first.offset, second.buffer) == (2, 0, 2)
    assert second.offset == first.size == second.size
    (output,) = part.outputs
    assert ours[0].values["out_image_address"] == part.buffers[output.buffer].address
    assert output.offset == 0


# ------------------------------------------------------------------------ what our moves really do


@pytest.mark.parametrize("name", sorted(n for n in NAMES if n in DEVIATIONS and DEVIATIONS[n].tp))
def test_space_to_depth_is_right_where_the_recorded_one_is_not(name: str) -> None:
    part = compiled_part(name)
    numbers = [n for n, job in enumerate(part.jobs) if job.kind == "reshuffle"]
    theirs, ours = jobs_of(load(name)), jobs_of_part(part)
    operator, last = graph_of(name).operators[0], numbers[-1] + 1
    shape = graph_of(name).tensors[operator.inputs[0]].shape
    image = np.random.default_rng(1).integers(0, 256, (shape[3], shape[1], shape[2]), np.uint8)
    made = []
    for jobs in (theirs, ours):
        moves, values = [jobs[n].values for n in numbers], jobs[last].values
        size = values["in_image_x_size"] * values["in_image_y_size"] * values["kernel_z_size"]
        source = min(move["in_image_base_address"] for move in moves)
        result = run_moves(moves, image, source, values["in_image_address"], 1 << 21)
        sides = values["kernel_z_size"], values["in_image_y_size"], values["in_image_x_size"]
        made.append(result[:size].reshape(sides))
    _, rows, columns = made[1].shape
    border = ours[last].values["in_image_border_const"]
    wanted = space_to_depth(image, rows, columns, padding_of(name, last), border)
    assert (made[1] == wanted).all()
    recorded = made[0][:, :rows, :columns]
    assert not np.array_equal(recorded, wanted)
