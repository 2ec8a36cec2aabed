"""The V7 coefficient decoder against a scalar writer made from the description of the streams."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from work import counted_calls
from worst_cases import superblocks_v7
from writer_v7 import BitWriter, Case, write

from lapilli.emulator.coefficients_v7 import MOST_KERNELS, decode, find_streams, patch_order
from lapilli.emulator.kernels import Coefficients, KernelShape, Streams
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.errors import Fault
from lapilli.hw.chips import find_by_name

found_chip = find_by_name("a311d")
assert found_chip is not None
CHIP = found_chip


def read(data: bytes, shape: KernelShape) -> Coefficients:
    """Decode a buffer that lies somewhere in memory."""
    space = AddressSpace()
    buffer = space.alloc(len(data), None)
    buffer.data[:] = np.frombuffer(data, np.uint8)
    streams = find_streams(ListedMemory(space, [buffer]), buffer.address, CHIP)
    return decode(streams, shape, CHIP)


def dense(coefficients: Coefficients) -> np.ndarray:
    if coefficients.dense is not None:
        return coefficients.dense
    assert coefficients.listed is not None
    kernel, weight, value = coefficients.listed
    full = np.zeros((len(coefficients.bias), coefficients.shape.weights))
    full[kernel, weight] = value
    return full


@st.composite
def cases(draw: st.DrawFn) -> Case:
    cores = draw(st.integers(1, 8))
    count = draw(st.integers(1, 7))
    side = st.integers(1, 7)
    rows, columns = draw(st.one_of(st.just((1, 1)), st.tuples(side, side)))
    channels = draw(st.integers(1, 14))
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    total = cores * count
    weights = rng.integers(0, 256, (total, channels, rows, columns))
    weights[rng.random(weights.shape) < draw(st.sampled_from((0.0, 0.3, 0.9, 1.0)))] = zero_point
    return Case(
        weights,
        rng.integers(-(1 << 31), 1 << 31, total),
        rng.permutation(total) * draw(st.integers(1, 5000)),
        cores,
        draw(st.integers(1, 8)),
        draw(st.integers(0, 5)),
        zero_point,
    )


@settings(max_examples=120)
@given(cases())
def test_what_the_writer_wrote_is_read(case: Case) -> None:
    found = read(write(case), case.shape)
    order = np.argsort(case.plane)
    assert np.array_equal(found.bias, case.bias[order])
    assert np.array_equal(found.plane_offset, case.plane[order])
    expected = case.weights.reshape(len(order), -1)[order] - case.zero_point
    assert np.array_equal(dense(found), expected)
    assert found.nonzero == np.count_nonzero(expected)
    if case.run_bits == 0:
        assert found.tokens == case.weights.size


def test_mostly_zero_kernels_are_kept_as_a_list() -> None:
    weights = np.full((64, 64, 3, 3), 7)
    weights[np.arange(64), np.arange(64)] = np.arange(9).reshape(3, 3) + 100
    case = Case(weights, np.arange(64), np.arange(64) * 10, 8, 4, 5, 7)
    found = read(write(case), case.shape)
    assert found.dense is None
    assert found.nonzero == 64 * 9
    assert found.tokens < weights.size / 10


def test_five_by_five_kernels_come_in_split_row_pairs() -> None:
    first_pair = [0, 1, 2, 5, 6, 7, 3, 4, 8, 9]
    assert patch_order(5, 5) == [*first_pair, *(10 + i for i in first_pair), *range(20, 25)]


def test_an_addition_is_one_kernel_of_two_planes() -> None:
    stream = bytes([0, 1, 0, 200, *struct.pack("<i", -5), 0, 0, 0, 100, 0, 0, 0]).ljust(64, b"\0")
    data = struct.pack("<I", 64).ljust(64, b"\0") + stream
    found = read(data, KernelShape(2, 2, 2, 1, 0))
    assert dense(found).tolist() == [[200, 0, 0, 0, 100, 0, 0, 0]]
    assert found.bias.tolist() == [-5]
    assert found.plane_offset.tolist() == [0]


SMALL = Case(np.arange(8 * 27).reshape(8, 3, 3, 3) % 5, np.arange(8), np.arange(8) * 4, 2, 3, 3, 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((0, 0), "holds the stream sizes"),
        ((0, 65), "allowed are multiples of 64"),
        ((1, 4), "leave the buffer|allowed are multiples"),
        ((64, 6), "zero runs are 6 bits wide; the chip reads at most 5"),
        ((65, 0), "holds no kernel"),
        ((66, 200), "can't be in"),
        ((65, 5), "core 0: "),
    ],
)
def test_damaged_streams_are_faults(change: tuple[int, int], text: str) -> None:
    data = bytearray(write(SMALL))
    data[change[0]] = change[1]
    with pytest.raises(Fault, match=text):
        read(bytes(data), SMALL.shape)


def test_a_run_that_goes_on_behind_an_item_is_a_fault() -> None:
    writer = BitWriter(2, 9)
    writer.put(2, 8)
    writer.put(1, 16)
    writer.put(1, 2)  # one zero point, then a value: but the bias comes behind the first weight
    writer.put(5, 8)
    data = struct.pack("<I", 64).ljust(64, b"\0") + writer.bytes()
    with pytest.raises(Fault, match="the zero run of 1 before bit 34 goes on behind"):
        read(data, KernelShape(1, 1, 2, 1, 9))


@pytest.mark.parametrize(
    ("kernels", "text"),
    [
        (65535, "core 0: holds 65535 kernels; all cores together can have 16384"),
        (4096, "core 4: holds 4096 kernels; all cores together can have 16384"),
        (2048, ""),
    ],
)
def test_superblocks_of_one_kernel_by_the_thousand_are_walked_once(kernels: int, text: str) -> None:
    data, found = superblocks_v7(kernels), ""
    with counted_calls() as taken:
        try:
            read(data, KernelShape(1, 1, 1, 1, 0))
        except Fault as fault:
            found = str(fault)
    assert taken.calls < 70 * MOST_KERNELS  # it is some 35
    assert found.endswith(text) and bool(found) == bool(text)


def test_impossible_kernel_sizes_do_not_take_memory() -> None:
    shape = KernelShape((1 << 20) - 1, 11, 11, 127, 0)
    with pytest.raises(Fault, match="weights can't be in"):
        read(write(SMALL), shape)


@settings(max_examples=150)
@given(cases(), st.integers(0, 1 << 32))
def test_random_damage_is_read_or_a_fault(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(write(case), np.uint8).copy()
    data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
    try:
        found = read(data[: rng.integers(1, len(data) + 1)].tobytes(), case.shape)
    except Fault:
        return
    assert len(found.bias) == len(found.plane_offset)


def test_digest_names_the_content() -> None:
    one = Streams(np.arange(9, dtype=np.uint8), ((0, 9),))
    other = Streams(np.arange(9, dtype=np.uint8) + 1, ((0, 9),))
    assert one.digest() == Streams(one.data.copy(), ((0, 9),)).digest() != other.digest()
