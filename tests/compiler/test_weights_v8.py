"""V8 coefficient buffers: what is written is what the notes say, and reads back the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coefficients_v7 import WORD
from coefficients_v8 import Form, Source, decode, encode, symbol_map
from decoded_v8 import dense, differences_of, read, shape_of
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kernel_jobs import dense_weights, job
from numpy.typing import NDArray

from lapilli.compiler.encode import weights_v8
from lapilli.compiler.jobs import Kernels, NnJob

CORES = 6


def kernels(
    values: NDArray[Any], zero_point: int = 0, bias: NDArray[np.int64] | int = 0
) -> Kernels:
    """Dense kernels, or depthwise ones as the unit has them: of one input channel."""
    count, planes = values.shape[:2]
    first, biases = np.zeros(count, np.int64), np.zeros(count, np.int64) + bias
    return Kernels(values.astype(np.uint8), first, planes, zero_point, biases)


def source_of(of: NnJob, superblocks: int, cores: int = CORES) -> Source:
    """What the scalar writer needs."""
    whole = dense_weights(of.kernels)
    zero_point = of.kernels.zero_point
    sums = whole.reshape(len(whole), -1).astype(np.int64).sum(axis=1) - zero_point * whole[0].size
    bias = of.kernels.bias + (128 - of.input_zero_point) * sums
    return Source(whole, bias, cores, superblocks, zero_point, of.native_depthwise)


def form_of(source: Source) -> Form:
    """What the reader needs."""
    at_once, zero_point = source.kernels_per_core, source.zero_point
    shape = source.weights.shape
    return Form(*shape, at_once, zero_point, source.depthwise, source.nn_cores)


def check(of: NnJob, superblocks: int, cores: int = CORES) -> None:
    """Byte for byte what the scalar writer gives, and readable by both readers."""
    source = source_of(of, superblocks, cores)
    result = weights_v8.encode(of, cores, superblocks)
    data = result.data.tobytes()
    assert data == encode(source)
    assert (result.size.cores, result.size.cached) == (source.used, len(data))
    taken = decode(data, form_of(source))
    assert sorted(taken.kernels) == list(range(source.channels)), "every kernel once"
    for channel, weights in taken.kernels.items():
        assert weights == source.weights[channel].reshape(-1).tolist()
    assert taken.biases == tuple(int(b) & WORD for b in source.bias)
    assert sum(taken.counts) == source.channels
    assert max(taken.counts) - min(taken.counts) <= 1
    emulated = read(data, shape_of(source), cores)
    assert np.array_equal(emulated.bias & WORD, source.bias & WORD)
    assert np.array_equal(dense(emulated), differences_of(source))


@st.composite
def jobs(draw: st.DrawFn) -> tuple[NnJob, int, int]:
    """A job, its number of superblocks, and the chip's cores."""
    cores = draw(st.sampled_from([CORES, CORES, 1, 2, 4, 8]))
    outputs = draw(st.one_of(st.integers(1, 40), st.sampled_from([6, 7, 12, 13])))
    kind = draw(st.sampled_from(["dense", "depthwise", "grouped"]))
    side = st.integers(1, 5)
    rows, columns = draw(st.one_of(st.sampled_from([(1, 1), (3, 3)]), st.tuples(side, side)))
    inputs = planes = draw(st.integers(1, 12)) if kind == "dense" else 1
    first = np.zeros(outputs, np.int64)
    if kind == "grouped":
        planes, first = draw(st.integers(1, 4)), np.arange(outputs, dtype=np.int64)
        inputs = outputs + planes - 1
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    reach = draw(st.sampled_from((1, 2, 20, 255)))
    shape = (outputs, planes, rows, columns)
    values = ((zero_point + rng.integers(-reach, reach + 1, shape)) % 256).astype(np.uint8)
    values[rng.random(shape) < draw(st.sampled_from((0.0, 0.3, 0.9, 1.0)))] = zero_point
    per_core = -(-outputs // cores)
    superblocks = draw(st.integers(1, min(5, per_core)))
    # The tiling never leaves the last superblock empty.
    assume(-(-outputs // (cores * superblocks)) * (superblocks - 1) < per_core)
    made = Kernels(values, first, inputs, zero_point, rng.integers(-(1 << 31), 1 << 31, outputs))
    of = job(made, draw(st.integers(0, 255)), native_depthwise=kind == "depthwise")
    return of, superblocks, cores


@settings(max_examples=120)
@given(jobs())
def test_written_weights_are_the_documented_ones_and_read_back(
    made: tuple[NnJob, int, int],
) -> None:
    check(*made)


def depthwise(channels: int, rows: int = 3, columns: int = 3) -> NnJob:
    """Every weight of a kernel tells its channel."""
    values = np.arange(channels)[:, None, None, None] + np.zeros((1, 1, rows, columns))
    return job(kernels(values, 77, np.arange(channels)), 5, native_depthwise=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 7, 8, 11, 12, 13])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 4), (5, 5)])
def test_depthwise_channels_go_round_the_cores(channels: int, size: tuple[int, int]) -> None:
    """Also fewer channels than cores, where the recorded driver crashes, and an incomplete round.
    Kernels of more than nine weights are filled up to a multiple of nine."""
    check(depthwise(channels, *size), 1)


def test_depthwise_starts_at_the_last_core() -> None:
    source = source_of(depthwise(5), 1)
    data = weights_v8.encode(depthwise(5), CORES, 1).data.tobytes()
    taken = decode(data, form_of(source))
    # Read as if they were dense, the kernels come core by core.
    by_core = decode(data, Form(5, 1, 3, 3, 1, 77))
    assert taken.counts == (1,) * 5
    assert [by_core.kernels[core][0] for core in range(5)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(("channels", "superblocks"), [(45, 2), (45, 4), (46, 3), (61, 4), (13, 3)])
@pytest.mark.parametrize("native_depthwise", [False, True])
def test_several_superblocks_of_channels_that_fill_no_round(
    channels: int, superblocks: int, native_depthwise: bool
) -> None:
    rng = np.random.default_rng(channels)
    planes = 1 if native_depthwise else 7
    values = rng.integers(0, 256, (channels, planes, 3, 3))
    check(job(kernels(values, 120, 9), 3, native_depthwise=native_depthwise), superblocks)


def test_no_superblock_is_left_empty() -> None:
    """4 kernels a core in three superblocks are two of two kernels, not a third of none."""
    count = 4 * CORES
    values = np.arange(9 * count, dtype=np.uint8).reshape(count, 1, 3, 3)
    of = job(kernels(values, 120, 1))
    asked, made = (weights_v8.encode(of, CORES, n) for n in (3, 2))
    assert asked.size == made.size == weights_v8.measure(of, CORES, 3)
    np.testing.assert_array_equal(asked.data, made.data)
    check(of, 2)


def test_a_core_with_more_kernels_than_a_byte_counts() -> None:
    values = np.random.default_rng(0).integers(0, 256, (6 * 256 + 2, 1, 1, 1))
    check(job(kernels(values)), 12)


# ----------------------------------------------------------------------------------- the symbol map


@settings(max_examples=200)
@given(st.lists(st.integers(0, 3), min_size=256, max_size=256))
@example([1] * 256)
def test_lengths_are_sorted_as_the_documented_network_does(counts: list[int]) -> None:
    values = np.repeat(np.arange(256), counts).astype(np.uint8)
    assume(values.size)
    found = weights_v8.symbol_map(kernels(values[:, None, None, None]))
    assert tuple(found.tolist()) == symbol_map(values)


@pytest.mark.parametrize(
    ("frequencies", "lengths"),
    [
        # As many of each: nothing is exchanged.
        ((2, 2, 2, 2, 2, 2, 2, 2), (0, 1, 2, 3, 4, 5, 6, 7)),
        # One that must come first: followed through the network by hand.
        ((0, 0, 0, 0, 0, 0, 0, 1), (7, 0, 2, 3, 4, 1, 6, 5)),
        ((0, 5, 0, 0, 0, 0, 0, 0), (1, 0, 2, 3, 4, 5, 6, 7)),
        ((1, 2, 3, 4, 5, 6, 7, 8), (7, 6, 5, 4, 3, 2, 1, 0)),
    ],
)
def test_ties_come_out_as_the_network_leaves_them(
    frequencies: tuple[int, ...], lengths: tuple[int, ...]
) -> None:
    # A byte of each length.
    bytes_of_length = np.array([1 << i >> 1 for i in range(8)], np.uint8)
    values = np.repeat(bytes_of_length, frequencies)[:, None, None, None]
    assert tuple(weights_v8.symbol_map(kernels(values)).tolist()) == lengths
    check(job(kernels(values)), 1)


def test_lengths_are_counted_among_the_stored_bytes_not_the_coded_ones() -> None:
    """A zero point of 200 makes every code 0; the byte has six bits less its sign."""
    lengths = weights_v8.symbol_map(kernels(np.full((6, 1, 3, 3), 200), 200)).tolist()
    assert lengths[0] == (200 ^ 0xFF).bit_length() == 6


def test_zero_points_that_are_not_stored_count_too() -> None:
    """Of grouped kernels."""
    values = np.full((8, 1, 1, 1), 3, np.uint8)
    grouped = Kernels(values, np.arange(8, dtype=np.int64), 8, 30, np.zeros(8, np.int64))
    full = kernels(dense_weights(grouped), 30)
    assert weights_v8.symbol_map(grouped).tolist() == weights_v8.symbol_map(full).tolist()
    assert weights_v8.symbol_map(grouped).tolist()[0] == 5


# ---------------------------------------------------------------------------- single facts by hand


def test_a_buffer_byte_by_byte() -> None:
    """One weight 1. Its length 1 is the most frequent, so symbol 0 codes it and symbol 1 a zero,
    both without more than a 3-bit part. Pairs (0, 1) for the count, (0, 1) for the weight and a
    zero, four (1, 1) with a byte that makes the number even, and two (4, 4) that end the stream."""
    data = weights_v8.encode(job(kernels(np.ones((1, 1, 1, 1)), bias=10), 28), CORES, 1).data
    assert data[:64].tobytes() == (
        bytes([0x10]) + bytes(19) + bytes.fromhex("01325476") + bytes(4) + bytes([48]) + bytes(35)
    )
    assert data[64:128].tobytes() == bytes.fromhex("089224494292") + bytes(58)
    assert data[128:].tobytes() == (10 + 100).to_bytes(4, "little")


def test_the_bias_holds_the_middle_of_the_inputs() -> None:
    """bias + (128 - zero point) * sum of (weight - weight zero point)."""
    made = job(kernels(np.full((1, 1, 2, 2), 12), 10, 100), 30)
    data = weights_v8.encode(made, CORES, 1).data
    assert int(data[-4:].view("<i4")[0]) == 100 + (128 - 30) * 4 * 2
