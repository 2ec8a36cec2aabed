"""Weights and biases to a V8 coefficient buffer: a prefix code over byte lengths, biases behind it.

Every weight is coded as its difference from the zero point. A byte's *length* is the number of bits
of its magnitude (ones' complement for negative bytes); each length has one of eight symbols, the
shorter ones for the more frequent lengths. Bytes go in pairs, and a pair's three fields are spread
over three steps of the stream, as a pipeline reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode.bitstream import pack
from lapilli.compiler.jobs import Coefficients, CoefficientSize, Kernels, NnJob
from lapilli.hw import coefficients_v8 as layout
from lapilli.timing.coefficients import statistics_v8

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Code:
    """For each of the 256 bytes the fields it is sent as: ``first`` (3 bits), ``second`` and
    ``rest`` with their widths."""

    first: Ints
    second: Ints
    second_width: Ints
    rest: Ints
    rest_width: Ints


def encode(job: NnJob, nn_cores: int, superblocks: int) -> Coefficients:
    """The coefficient buffer of ``job``."""
    plan = _plan(job, nn_cores, superblocks)
    end = layout.HEADER_BYTES + sum(plan.sizes)
    data = np.zeros(end + 4 * job.kernels.output_channels, np.uint8)
    header = layout.HEADER.encode(
        symbol_map=sum(int(length) << 4 * i for i, length in enumerate(plan.symbols)),
        **{f"stream_size_{core}": count for core, count in enumerate(plan.bits)},
    )
    data[: 4 * len(header)].view(np.uint32)[:] = header
    at = layout.HEADER_BYTES
    for values, size in zip(plan.values, plan.sizes, strict=True):
        stream = _encode_bytes(values, plan.code)
        data[at : at + stream.size] = stream
        at += size
    data[end:].view(np.uint32)[:] = (_biases(job) & 0xFFFFFFFF).astype(np.uint32)
    return Coefficients(data, plan.size)


def measure(job: NnJob, nn_cores: int, superblocks: int) -> CoefficientSize:
    """The size of what ``encode`` gives."""
    return _plan(job, nn_cores, superblocks).size


@dataclass(frozen=True)
class _Plan:
    """What the streams are, before their bits are packed: for each core the bytes that are coded,
    the bits that takes, and the stream's bytes."""

    symbols: Ints
    code: _Code
    values: list[NDArray[np.uint8]]
    bits: list[int]
    sizes: list[int]
    size: CoefficientSize


def _plan(job: NnJob, nn_cores: int, superblocks: int) -> _Plan:
    kernels = job.kernels
    cores = min(kernels.output_channels, nn_cores)
    symbols = symbol_map(kernels)
    code = _code(symbols)
    values = [_core_bytes(job, core, cores, superblocks, nn_cores) for core in range(cores)]
    bits = [_coded_bits(each, code) for each in values]
    alignment = layout.STREAM_ALIGNMENT
    sizes = [-(-count // (8 * alignment)) * alignment for count in bits]
    planes = 1 if job.native_depthwise else kernels.input_channels
    statistics = statistics_v8(
        header_bytes=layout.HEADER_BYTES,
        stream_bytes=sum(sizes) + 4 * kernels.output_channels,
        kernel_weights=planes * kernels.rows * kernels.columns,
        kernels=kernels.output_channels,
        cores=cores,
    )
    cached = statistics.header_bytes + statistics.stream_bytes
    size = CoefficientSize(cached, cores, statistics)
    return _Plan(symbols, code, values, bits, sizes, size)


def symbol_map(kernels: Kernels) -> Ints:
    """Bit length of each symbol: the lengths by how often they occur among the weights as stored,
    through the fixed sorting network of the hardware notes (ties come out as it leaves them)."""
    values = kernels.values
    histogram = np.bincount(values.reshape(-1), minlength=256)
    if not kernels.dense:
        missing = kernels.output_channels * (kernels.input_channels - values.shape[1])
        histogram[kernels.zero_point] += missing * kernels.rows * kernels.columns
    if kernels.signed:
        # The recorded driver counts an int8 model's bytes as they lie in the file.
        histogram = histogram[np.arange(256) ^ layout.SIGN_BIT]
    lengths = np.zeros(9, np.int64)
    np.add.at(lengths, layout.HISTOGRAM_CLASS, histogram)
    symbols = np.arange(8)
    for a, b in layout.SORTING_NETWORK:
        if lengths[symbols[a]] < lengths[symbols[b]]:
            symbols[a], symbols[b] = symbols[b], symbols[a]
    return symbols


def _code(symbols: Ints) -> _Code:
    symbol_of = np.argsort(symbols)
    byte = np.arange(256)
    sign = byte >> 7
    magnitude = np.where(sign, byte ^ 0xFF, byte)
    length = np.ceil(np.log2(magnitude + 1)).astype(np.int64)
    width = np.maximum(length, 1)
    leading = np.where(length > 0, 1 << np.maximum(length - 1, 0), 0)
    value = (magnitude - leading) << 1 | sign
    symbol = symbol_of[length]
    # A symbol with a free bit in its prefix carries the sign there, and one bit less behind.
    prefix, prefix_sign = layout.FIRST_PART[symbol].T
    second, second_sign, second_width = layout.SECOND_PART[symbol].T
    signed = (prefix_sign | second_sign) > 0
    return _Code(
        first=prefix + sign * prefix_sign,
        second=second + sign * second_sign,
        second_width=second_width,
        rest=np.where(signed, value >> 1, value),
        rest_width=np.where(signed, width - 1, width),
    )


def _coded_bits(values: NDArray[np.uint8], code: _Code) -> int:
    """Bits of the stream of some bytes: six a step, and what the bytes' own widths add."""
    odd = values.size % 2
    occurring = np.bincount(values, minlength=256)
    occurring[0] += odd
    steps = (values.size + odd) // 2 + layout.FLUSH_PAIRS
    return 6 * steps + int(occurring @ (code.second_width + code.rest_width))


def _encode_bytes(values: NDArray[np.uint8], code: _Code) -> NDArray[np.uint8]:
    """The stream of some bytes, in whole words."""
    odd = values.size % 2
    pairs = np.concatenate([values, np.zeros(odd, np.uint8)]).reshape(-1, 2)
    count = len(pairs) + layout.FLUSH_PAIRS
    words, widths = np.zeros(count, np.int64), np.full(count, 6, np.int64)
    a, b = pairs.T
    flush = layout.FLUSH_ODD if odd else layout.FLUSH_EVEN
    words[:] = flush | flush << 3
    words[: len(pairs)] = code.first[a] | code.first[b] << 3
    for delay, value, width in (
        (1, code.second, code.second_width),
        (2, code.rest, code.rest_width),
    ):
        for byte in (a, b):
            step = slice(delay, delay + len(pairs))
            words[step] |= value[byte] << widths[step]
            widths[step] += width[byte]
    return pack(words.astype(np.uint64), widths)


def _core_bytes(
    job: NnJob, core: int, cores: int, superblocks: int, nn_cores: int
) -> NDArray[np.uint8]:
    """What a core's stream codes: the number of its kernels in two bytes, then their weights."""
    kernels = job.kernels
    count = kernels.output_channels // cores + (core < kernels.output_channels % cores)
    parts = [np.array([count & 0xFF, count >> 8], np.uint8)]
    for channels in _channels(job, core, cores, superblocks, nn_cores):
        parts.append(_weights(kernels, channels, job.native_depthwise))
    return np.concatenate(parts)


def _channels(job: NnJob, core: int, cores: int, superblocks: int, nn_cores: int) -> list[Ints]:
    """A core's output channels, superblock by superblock; of superblocks as large as asked for no
    more than the channels need."""
    total = job.kernels.output_channels
    block = -(-total // (nn_cores * superblocks))
    superblocks = -(-total // (nn_cores * block))
    found = []
    for number in range(superblocks):
        left = total - cores * (superblocks - 1) * block
        last = number == superblocks - 1
        base = number * block * cores
        each, more = divmod(left, cores) if last else (block, 0)
        count = each + (core < more)
        if job.native_depthwise:
            # Channels go round the cores from the last one down; a last incomplete round likewise.
            rounds = base + np.arange(count) * cores
            in_round = np.minimum(cores, total - rounds)
            found.append(rounds + in_round - 1 - core)
        else:
            first = base + core * each + min(core, more)
            found.append(np.arange(first, first + count))
    return found


def _weights(kernels: Kernels, channels: Ints, depthwise: bool) -> NDArray[np.uint8]:
    """The coded bytes of a superblock: groups of values, in them kernels."""
    size = kernels.input_channels * kernels.rows * kernels.columns
    group = max(kernels.rows * kernels.columns, layout.GROUP) if depthwise else layout.GROUP
    groups = -(-size // group)
    flat = np.full((len(channels), groups * group), kernels.zero_point, np.uint8)
    flat[:, :size] = _dense(kernels, channels)
    coded = flat - np.uint8(kernels.zero_point)
    coded = coded.reshape(len(channels), groups, group).transpose(1, 0, 2)
    filled = -(-group // layout.GROUP) * layout.GROUP
    if filled != group:
        coded = np.pad(coded, ((0, 0), (0, 0), (0, filled - group)))
    return coded.reshape(-1)


def _dense(kernels: Kernels, channels: Ints) -> NDArray[np.uint8]:
    """Whole kernels, flattened by channel, row, column."""
    chosen = kernels.values[channels]
    taps, planes = kernels.rows * kernels.columns, chosen.shape[1]
    if kernels.dense:
        # A core may have no channel in the last superblock.
        return chosen.reshape(len(channels), planes * taps)
    whole = np.full((len(channels), kernels.input_channels, taps), kernels.zero_point, np.uint8)
    columns = kernels.first_channel[channels][:, None] + np.arange(planes)
    whole[np.arange(len(channels))[:, None], columns] = chosen.reshape(-1, planes, taps)
    return whole.reshape(len(channels), kernels.input_channels * taps)


def _biases(job: NnJob) -> Ints:
    """Biases for inputs taken as byte - 128."""
    kernels = job.kernels
    sums = kernels.values.reshape(kernels.output_channels, -1).sum(axis=1, dtype=np.int64)
    sums -= kernels.zero_point * kernels.values[0].size
    corrected: Ints = kernels.bias + (layout.INPUT_MIDDLE - job.input_zero_point) * sums
    return corrected
