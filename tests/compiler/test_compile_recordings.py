"""Every recording of both chips against what the compiler makes of the same model.

Compared: the sequence of jobs, every field of every NN and TP instruction (addresses as buffer and
offset), the coefficients to the byte, and the command stream around the jobs. The recorded driver
is wrong, or writes bytes that nobody knows, in the recordings that ``deviations`` lists, each with
its reason and what our program has instead; there, too, everything else must be equal.
"""

from __future__ import annotations

import numpy as np
import pytest
from deviation_checks import graph_of, offsets_are_the_padding, padding_of
from deviations import ADDITIONS, COUNTS, DEVIATIONS, OFFSETS, ONLY_A311D
from recorded_jobs import (
    CHIPS,
    COEFFICIENTS,
    BufferMatch,
    check_kernel_addresses,
    compare_job,
    compiled_part,
    differences,
    extents_of,
    jobs_of,
    jobs_of_part,
    load,
    recording_names,
    stream,
)
from shared_data import shared_data
from tp_by_hand import run_moves, space_to_depth

NAMES = {chip: recording_names(chip) for chip in CHIPS}
CASES = [(chip, name) for chip in CHIPS for name in NAMES[chip]]
DEVIATING = [(chip, name) for chip, name in CASES if name in DEVIATIONS[chip]]
OF_TWO_INPUTS = [(chip, name) for chip, name in CASES if name in ADDITIONS]
EQUAL = [case for case in CASES if case not in {*DEVIATING, *OF_TWO_INPUTS}]
LEADING_WORDS, TRAILING_WORDS = 8, 6
"""Of a command stream, around the jobs: fillers, and two flushes and a filler."""
NN_WORDS, TP_WORDS = 10, 12
"""Five registers start an NN job, six a TP job."""


@pytest.mark.parametrize("chip", CHIPS)
def test_no_recording_is_missing(chip: str) -> None:
    shared_data()
    assert len(NAMES[chip]) == COUNTS[chip]
    assert not (DEVIATIONS[chip].keys() | {*ADDITIONS}) - {*NAMES[chip]}


def test_both_chips_were_recorded_with_the_same_models() -> None:
    shared_data()
    assert {*NAMES["a311d"]} - {*NAMES["imx8mp"]} == ONLY_A311D
    assert {*NAMES["imx8mp"]} <= {*NAMES["a311d"]}


@pytest.mark.parametrize(("chip", "name"), EQUAL)
def test_program_is_the_recorded_one(chip: str, name: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    assert differences(recorded, part, chip) == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@pytest.mark.parametrize(("chip", "name"), DEVIATING)
def test_program_deviates_where_the_driver_is_wrong_and_nowhere_else(chip: str, name: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    deviation = DEVIATIONS[chip][name]
    found, jobs = differences(recorded, part, chip), jobs_of(recorded, chip)
    units = {number: jobs[number].unit for number in found}
    assert {number for number, unit in units.items() if unit == "NN"} == deviation.nn.keys()
    for number in deviation.nn:
        fields = {n: pair for n, pair in found[number].items() if n != COEFFICIENTS}
        assert fields == deviation.fields(number, jobs[number])
        if OFFSETS[0] in fields:
            offsets_are_the_padding(chip, name, number, fields)
        assert (COEFFICIENTS in found[number]) == (number in deviation.kernels)
        if number in deviation.kernels:
            deviation.kernels[number](chip, name, number)
    moves = [set(fields) for number, fields in found.items() if units[number] == "TP"]
    assert set().union(*moves) == set(deviation.tp)
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@pytest.mark.parametrize(("chip", "name"), OF_TWO_INPUTS)
def test_addition_of_two_inputs_is_the_recorded_one_without_a_transpose(
    chip: str, name: str
) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    theirs, ours = jobs_of(recorded, chip), jobs_of_part(part, chip)
    assert [job.unit for job in theirs] == ["NN", *["TP"] * (len(theirs) - 1)]
    assert [job.unit for job in ours] == ["NN"]
    check_kernel_addresses(recorded, part, theirs, ours)
    match = BufferMatch(extents_of(recorded), extents_of(part))
    assert compare_job(theirs[0], ours[0], match) == {}
    # The transpose that we leave out reads what the addition wrote.
    values = theirs[0].values
    assert theirs[1].values["in_image_base_address"] == values["out_image_address"]
    their_stream, our_stream = stream(recorded.commands.tolist()), stream(part.commands.tolist())
    assert our_stream == their_stream[: LEADING_WORDS + NN_WORDS] + their_stream[-TRAILING_WORDS:]
    assert len(their_stream) == len(our_stream) + TP_WORDS * (len(theirs) - 1)
    first, second = part.inputs
    assert (first.buffer, first.offset, second.buffer) == (2, 0, 2)
    assert second.offset == first.size == second.size
    (output,) = part.outputs
    assert ours[0].values["out_image_address"] == part.buffers[output.buffer].address
    assert output.offset == 0


# ------------------------------------------------------------------------ what our moves really do


@pytest.mark.parametrize(
    ("chip", "name"), [(chip, name) for chip, name in DEVIATING if DEVIATIONS[chip][name].tp]
)
def test_space_to_depth_is_right_where_the_recorded_one_is_not(chip: str, name: str) -> None:
    part = compiled_part(name, chip)
    numbers = [n for n, job in enumerate(part.jobs) if job.kind == "reshuffle"]
    theirs, ours = jobs_of(load(name, chip), chip), jobs_of_part(part, chip)
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
    wanted = space_to_depth(image, rows, columns, padding_of(chip, name, last), border)
    assert (made[1] == wanted).all()
    recorded = made[0][:, :rows, :columns]
    assert not np.array_equal(recorded, wanted)
