"""What the emulated V8 NN unit computes, against whole-number arithmetic pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from coefficients_v8 import Source, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from lapilli.emulator import EmulatedDevice
from lapilli.errors import Fault
from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Register
from lapilli.hw.nn import NN_V8, Pooling

Fields = dict[str, int]


@dataclass(frozen=True)
class Job:
    """An instruction's fields, its kernels and its input [channel][row stride][column stride]."""

    fields: Fields
    source: Source
    image: np.ndarray


def run(job: Job, size: int) -> np.ndarray:
    """The output buffer afterwards; it holds 0xAA before."""
    chip = find_by_name("imx8mp")
    assert chip is not None
    with EmulatedDevice(replace(chip, nn_cores=job.source.nn_cores)) as device:
        stream = np.frombuffer(encode(job.source), np.uint8)
        buffers = [device.alloc(n) for n in (256, stream.size, job.image.size, size)]
        instruction, coefficients, image, output = buffers
        coefficients.data[:] = stream
        image.data[:] = job.image.reshape(-1)
        output.data[:] = 0xAA
        words = NN_V8.encode(
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
    multiplier, shift = (1 << 23) + fields["post_multiplier"], fields["post_shift"]
    value = (wrapped * multiplier + (1 << (22 + shift))) >> (23 + shift)
    low = fields["out_zero_point"] if fields["relu"] else 0
    return min(max(value + fields["out_zero_point"], low), 255)


def expected(job: Job, size: int) -> np.ndarray:
    """The output buffer by the loop nest of the hardware notes (overview, section 5)."""
    fields, source = job.fields, job.source
    output = np.full(size, 0xAA, np.uint8)
    step = 2 if fields["pooling"] == Pooling.FIRST_PIXEL else 1
    top, left = fields["in_image_y_offset"], fields["in_image_x_offset"]
    margin = 16
    wide = np.full((len(job.image), 48, 48), fields["in_image_border_const"] - 128, np.int64)
    rows, columns = fields["in_image_y_size"], fields["in_image_x_size"]
    inside = job.image[:, :rows, :columns].astype(np.int64) - 128
    wide[:, margin : margin + rows, margin : margin + columns] = inside
    weights = source.weights.astype(np.int64) - source.zero_point
    plane = fields["out_image_x_stride"] * fields["out_image_y_stride"]
    for kernel in range(source.channels):
        read = wide[kernel : kernel + 1] if source.depthwise else wide
        for y in range(0, fields["out_image_y_size"], step):
            for x in range(0, fields["out_image_x_size"], step):
                first, across = margin + y + top, margin + x + left
                patch = read[
                    :, first : first + weights.shape[2], across : across + weights.shape[3]
                ]
                total = int(source.bias[kernel]) + int((patch * weights[kernel]).sum())
                at = kernel * plane + y // step * fields["out_image_x_stride"] + x // step
                output[at] = requantised(total, fields)
    return output


def fields_of(source: Source) -> Fields:
    """What the kernels say about an instruction for one pixel; the rest neutral."""
    count, planes, rows, columns = source.weights.shape
    return {
        "kernel_x_size": columns,
        "kernel_y_size": rows,
        "kernel_z_size": count if source.depthwise else planes,
        "out_image_z_size": count,
        "kernels_per_core": source.kernels_per_core,
        "coef_zero_point": source.zero_point,
        "depthwise": int(source.depthwise),
        "pooling": 0,
        "in_image_x_size": 1,
        "in_image_y_size": 1,
        "in_image_x_stride": 1,
        "in_image_y_stride": 1,
        "in_image_x_offset": 0,
        "in_image_y_offset": 0,
        "in_image_border_const": 0,
        "out_image_x_size": 1,
        "out_image_y_size": 1,
        "out_image_x_stride": 1,
        "out_image_y_stride": 1,
        "out_image_tile_x_size": 1,
        "out_image_tile_y_size": 1,
        "out_zero_point": 0,
        "relu": 0,
        "post_multiplier": 0,
        "post_shift": 0,
    }


@st.composite
def sources(draw: st.DrawFn) -> Source:
    small = st.integers(1, 6)
    high, wide = draw(small), draw(small)
    depthwise = draw(st.booleans())
    channels = 1 if depthwise else draw(st.sampled_from((1, 2, 3, 7, 20)))
    cores, count = draw(st.integers(1, 8)), draw(st.integers(1, 20))
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    weights = rng.integers(0, 256, (count, channels, high, wide))
    weights[rng.random(weights.shape) < draw(st.sampled_from((0.0, 0.5, 0.95, 1.0)))] = zero_point
    reach = draw(st.sampled_from((1 << 10, 1 << 20, 1 << 28, 1 << 29, (1 << 31) - 1)))
    return Source(
        weights,
        rng.integers(-reach, reach + 1, count),
        cores,
        draw(st.integers(1, -(-count // cores))),
        zero_point,
        depthwise,
    )


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    source = draw(sources())
    fields = fields_of(source)
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    pooled = draw(st.booleans())
    out_rows, out_columns = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    stored = [-(-n // 2) if pooled else n for n in (out_rows, out_columns)]
    in_stride = (rows + draw(st.integers(0, 2)), columns + draw(st.integers(0, 2)))
    fields |= {
        "pooling": Pooling.FIRST_PIXEL if pooled else Pooling.NONE,
        "pooling_xy_size": 0 if pooled else 1,
        "out_image_tile_x_size": 2 if pooled else 1,
        "out_image_tile_y_size": 2 if pooled else 1,
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_x_stride": in_stride[1],
        "in_image_y_stride": in_stride[0],
        "in_image_x_offset": draw(st.integers(-16, 15)),
        "in_image_y_offset": draw(st.integers(-16, 15)),
        "in_image_border_const": draw(st.integers(0, 255)),
        "out_image_x_size": out_columns,
        "out_image_y_size": out_rows,
        "out_image_x_stride": stored[1] + draw(st.integers(0, 2)),
        "out_image_y_stride": stored[0] + draw(st.integers(0, 2)),
        "out_zero_point": draw(st.integers(0, 255)),
        "relu": draw(st.integers(0, 1)),
        "post_multiplier": draw(st.integers(0, (1 << 23) - 1)),
        "post_shift": draw(st.one_of(st.integers(0, 25), st.integers(0, 127))),
    }
    planes = fields["kernel_z_size"]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return Job(fields, source, rng.integers(0, 256, (planes, *in_stride), dtype=np.uint8))


@settings(max_examples=150)
@given(jobs())
def test_any_convolution_equals_the_loop_nest(job: Job) -> None:
    plane = job.fields["out_image_x_stride"] * job.fields["out_image_y_stride"]
    size = job.source.channels * plane
    assert np.array_equal(run(job, size), expected(job, size))


def one_by_one(weights: np.ndarray, bias: list[int], pixel: list[int], **change: int) -> Job:
    """A single pixel through 1x1 kernels [kernel][channel]."""
    source = Source(weights[:, :, None, None], np.array(bias))
    image = np.array(pixel, np.uint8).reshape(-1, 1, 1)
    return Job(fields_of(source) | change, source, image)


def test_halves_are_rounded_up() -> None:
    for value, byte in ((1, 1), (2, 1), (3, 2), (-1, 0), (255, 128)):
        job = one_by_one(np.zeros((1, 1), int), [value], [0], post_shift=1)
        assert run(job, 1).tolist() == [byte]


@pytest.mark.parametrize("multiplier", [0, 1, 3, (1 << 22) + 1, (1 << 23) - 1])
def test_the_product_is_rounded_once_however_large_it_is(multiplier: int) -> None:
    """Accumulators of 30 bits times multipliers of 24 don't fit a double."""
    fields = {"post_multiplier": multiplier, "post_shift": 22}
    factor = (1 << 23) + multiplier
    values = []
    for byte in (1, 2, 100, 127):
        edge = (2 * byte - 1 << 44) // factor  # around the accumulator that rounds up to ``byte``
        values += [edge - 1, edge, edge + 1]
    job = one_by_one(np.zeros((len(values), 1), int), values, [0], **fields)
    expected = [requantised(value, job.fields) for value in values]
    assert len(set(expected)) > 4
    assert run(job, len(values)).tolist() == expected


@pytest.mark.parametrize(
    ("accumulator", "multiplier", "shift", "byte"),
    [(1384120309, 3050403, 24, 112), (1100348957, 84939, 23, 132)],
)
def test_products_that_a_double_rounds_up_to_the_next_byte(
    accumulator: int, multiplier: int, shift: int, byte: int
) -> None:
    """Products of 54 bits, less than a double's step below the half."""
    scale = ((1 << 23) + multiplier) * 2.0 ** -(23 + shift)
    assert int(accumulator * scale + 0.5) == byte + 1
    job = one_by_one(
        np.zeros((1, 1), int), [accumulator], [0], post_multiplier=multiplier, post_shift=shift
    )
    assert run(job, 1).tolist() == [byte]


def test_accumulators_wrap_at_32_bits() -> None:
    for pixel, byte in ((128 + 10, 0), (128 + 9, 255)):
        job = one_by_one(np.full((1, 1), 1), [(1 << 31) - 10], [pixel], out_zero_point=7)
        assert run(job, 1).tolist() == [byte]


def test_inputs_and_border_count_from_128() -> None:
    for pixel, byte in ((128, 40), (129, 41), (127, 39), (255, 167), (100, 12)):
        assert run(one_by_one(np.full((1, 1), 1), [40], [pixel]), 1).tolist() == [byte]
    outside = one_by_one(
        np.full((1, 1), 1), [40], [0], in_image_x_offset=-16, in_image_border_const=130
    )
    assert run(outside, 1).tolist() == [42]


def test_shifts_above_63_leave_the_zero_point() -> None:
    job = one_by_one(
        np.zeros((2, 1), int),
        [(1 << 31) - 1, -(1 << 31)],
        [0],
        post_shift=120,
        post_multiplier=99,
        out_zero_point=33,
    )
    assert run(job, 2).tolist() == [33, 33]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"no_z_offset": 0}, r"no_z_offset = 0x0 \(word 0 bit 1\); only 0x1 is emulated"),
        ({"kernel_caching_mode": 1}, "kernel_caching_mode = 0x1 .* only 0x0"),
        ({"image_caching_mode": 2}, "image_caching_mode = 0x2 .* only 0x0"),
        ({"out_image_tile_y_size": 5}, "out_image_tile_y_size = 5 .* have at most 4"),
        ({"kernels_per_core": 33}, "kernels_per_core = 33 .* allowed is 1 to 21"),
        ({"depthwise": 1}, "out_image_z_size = 1 .* an output channel for each of kernel_z_size"),
        ({"out_image_z_size": 2}, "for 2 output channels on 6 cores 2 are expected"),
        ({"kernel_x_size": 0}, "kernel_x_size = 0 .* allowed is 1 to 15"),
    ],
)
def test_fault_texts(change: dict[str, int], text: str) -> None:
    with pytest.raises(Fault, match=text):
        run(one_by_one(np.ones((1, 3), int), [0], [0, 0, 0], **change), 8)


@pytest.mark.parametrize(
    ("kernel", "columns", "rows", "allowed"),
    [
        (3, 64, 4, True),
        (3, 64, 5, False),
        (7, 64, 3, True),
        (7, 64, 4, False),
        (7, 20, 4, True),
        (15, 40, 4, True),
        (9, 64, 1, True),
        (9, 64, 2, False),
    ],
)
def test_tiles_fit_the_input_buffer(kernel: int, columns: int, rows: int, allowed: bool) -> None:
    """9 lines, shared by two rows of up to 32 columns and four of up to 16."""
    source = Source(np.ones((1, 1, kernel, kernel), int), np.zeros(1, int))
    fields = fields_of(source) | {"out_image_tile_x_size": columns, "out_image_tile_y_size": rows}
    job = Job(fields, source, np.zeros((1, 1, 1), np.uint8))
    if allowed:
        run(job, 1)
    else:
        with pytest.raises(Fault, match="out_image_tile_y_size"):
            run(job, 1)
