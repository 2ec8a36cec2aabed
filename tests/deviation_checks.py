"""What must hold where our instructions or coefficients are not the recorded ones.

Where V7's output channels are no multiple of the cores, the driver fills up the last cores with
kernels whose weights and biases it reads from behind its own arrays. In a process that just started
these are zero bytes, which is why the reference schedule writes zero bytes into such kernels (and
corrects their biases for them); where the arrays end with a page, the driver met other data.
"""

from __future__ import annotations

from functools import cache

import pytest
from coefficients_v7 import WORD, Kernel, Shape, decode_stream, split_cores
from recorded_jobs import (
    Differences,
    RecordedJob,
    chip_of,
    compiled_part,
    jobs_of,
    jobs_of_part,
    load,
    model_of,
)

from lapilli.model import tflite
from lapilli.model.graph import Convolution, Graph, Operator, Padding

V7_CORES = chip_of("a311d").nn_cores


@cache
def graph_of(name: str) -> Graph:
    """The model that a recording was made of."""
    return tflite.load(model_of(name)[0])


def operator_of(chip: str, name: str, job: int) -> Operator:
    """The operator that a job belongs to."""
    index = compiled_part(name, chip).jobs[job].operator
    return next(o for o in graph_of(name).operators if o.index == index)


def padding_of(chip: str, name: str, job: int) -> tuple[int, int]:
    """Rows and columns of padding before the image, by TFLite's definition."""
    graph, operator = graph_of(name), operator_of(chip, name, job)
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


def offsets_are_the_padding(chip: str, name: str, job: int, different: Differences) -> None:
    """Ours is right where the recorded offset is not."""
    rows, columns = padding_of(chip, name, job)
    recorded = different["in_image_x_offset"][0], different["in_image_y_offset"][0]
    ours = different["in_image_x_offset"][1], different["in_image_y_offset"][1]
    assert ours == (-columns, -rows)
    assert recorded != ours


# ------------------------------------------------------------------------------------- V7's kernels


@cache
def kernels_of(job: RecordedJob, six: bool | None = None) -> dict[int, Kernel]:
    """The kernels of an NN job by number."""
    values = job.values
    shape = Shape(values["kernel_z_size"], values["kernel_y_size"], values["kernel_x_size"])
    per_core, zero_point = values["kernels_per_core"], values["coef_zero_point"]
    plane = values["out_image_x_stride"] * values["out_image_y_stride"]
    found = {}
    for core in split_cores(job.coefficients, V7_CORES):
        decoded = decode_stream(core, shape, per_core, zero_point, six)
        assert not any(core[-(-decoded.bits // 8) :])
        for kernel in decoded.kernels:
            number, rest = divmod(kernel.tail, plane)
            assert rest == 0 and number not in found
            found[number] = kernel
    return found


def pair_of_jobs(chip: str, name: str, job: int) -> tuple[RecordedJob, RecordedJob]:
    """The recorded job and ours."""
    assert chip_of(chip).generation == 7
    return jobs_of(load(name, chip), chip)[job], jobs_of_part(compiled_part(name, chip), chip)[job]


def only_filler_kernels_differ(chip: str, name: str, job: int) -> None:
    """Same lengths, and every differing byte belongs to a kernel behind the last output channel,
    whose weights are zero bytes in ours."""
    theirs, ours = pair_of_jobs(chip, name, job)
    count = theirs.values["out_image_z_size"]
    assert len(theirs.coefficients) == len(ours.coefficients)
    their_kernels, our_kernels = kernels_of(theirs), kernels_of(ours)
    everything = set(range(-(-count // V7_CORES) * V7_CORES))
    assert their_kernels.keys() == our_kernels.keys() == everything
    other = {k for k in their_kernels if their_kernels[k] != our_kernels[k]}
    assert other and min(other) >= count
    for k in range(count, len(our_kernels)):
        assert set(our_kernels[k].weights) == {0}
        assert our_kernels[k].tail == their_kernels[k].tail
        size, zero_points = len(our_kernels[k].weights), ours.values
        correction = -zero_points["in_image_border_const"] * size * zero_points["coef_zero_point"]
        assert our_kernels[k].bias == -correction & WORD


def same_kernels_in_other_superblocks(chip: str, name: str, job: int) -> None:
    """The tiles differ, and with them the number of superblocks; kernels are the same."""
    theirs, ours = pair_of_jobs(chip, name, job)
    assert theirs.values["kernels_per_core"] != ours.values["kernels_per_core"]
    assert kernels_of(theirs) == kernels_of(ours)


def same_kernels_in_blocks_of_six(chip: str, name: str, job: int) -> None:
    """Read as the driver wrote them, not as the unit reads them, the recorded kernels are ours."""
    theirs, ours = pair_of_jobs(chip, name, job)
    assert kernels_of(theirs, six=False) == kernels_of(ours)
    # As the unit reads them, not even the places of biases and offsets fit.
    with pytest.raises(AssertionError):
        kernels_of(theirs)
