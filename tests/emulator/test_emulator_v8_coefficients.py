"""The V8 coefficient decoder against a scalar writer made from the description of the streams."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from coefficients_v8 import (
    Source,
    encode,
    encode_bytes,
    header_of,
    pack,
    symbol_map,
    with_symbols,
)
from decoded_v8 import dense, differences_of, read, shape_of
from hypothesis import given, settings
from hypothesis import strategies as st
from work import counted_calls
from worst_cases import superblocks_v8

from lapilli.compiler.encode import weights_v8
from lapilli.compiler.jobs import Kernels
from lapilli.emulator import accelerate
from lapilli.emulator.coefficients_v8 import WORTH_COMPILING, code_of
from lapilli.emulator.kernels import KernelShape
from lapilli.errors import Fault


@st.composite
def sources(draw: st.DrawFn) -> Source:
    cores = draw(st.integers(1, 9))
    count = draw(st.integers(1, 40))
    depthwise = draw(st.booleans())
    side = st.integers(1, 5)
    rows, columns = draw(st.one_of(st.just((1, 1)), st.just((3, 3)), st.tuples(side, side)))
    planes = 1 if depthwise else draw(st.integers(1, 12))
    zero_point = draw(st.integers(0, 255))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    reach = draw(st.sampled_from((1, 2, 20, 255)))
    weights = (zero_point + rng.integers(-reach, reach + 1, (count, planes, rows, columns))) % 256
    weights[rng.random(weights.shape) < draw(st.sampled_from((0.0, 0.3, 0.9, 1.0)))] = zero_point
    symbols = tuple(rng.permutation(8).tolist()) if draw(st.booleans()) else None
    return Source(
        weights,
        rng.integers(-(1 << 31), 1 << 31, count),
        cores,
        draw(st.integers(1, -(-count // cores))),
        zero_point,
        depthwise,
        symbols,
    )


def check(source: Source) -> None:
    """The decoder finds what the source holds."""
    found = read(encode(source), shape_of(source), source.nn_cores)
    expected = differences_of(source)
    assert np.array_equal(found.bias, source.bias)
    assert np.array_equal(found.plane_offset, np.arange(source.channels))
    assert np.array_equal(dense(found), expected)
    assert found.nonzero == np.count_nonzero(expected)


@settings(max_examples=80)
@given(sources())
def test_what_the_writer_wrote_is_read(source: Source) -> None:
    check(source)


def small(rows: int = 3, zero_point: int = 128) -> Source:
    """13 kernels of 5 channels in three superblocks."""
    rng = np.random.default_rng(3)
    weights = np.clip(np.round(rng.normal(zero_point, 12, (13, 5, rows, 3))), 0, 255).astype(int)
    return Source(weights, np.arange(13) * 7 - 40, 6, 3, zero_point)


def large(cut: int = 0) -> bytes:
    """A buffer with one stream long enough to be worth machine code, ``cut`` bits shorter."""
    rng = np.random.default_rng(1)
    values = [1, 0, *np.clip(np.round(rng.normal(0, 9, 27_000)), -99, 99).astype(int) % 256]
    bits = encode_bytes([int(value) for value in values], tuple(range(8)))
    return header_of(tuple(range(8)), [len(bits) - cut]) + pack(bits) + bytes(4)


def test_numba_or_not_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    found = []
    for module in (sys.modules["numba"], None):
        accelerate.compiled.cache_clear()
        monkeypatch.setitem(sys.modules, "numba", module)
        found.append(dense(read(large(), KernelShape(3000, 3, 3, 1, 0, 1))))
        with pytest.raises(Fault, match="runs past the end at bit"):
            read(large(cut=1), KernelShape(3000, 3, 3, 1, 0, 1))
    accelerate.compiled.cache_clear()
    assert np.array_equal(found[0], found[1])


def test_small_streams_do_not_import_numba() -> None:
    assert shape_of(small()).weights < WORTH_COMPILING
    code = "import sys, lapilli.emulator; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 20, 33, 100])
def test_depthwise_channels_go_round_the_cores(count: int) -> None:
    weights = np.arange(count * 9).reshape(count, 1, 3, 3) % 251
    for superblocks in {1, 2, -(-count // 6)}:
        if superblocks <= -(-count // 6):
            check(Source(weights, np.arange(count), 6, superblocks, 9, True))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_depthwise_groups_are_padded_to_nines(side: int) -> None:
    weights = np.arange(7 * side * side).reshape(7, 1, side, side) % 256
    check(Source(weights, np.arange(7), 6, 2, 100, True))


def test_weights_further_than_127_from_the_zero_point() -> None:
    for zero_point in (0, 1, 127, 128, 254, 255):
        weights = np.arange(256).reshape(8, 32, 1, 1)
        check(Source(weights, np.zeros(8, int), 6, 1, zero_point))


# ----------------------------------------------------------------------------------------- the code


def test_every_byte_in_every_place_of_every_rotation_of_the_code() -> None:
    values = np.random.default_rng(0).permutation(np.repeat(np.arange(256), 6)).tolist()
    weights = np.array(values).reshape(6, 256, 1, 1)
    for turn in range(8):
        symbols = tuple((i + turn) % 8 for i in range(8))
        check(with_symbols(Source(weights, np.zeros(6, int)), symbols))


def test_the_writer_against_bits_put_down_by_hand() -> None:
    symbols = tuple(range(8))
    odd = "100 000110 000001 001001 001010"
    assert encode_bytes([1, 0, 5], symbols) == [int(bit) for bit in odd if bit != " "]
    # 0x9C is 99 with a sign: symbol 7, a 2-bit part a step later, seven bits two steps later.
    even = "100 000110 010000 000 00000 000 010 1110001"
    assert encode_bytes([1, 0, 5, 0x9C], symbols) == [int(bit) for bit in even if bit != " "]


def test_tables_are_made_once_for_a_map() -> None:
    assert code_of(tuple(range(8))) is code_of(tuple(range(8)))


@settings(max_examples=80)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=9))
def test_ties_of_the_symbol_map_come_out_as_the_network_leaves_them(counts: list[int]) -> None:
    bytes_of_class = [0, 0xFF, 2, 4, 8, 16, 32, 64, 127]
    values = np.repeat(bytes_of_class, counts)
    if not len(values):
        return
    weights = values.reshape(1, -1, 1, 1)
    kernels = Kernels(
        weights.astype(np.uint8), np.zeros(1, np.int64), len(values), 0, np.zeros(1, np.int64)
    )
    assert tuple(weights_v8.symbol_map(kernels).tolist()) == symbol_map(weights)
    check(Source(weights, np.zeros(1, int)))


# ---------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((0, 0x11), r"precode = 0x1 \(word 0 bit 0\); only 0x0 is emulated"),
        ((0, 0x12), "bit16 = 0x1"),
        ((0, 0x14), "fp16 = 0x1"),
        ((0, 0x18), "word 0 = 0x00000018 has bits 0x8 set"),
        ((0, 0x20), "version = 0x2 .* only 0x1"),
        ((1, 1), "run_length_size = 0x1"),
        ((2, 1), "word 0 = 0x00010010 has bits 0x10000 set"),
        ((19, 128), "word 4 = 0x80000000 has bits"),
        ((20, 0x88), "symbol_map = 0x.*88; its digits have to be 0 to 7"),
        ((24, 3), "average_bias = 0x3"),
        ((31, 1), "leave the buffer of"),
        ((32, 0), "core 1: "),
        ((52, 1), "for 13 output channels on 6 cores 6 are expected"),
    ],
)
def test_damaged_headers_are_faults(change: tuple[int, int], text: str) -> None:
    data = bytearray(encode(small()))
    data[change[0]] = change[1]
    with pytest.raises(Fault, match=text):
        read(bytes(data), shape_of(small()))


@pytest.mark.parametrize(
    ("output_channels", "text"),
    [
        (5, "for 5 output channels on 6 cores 5 are expected"),
        (12, r"core 0: holds 3 kernels by its first two bytes; .* it has to hold 2"),
        (19, r"core 0: holds 3 kernels by its first two bytes; .* it has to hold 4"),
    ],
)
def test_another_number_of_output_channels_is_a_fault(output_channels: int, text: str) -> None:
    shape = replace(shape_of(small()), output_channels=output_channels)
    with pytest.raises(Fault, match=text):
        read(encode(small()) + bytes(64), shape)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"channels": 4}, r"core 0: its code ends at bit \d+; the header says \d+ bits"),
        ({"channels": 6}, r"core 0: its code runs past the end at bit \d+, after \d+ of 164 bytes"),
        ({"channels": 1 << 19}, r"core 0: 3 kernels of it can't be in \d+ bits; their code takes"),
    ],
)
def test_other_kernel_sizes_are_faults(change: dict[str, int], text: str) -> None:
    with pytest.raises(Fault, match=text):
        read(encode(small()), replace(shape_of(small()), **change))


def test_impossible_sizes_do_not_take_memory() -> None:
    shape = KernelShape((1 << 20) - 1, 15, 15, 127, 0, (1 << 14) - 1)
    with pytest.raises(Fault, match=r"core 0: 2731 kernels of it can't be in \d+ bits"):
        read(encode(small()) + bytes(1 << 16), shape)


def test_stream_sizes_off_by_some_bits_are_faults() -> None:
    good = encode(small())
    for bits, text in (
        (-1, "runs past the end at bit"),
        (1, "its code ends at bit"),
        (-9, "runs past the end"),
        (9, "its code ends at bit"),
    ):
        data = np.frombuffer(good, np.uint8).copy()
        data[28:32].view("<i4")[0] += bits
        with pytest.raises(Fault, match=f"core 0: .*{text}"):
            read(data.tobytes(), shape_of(small()))


def test_pairs_behind_the_last_byte_are_checked() -> None:
    symbols = tuple(range(8))
    bits = encode_bytes([1, 0, *([5] * 9)], symbols)
    shape = KernelShape(9, 1, 1, 1, 0, 1)

    def buffer(stream: list[int]) -> bytes:
        return header_of(symbols, [len(stream)]) + pack(stream) + bytes(4)

    assert dense(read(buffer(bits), shape)).reshape(-1).tolist() == [5] * 9
    changed = encode_bytes([1, 0, *([5] * 9), 0], symbols)
    with pytest.raises(Fault, match="the pairs behind its last byte, from bit"):
        read(buffer(changed), shape)


@settings(max_examples=120)
@given(sources(), st.integers(0, 1 << 32))
def test_random_damage_is_read_or_a_fault(source: Source, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(encode(source), np.uint8).copy()
    data[rng.integers(rng.choice([0, 64]), len(data), 4)] = rng.integers(0, 256, 4)
    try:
        found = read(
            data[: rng.integers(1, len(data) + 1)].tobytes(), shape_of(source), source.nn_cores
        )
    except Fault:
        return
    assert len(found.bias) == len(found.plane_offset) == source.channels


@settings(max_examples=60)
@given(sources(), st.integers(0, 1 << 32))
def test_damage_inside_a_stream_names_the_core(source: Source, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.frombuffer(encode(source), np.uint8).copy()
    end = len(data) - 4 * source.channels
    data[rng.integers(64, end)] ^= 1 << rng.integers(8)
    text = ""
    try:
        read(data.tobytes(), shape_of(source), source.nn_cores)
    except Fault as fault:
        text = str(fault)
    assert re.match(r"$|coefficient stream of core \d+: .*(bit|kernels)", text)


def test_as_many_superblocks_as_there_can_be_are_walked_once() -> None:
    count = (1 << 14) - 1
    data = superblocks_v8(count)
    read(data, KernelShape(1, 3, 3, 1, 0, count))  # also makes machine code of what is worth it
    with counted_calls() as taken:
        found = read(data, KernelShape(1, 3, 3, 1, 0, count))
    assert taken.calls < 20 * count  # it is some 9
    assert found.nonzero == 0 and len(found.bias) == count
