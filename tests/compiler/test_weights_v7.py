"""V7 coefficient buffers: what is written is what the notes say, and reads back the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coefficients_v7 import (
    WORD,
    Kernel,
    Shape,
    Source,
    decode_stream,
    encode,
    encode_stream,
    split_cores,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kernel_jobs import PLANE, dense_weights, job
from numpy.typing import NDArray

from lapilli.compiler.encode import weights_v7 as weights
from lapilli.compiler.jobs import Kernels, NnJob
from lapilli.hw.chips import find_by_name

NN_CORES = 8


def expected_kernel(of: NnJob, dense: NDArray[np.uint8], channel: int) -> Kernel:
    """The kernel that a core reads for ``channel``; beyond the last one the filler."""
    kernels = of.kernels
    if channel < kernels.output_channels:
        values, bias = dense[channel].reshape(-1).tolist(), int(kernels.bias[channel])
    else:
        values, bias = [of.filler] * dense[0].size, 0
    correction = of.input_zero_point * (sum(values) - kernels.zero_point * len(values))
    return Kernel(tuple(values), (bias - correction) & WORD, PLANE * channel & WORD)


def source_of(of: NnJob) -> Source:
    kernels, dense = of.kernels, dense_weights(of.kernels)
    made: dict[int, Kernel] = {}

    def kernel(channel: int) -> Kernel:
        if channel not in made:
            made[channel] = expected_kernel(of, dense, channel)
        return made[channel]

    shape = Shape(kernels.input_channels, kernels.rows, kernels.columns)
    return Source(shape, kernels.output_channels, kernels.zero_point, kernel)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[NnJob, int]:
    """A job and its number of superblocks."""
    outputs = draw(st.one_of(st.integers(1, 40), st.sampled_from([8, 9, 16, 17])))
    kind = draw(st.sampled_from(["dense", "depthwise", "grouped"]))
    if kind == "dense":
        inputs = draw(st.integers(1, 20))
        planes, first = inputs, np.zeros(outputs, np.int64)
    else:
        planes = 1 if kind == "depthwise" else draw(st.integers(1, 4))
        multiplier = draw(st.sampled_from([m for m in (1, 2, 3) if outputs % m == 0]))
        inputs = outputs // multiplier * planes
        first = np.arange(outputs, dtype=np.int64) // multiplier * planes
    rows, columns = draw(
        st.sampled_from([(1, 1), (1, 1), (2, 2), (3, 3), (5, 5), (1, 3), (3, 1), (5, 7), (4, 2)])
    )
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = (outputs, planes, rows, columns)
    values = rng.integers(0, 256, shape).astype(np.uint8)
    sparsity = draw(st.sampled_from([0.0, 0.0, 0.3, 0.6, 0.9, 0.99]))
    values[rng.random(shape) < sparsity] = zero_point
    bias = rng.integers(-(1 << 31), 1 << 31, outputs)
    per_core = -(-outputs // NN_CORES)
    superblocks = draw(st.integers(1, min(4, per_core)))
    # The tiling never leaves the last superblock empty.
    assume(-(-per_core // superblocks) * (superblocks - 1) < per_core)
    kernels = Kernels(values, first, inputs, zero_point, bias)
    filler = draw(st.sampled_from([0, zero_point]))
    return job(kernels, draw(st.integers(0, 255)), filler), superblocks


@pytest.mark.parametrize("depthwise", [True, False])
def test_no_superblock_is_left_empty(depthwise: bool) -> None:
    """4 kernels a core in three superblocks are two of two kernels, not a third of none."""
    count = 4 * NN_CORES
    values = np.arange(9 * count, dtype=np.uint8).reshape(count, 1, 3, 3)
    first = np.arange(count, dtype=np.int64) if depthwise else np.zeros(count, np.int64)
    kernels = Kernels(values, first, count if depthwise else 1, 3, np.zeros(count, np.int64))
    asked, made = (weights.encode(job(kernels), NN_CORES, n, 5) for n in (3, 2))
    assert asked.size == made.size == weights.measure(job(kernels), NN_CORES, 3, 5)
    np.testing.assert_array_equal(asked.data, made.data)
    check_reads_back(job(kernels), 3, asked.data.tobytes(), zero_run_bits(asked))


def zero_run_bits(result: Any) -> int:
    """Of a coefficient buffer: the first byte behind the header."""
    return int(result.data[64])


def check_reads_back(of: NnJob, superblocks: int, data: bytes, run_bits: int) -> None:
    kernels, source = of.kernels, source_of(of)
    used = min(kernels.output_channels, NN_CORES)
    per_core = -(-kernels.output_channels // used)
    per_superblock = -(-per_core // superblocks)
    streams = split_cores(data, NN_CORES)
    assert len(streams) == used
    found: dict[int, Kernel] = {}
    for stream in streams:
        read = decode_stream(stream, source.shape, per_superblock, kernels.zero_point)
        assert read.run_bits == run_bits
        assert len(read.kernels) == per_core
        assert not any(stream[-(-read.bits // 8) :]), "bytes behind the last item"
        assert len(stream) == -(-read.bits // 512) * 64
        found |= {kernel.tail // PLANE: kernel for kernel in read.kernels}
    assert sorted(found) == list(range(used * per_core)), "every kernel once"
    for channel, kernel in found.items():
        assert kernel == source.kernel(channel)


@settings(max_examples=120)
@given(jobs(), st.sampled_from([0, 1, 2, 3, 4, 5, 8]))
def test_written_weights_read_back(made: tuple[NnJob, int], widest: int) -> None:
    of, superblocks = made
    result = weights.encode(of, NN_CORES, superblocks, widest)
    data = result.data.tobytes()
    check_reads_back(of, superblocks, data, zero_run_bits(result))
    sizes = [len(stream) for stream in split_cores(data, NN_CORES)]
    assert result.size.cached == max(sizes) * len(sizes), (
        "each core has room for the longest stream"
    )


@settings(max_examples=80)
@given(jobs(), st.sampled_from([0, 2, 5, 8]))
def test_every_byte_is_what_the_documented_writer_gives(
    made: tuple[NnJob, int], widest: int
) -> None:
    of, superblocks = made
    ours = weights.encode(of, NN_CORES, superblocks, widest)
    theirs = encode(source_of(of), NN_CORES, superblocks, widest)
    assert ours.data.tobytes() == theirs


@settings(max_examples=80)
@given(jobs())
def test_the_emulator_reads_the_same_kernels(made: tuple[NnJob, int]) -> None:
    coefficients = pytest.importorskip("lapilli.emulator.coefficients_v7")
    chip = find_by_name("a311d")
    assert chip is not None
    of, superblocks = made
    kernels, source = of.kernels, source_of(of)
    data = weights.encode(of, chip.nn_cores, superblocks, chip.zero_run_bits).data
    ends = 64 + np.cumsum([len(stream) for stream in split_cores(data.tobytes(), chip.nn_cores)])
    cores = tuple(zip([64, *ends[:-1].tolist()], ends.tolist(), strict=True))
    per_core = -(-kernels.output_channels // min(kernels.output_channels, chip.nn_cores))
    shape = coefficients.KernelShape(
        kernels.input_channels,
        kernels.rows,
        kernels.columns,
        -(-per_core // superblocks),
        kernels.zero_point,
    )
    read = coefficients.decode(coefficients.Streams(data, cores), shape, chip)
    dense = np.zeros((len(read.bias), source.shape.weights))
    if read.dense is not None:
        dense = read.dense
    else:
        kernel, weight, value = read.listed
        dense[kernel, weight] = value
    wanted = [source.kernel(channel) for channel in range(len(read.bias))]
    assert (dense + kernels.zero_point).tolist() == [list(kernel.weights) for kernel in wanted]
    assert (read.bias & WORD).tolist() == [kernel.bias for kernel in wanted]
    assert read.plane_offset.tolist() == [kernel.tail for kernel in wanted]


# ---------------------------------------------------------------------------- single facts by hand


def simple(values: NDArray[Any], zero_point: int = 0, bias: int = 0) -> Kernels:
    outputs, inputs = values.shape[:2]
    return Kernels(
        values.astype(np.uint8),
        np.zeros(outputs, np.int64),
        inputs,
        zero_point,
        np.full(outputs, bias, np.int64),
    )


def test_an_addition_stream_byte_by_byte() -> None:
    """Run width, kernel count, first weight, bias, seven more weights, offset of the plane."""
    values = np.zeros((1, 2, 2, 2))
    values[0, :, 0, 0] = 0x5A, 0xC3
    made = job(simple(values, bias=0x01020304), zero_runs=False)
    data = weights.encode(made, NN_CORES, 1, 5).data.tobytes()
    assert data[:64] == (64).to_bytes(4, "little") + bytes(60)
    stream = "00 0100 5a 04030201 000000 c3000000 00000000"
    assert data[64:] == bytes.fromhex(stream) + bytes(64 - 19)


def test_a_run_as_long_as_its_width_allows_ends_with_a_literal_zero_point() -> None:
    """1x7 taps with runs of at most 1: (1, zero point) three times, then the last value."""
    values = np.zeros((1, 1, 1, 7))
    values[0, 0, 0, 0], values[0, 0, 0, 6] = 9, 7
    source = source_of(job(simple(values)))
    stream = encode_stream(source, [[0]], 1, six=False)
    bits = int.from_bytes(stream, "little") >> 24
    assert bits & 0x1FF == 9 << 1
    tokens = bits >> (9 + 32)
    assert [tokens >> (9 * i) & 0x1FF for i in range(3)] == [1, 1, 7 << 1 | 1]


@pytest.mark.parametrize("outputs", [1, 8, 9, 40])
def test_kernels_of_one_tap_are_written_without_runs(outputs: int) -> None:
    values = np.zeros((outputs, 12, 1, 1))
    values[:, 0] = 3
    result = weights.encode(job(simple(values)), NN_CORES, 1, 5)
    assert zero_run_bits(result) == 0, "runs never go on into another channel or block"


def test_smaller_run_widths_win_ties() -> None:
    """One weight: every width fills the same two words."""
    made = job(simple(np.full((1, 1, 1, 2), 7)))
    assert zero_run_bits(weights.encode(made, NN_CORES, 1, 5)) == 0


def test_the_bias_holds_the_input_zero_point() -> None:
    """bias - zero point * sum of (weight - weight zero point)."""
    made = job(simple(np.full((1, 1, 2, 2), 12), zero_point=10, bias=100), input_zero_point=30)
    stream = split_cores(weights.encode(made, NN_CORES, 1, 5).data.tobytes(), NN_CORES)[0]
    read = decode_stream(stream, Shape(1, 2, 2), 1, 10)
    assert read.kernels[0].bias == (100 - 30 * 4 * 2) & WORD


def test_filler_kernels_cost_little_if_they_are_zero_points() -> None:
    """Nine channels on eight cores: seven kernels beyond the last one."""
    values = np.full((9, 4, 3, 3), 77)
    as_recorded = weights.encode(job(simple(values, 5), 3, filler=0), NN_CORES, 1, 5)
    ours = weights.encode(job(simple(values, 5), 3, filler=5), NN_CORES, 1, 5)
    for result, filler in ((as_recorded, 0), (ours, 5)):
        streams = split_cores(result.data.tobytes(), NN_CORES)
        last = decode_stream(streams[-1], Shape(4, 3, 3), 2, 5).kernels
        assert {weight for kernel in last for weight in kernel.weights} == {filler}
        assert [kernel.tail for kernel in last] == [14 * PLANE, 15 * PLANE]


@example(5, 5)
@given(st.integers(1, 11), st.integers(1, 11))
def test_taps_are_read_in_pairs_of_rows(rows: int, columns: int) -> None:
    order = weights.tap_order(rows, columns).tolist()
    assert sorted(order) == list(range(rows * columns))
    if (rows, columns) == (5, 5):
        first_pair = [0, 1, 2, 5, 6, 7, 3, 4, 8, 9]
        assert order == [*first_pair, *(10 + i for i in first_pair), 20, 21, 22, 23, 24]
    if columns <= 3:
        assert order == sorted(order)
