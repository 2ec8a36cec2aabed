"""Every recording of the newest driver whose values are right, against our program of its model.

That driver took more operators than the one whose words the reference schedule has: joined, cut and
padded tensors, fully connected layers, functions of a byte. Where both are right in different ways
``DEVIATIONS`` says why, which jobs only one of them has and which fields may differ; all else must
be equal. int8 convolutions have a test of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import pytest
from newer_recordings import is_right
from recorded_jobs import (
    CHIPS,
    COEFFICIENTS,
    NEWER,
    BufferMatch,
    RecordedJob,
    compare_job,
    compiled_part,
    differences,
    extents_of,
    jobs_of,
    jobs_of_part,
    load,
    model_of,
    newer_names,
    stream,
)
from shared_data import shared_data

from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.program.program import Part

COUNTS = {"a311d": 64, "imx8mp": 134}
"""Right recordings."""
APART = CompileOptions(memory_reuse=False)
"""A buffer for each tensor, as the driver has it."""
IN_SIZES = {f"in_image_{side}_{what}" for side in "xy" for what in ("size", "stride")}
OUT_SIZES = {f"out_image_{side}_{what}" for side in "xy" for what in ("size", "stride")}
TILE = {"out_image_tile_x_size", "out_image_tile_y_size"}
KERNEL = {"kernel_x_size", "kernel_y_size", "kernel_z_size"}
CACHES = {"image_cache_start_address", "image_cache_end_address", "kernel_cache_end_address"}
PATTERN = {"kernel_pattern_high", "kernel_pattern_msb"}
SPACE_TO_DEPTH = {
    *("in_image_x_size", "in_image_y_size", "in_image_base_address", "out_image_base_address"),
    *("in_window_x_start", "in_window_y_start", "in_window_x_end", "in_window_y_end"),
    *("in_tile_x_size", "in_tile_y_size", "in_tile_x_inc", "in_tile_y_inc"),
    *("out_loop_1_count", "out_loop_3_count", "out_loop_3_inc"),
}
"""What follows from the piece of the image that a core takes."""


@dataclass(frozen=True)
class Deviation:
    """``pattern``: names. ``theirs`` and ``ours``: numbers of the jobs that only one side has.
    ``fields``: that may differ in the jobs that both have; at least one does if any is given."""

    pattern: str
    reason: str
    theirs: tuple[int, ...] = ()
    ours: tuple[int, ...] = ()
    fields: frozenset[str] | set[str] = frozenset()


ONE_CHANNEL = "an image of one channel is transposed, which moves no byte"
ONE_PIXEL = "the recorded driver moves images of one pixel out of planes, which moves no byte"
EACH_USE = "a tensor is transposed once for each operator that reads it"
AS_A_BOX = "N channels are read as a box of up to 15 x 15 pixels; not proven on V7"
MATRIX = "sums are a matrix over rows of both operands; the recorded driver's two planes cost less"
DEVIATIONS = (
    Deviation(r"[cd]\dx\done_\w\d", ONE_CHANNEL, theirs=(0,)),
    Deviation(r"gap7_u8", f"{ONE_CHANNEL}; sizes not swapped", theirs=(0,), fields=TILE),
    # Which leaves the only one as the last of its operation.
    Deviation(
        r"abs1x1x40_i8", "cores without a row get jobs that do nothing", (1, 2, 3), (), {"no_flush"}
    ),
    Deviation(r"concatnet_u8|concatshared_\w\d", EACH_USE, (2,), fields={"in_image_address"}),
    Deviation(r"concatout_\w\d", EACH_USE, (2, 4), fields={"in_image_address"}),
    Deviation(r"fc17x8_\w\d", ONE_PIXEL, ours=(2,)),
    Deviation(r"fc2_\w\d", f"{AS_A_BOX}; {ONE_PIXEL}", ours=(3,), fields=IN_SIZES | KERNEL),
    Deviation(r"fc\w+", f"{AS_A_BOX}; {ONE_PIXEL}", ours=(2,), fields=IN_SIZES | KERNEL),
    Deviation(
        r"c3x3s2_u8", "cores share space to depth by rows, not columns", fields=SPACE_TO_DEPTH
    ),
    Deviation(r"c3x3tall_u8", "the recorded driver does not swap a tall image", fields=TILE),
    Deviation(
        r"(add|sub)(big|even|net|odd|odd3|rev|tall|wide)_\w\d",
        MATRIX,
        fields=IN_SIZES
        | OUT_SIZES
        | TILE
        | KERNEL
        | CACHES
        | PATTERN
        | {COEFFICIENTS, "coef_zero_point", "kernels_per_core", "out_image_z_size"}
        | {"post_multiplier", "post_shift"},
    ),
)


def names() -> list[tuple[str, str]]:
    """(chip, recording) of all; the right ones can be told only where there is data."""
    return [(chip, name) for chip in CHIPS for name in newer_names(chip) if _right(chip, name)]


def _right(chip: str, name: str) -> bool:
    return is_right(name.removeprefix(NEWER).partition(".part")[0], chip)


def deviation_of(name: str) -> Deviation | None:
    """The first that fits."""
    stem = name.removeprefix(NEWER)
    return next((d for d in DEVIATIONS if re.fullmatch(d.pattern, stem)), None)


NAMES = names()
PADS = [case for case in NAMES if re.match(r"newer/pad(?!net)", case[1])]
DEVIATING = [case for case in NAMES if deviation_of(case[1]) is not None]
EQUAL = [case for case in NAMES if case not in {*PADS, *DEVIATING}]


def test_no_recording_is_missing() -> None:
    shared_data()
    assert {chip: sum(c == chip for c, _ in NAMES) for chip in CHIPS} == COUNTS
    assert len(EQUAL) + len(PADS) + len(DEVIATING) == len(NAMES)
    assert all(deviation_of(name) is None for _, name in PADS)


@pytest.mark.parametrize(("chip", "name"), EQUAL)
def test_program_is_the_recorded_one(chip: str, name: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    assert differences(recorded, part, chip) == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@cache
def padded(name: str, chip: str) -> Part:
    """The best schedule's part: it pads NHWC bytes, as the newest driver does."""
    path, number = model_of(name)
    return compile_model(path, chip, "best", APART).parts[number]


@pytest.mark.parametrize(("chip", "name"), PADS)
def test_paddings_of_the_best_schedule_are_the_recorded_ones(chip: str, name: str) -> None:
    recorded, part = load(name, chip), padded(name, chip)
    assert differences(recorded, part, chip) == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


def both_have(jobs: tuple[RecordedJob, ...], only: tuple[int, ...]) -> list[RecordedJob]:
    return [job for number, job in enumerate(jobs) if number not in only]


@pytest.mark.parametrize(("chip", "name"), DEVIATING)
def test_program_deviates_where_it_is_said_and_nowhere_else(chip: str, name: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    deviation = deviation_of(name)
    assert deviation is not None
    theirs, ours = jobs_of(recorded, chip), jobs_of_part(part, chip)
    only_theirs = tuple(n for n in deviation.theirs if n < len(theirs))
    assert all(theirs[n].unit == "TP" for n in only_theirs)
    assert all(ours[n].unit == "TP" for n in deviation.ours)
    match = BufferMatch(extents_of(recorded), extents_of(part))
    pairs = zip(both_have(theirs, only_theirs), both_have(ours, deviation.ours), strict=True)
    found = set().union(*(compare_job(*pair, match) for pair in pairs))
    assert found <= set(deviation.fields)
    assert found or only_theirs or deviation.ours, "nothing differs: not a deviation"
