"""What the emulated NN unit computes, against whole-number arithmetic pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writer_v7 import Case, write

from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault
from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Register
from lapilli.hw.nn import NN_V7, Pooling

Fields = dict[str, int]


@dataclass(frozen=True)
class Job:
    """An instruction's fields, its kernels and its input [channel][row stride][column stride]."""

    fields: Fields
    case: Case
    image: np.ndarray


def run(job: Job, size: int) -> np.ndarray:
    """The output buffer afterwards; it holds 0xAA before."""
    chip = find_by_name("a311d")
    assert chip is not None
    with EmulatedDevice(chip) as device:
        stream = np.frombuffer(write(job.case), np.uint8)
        buffers = [device.alloc(n) for n in (256, stream.size, job.image.size, size)]
        instruction, coefficients, image, output = buffers
        coefficients.data[:] = stream
        image.data[:] = job.image.reshape(-1)
        output.data[:] = 0xAA
        words = NN_V7.encode(
            kernel_address=coefficients.address,
            in_image_address=image.address,
            out_image_address=output.address,
            **job.fields,
        )
        instruction.data[: 4 * len(words)] = np.array(words, np.uint32).view(np.uint8)
        start = [
            *LOAD_STATE.encode(address=Register.PS_NN_INST_ADDR, count=1),
            *INSTRUCTION_ADDRESS.encode(address=instruction.address),
        ]
        device.wait(device.submit(np.array(start, np.uint32), buffers))
        return output.data.copy()


def requantised(accumulator: int, fields: Fields) -> int:
    """A byte, by whole numbers."""
    wrapped = (accumulator + (1 << 31)) % (1 << 32) - (1 << 31)
    shift = fields["post_shift"]
    rounding = 1 << (shift - 1) if shift else 0
    value = (wrapped * ((1 << 15) + fields["post_multiplier"]) + rounding) >> shift
    low = fields["out_zero_point"] if fields["relu"] else 0
    return min(max(value + fields["out_zero_point"], low), 255)


def expected(job: Job, size: int) -> np.ndarray:
    """The output buffer by the loop nest of the instruction's description."""
    fields, case = job.fields, job.case
    output = np.full(size, 0xAA, np.uint8)
    step = 2 if fields["pooling"] == Pooling.FIRST_PIXEL else 1
    top, left = fields["in_image_y_offset"], fields["in_image_x_offset"]
    border = 12
    wide = np.full((len(job.image), 40, 40), fields["in_image_border_const"], np.int64)
    rows, columns = fields["in_image_y_size"], fields["in_image_x_size"]
    wide[:, border : border + rows, border : border + columns] = job.image[:, :rows, :columns]
    weights = case.weights.astype(np.int64) - case.zero_point
    plane = fields["out_image_x_stride"] * fields["out_image_y_stride"]
    for kernel, offset in enumerate(case.plane.tolist()):
        if offset >= plane * fields["out_image_z_size"]:
            continue
        for y in range(0, fields["out_image_y_size"], step):
            for x in range(0, fields["out_image_x_size"], step):
                first, across = border + y + top, border + x + left
                patch = wide[
                    :, first : first + weights.shape[2], across : across + weights.shape[3]
                ]
                total = int(case.bias[kernel]) + int((patch * weights[kernel]).sum())
                at = offset + y // step * fields["out_image_x_stride"] + x // step
                output[at] = requantised(total, fields)
    return output


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    small = st.integers(1, 6)
    rows, columns, high, wide = (draw(small) for _ in range(4))
    channels = draw(st.sampled_from((1, 2, 3, 7, 20)))
    pooled = draw(st.booleans())
    out_rows, out_columns = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    stored = [-(-n // 2) if pooled else n for n in (out_rows, out_columns)]
    in_stride = (rows + draw(st.integers(0, 2)), columns + draw(st.integers(0, 2)))
    out_stride = (stored[0] + draw(st.integers(0, 2)), stored[1] + draw(st.integers(0, 2)))
    cores, count = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    total = cores * count
    weights = rng.integers(0, 256, (total, channels, high, wide))
    weights[rng.random(weights.shape) < draw(st.sampled_from((0.0, 0.5, 0.95, 1.0)))] = zero_point
    reach = draw(st.sampled_from((1 << 10, 1 << 20, (1 << 31) - 1)))
    plane = out_stride[0] * out_stride[1]
    case = Case(
        weights,
        rng.integers(-reach, reach + 1, total),
        rng.permutation(total) * plane,
        cores,
        draw(st.integers(1, 5)),
        draw(st.integers(0, 5)),
        zero_point,
    )
    fields = {
        "kernel_x_size": wide,
        "kernel_y_size": high,
        "kernel_z_size": channels,
        "kernels_per_core": case.kernels_per_core,
        "coef_zero_point": zero_point,
        "pooling": Pooling.FIRST_PIXEL if pooled else Pooling.NONE,
        "pooling_xy_size": 0 if pooled else 1,
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_x_stride": in_stride[1],
        "in_image_y_stride": in_stride[0],
        "in_image_x_offset": draw(st.integers(-8, 7)),
        "in_image_y_offset": draw(st.integers(-8, 7)),
        "in_image_border_const": draw(st.integers(0, 255)),
        "out_image_x_size": out_columns,
        "out_image_y_size": out_rows,
        "out_image_z_size": draw(st.integers(1, total)),
        "out_image_x_stride": out_stride[1],
        "out_image_y_stride": out_stride[0],
        "out_image_tile_x_size": 2 if pooled else 1,
        "out_image_tile_y_size": 2 if pooled else 1,
        "out_zero_point": draw(st.integers(0, 255)),
        "relu": draw(st.integers(0, 1)),
        "post_multiplier": draw(st.integers(0, (1 << 15) - 1)),
        "post_shift": draw(st.one_of(st.integers(14, 40), st.integers(0, 127))),
    }
    return Job(fields, case, rng.integers(0, 256, (channels, *in_stride), dtype=np.uint8))


@settings(max_examples=150)
@given(jobs())
def test_any_convolution_equals_the_loop_nest(job: Job) -> None:
    size = len(job.case.plane) * job.fields["out_image_x_stride"] * job.fields["out_image_y_stride"]
    assert np.array_equal(run(job, size), expected(job, size))


def one_by_one(
    weights: np.ndarray, bias: np.ndarray, channels_in: np.ndarray, **change: int
) -> Job:
    """A single pixel through 1x1 kernels [kernel][channel], a kernel on a core."""
    count, channels = weights.shape
    case = Case(weights[:, :, None, None], bias, np.arange(count), count, 1, 0, 0)
    fields = {
        "kernel_x_size": 1,
        "kernel_y_size": 1,
        "kernel_z_size": channels,
        "kernels_per_core": 1,
        "in_image_x_size": 1,
        "in_image_y_size": 1,
        "in_image_x_stride": 1,
        "in_image_y_stride": 1,
        "out_image_x_size": 1,
        "out_image_y_size": 1,
        "out_image_z_size": count,
        "out_image_x_stride": 1,
        "out_image_y_stride": 1,
        "out_image_tile_x_size": 1,
        "out_image_tile_y_size": 1,
        "pooling": 0,
        "in_image_x_offset": 0,
        "in_image_y_offset": 0,
        "in_image_border_const": 0,
        "out_zero_point": 0,
        "relu": 0,
        "post_multiplier": 0,
        "post_shift": 15,
    }
    return Job(fields | change, case, channels_in.astype(np.uint8).reshape(channels, 1, 1))


def test_halves_are_rounded_up() -> None:
    for value, byte in ((1, 1), (2, 1), (3, 2), (-1, 0), (255, 128)):
        job = one_by_one(np.zeros((1, 1), int), np.array([value]), np.zeros(1), post_shift=16)
        assert run(job, 1).tolist() == [byte]


def test_accumulators_wrap_at_32_bits() -> None:
    bias = np.array([(1 << 31) - 10])
    job = one_by_one(np.full((1, 1), 1), bias, np.full(1, 10), out_zero_point=7)
    assert run(job, 1).tolist() == [0]
    below = one_by_one(np.full((1, 1), 1), bias, np.full(1, 9), out_zero_point=7)
    assert run(below, 1).tolist() == [255]


def test_sums_beyond_single_precision_are_exact() -> None:
    weights = np.full((2, 2000), 255)
    weights[1, 0] = 254
    total = 255 * 255 * 2000
    job = one_by_one(weights, np.array([-total + 100, -total + 400]), np.full(2000, 255))
    assert run(job, 2).tolist() == [100, 145]


def test_kernels_behind_the_last_channel_are_not_stored() -> None:
    job = one_by_one(np.full((3, 1), 1), np.zeros(3, int), np.full(1, 9), out_image_z_size=2)
    assert run(job, 3).tolist() == [9, 9, 0xAA]


@pytest.mark.parametrize(
    ("planes", "text"),
    [
        ([0, 3], "a kernel's output offset is 0x3; allowed are multiples of the plane, 4 bytes"),
        ([4, 4], "two kernels are stored in output plane 1"),
    ],
)
def test_kernels_with_impossible_planes_are_faults(planes: list[int], text: str) -> None:
    job = one_by_one(
        np.full((2, 1), 1),
        np.zeros(2, int),
        np.full(1, 9),
        out_image_x_stride=2,
        out_image_y_stride=2,
    )
    case = Case(job.case.weights, job.case.bias, np.array(planes), 2, 1, 0, 0)
    with pytest.raises(Fault, match=text):
        run(Job(job.fields, case, job.image), 8)
