"""Weights and biases to a V7 coefficient buffer.

A core's stream is a sequence of weights with 32-bit items between them. Runs of zero-point weights
are coded as counts, so only the other weights' positions are ever looked at: a depthwise kernel's
zeros over all the other channels are never stored. Layout: lapilli/hw/coefficients_v7.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode.bitstream import pack
from lapilli.compiler.jobs import Coefficients, CoefficientSize, Kernels, NnJob
from lapilli.hw import coefficients_v7 as layout
from lapilli.timing.coefficients import CoefficientStatistics

Ints = NDArray[np.int64]
HEAD_BITS = layout.ZERO_RUN_WIDTH_BITS + layout.KERNEL_COUNT_BITS


@dataclass(frozen=True)
class _Sequence:
    """One core's weights: ``length`` of them, of which those at ``positions`` (sorted) are not the
    zero point but ``values``. Before weight ``barriers[i]`` a pending run ends, and the item
    ``items[i]`` follows if ``has_item[i]``."""

    length: int
    kernels: int
    positions: Ints
    values: NDArray[np.uint8]
    barriers: Ints
    has_item: NDArray[np.bool_]
    items: NDArray[np.uint64]


def encode(job: NnJob, nn_cores: int, superblocks: int, zero_run_bits: int) -> Coefficients:
    """The coefficient buffer of ``job``; ``zero_run_bits`` is the chip's longest run width."""
    plan = _plan(job, nn_cores, superblocks, zero_run_bits)
    header = plan.size.statistics.header_bytes
    data = np.zeros(header + sum(plan.sizes), np.uint8)
    data[: 4 * len(plan.sizes)].view(np.uint32)[:] = plan.sizes
    at = header
    for sequence, size in zip(plan.sequences, plan.sizes, strict=True):
        stream = _stream(sequence, job.kernels.zero_point, plan.bits)
        data[at : at + stream.size] = stream
        at += size
    return Coefficients(data, plan.size)


def measure(job: NnJob, nn_cores: int, superblocks: int, zero_run_bits: int) -> CoefficientSize:
    """The size of what ``encode`` gives. Streams without runs are counted, not made."""
    if reads_blocks(job.kernels, nn_cores) or not job.zero_runs:
        return _plain_size(job, nn_cores, superblocks)
    return _plan(job, nn_cores, superblocks, zero_run_bits).size


def _plain_size(job: NnJob, nn_cores: int, superblocks: int) -> CoefficientSize:
    """The size of streams that hold every weight."""
    kernels = job.kernels
    count, cores = kernels.output_channels, min(kernels.output_channels, nn_cores)
    size = kernels.input_channels * kernels.rows * kernels.columns
    per_core = -(-count // cores)
    each = np.count_nonzero(kernels.values.reshape(count, -1) != kernels.zero_point, axis=1)
    filling = size if job.filler != kernels.zero_point else 0
    each = np.concatenate([each, np.full(per_core * cores - count, filling)])
    weights = [
        int(each[np.concatenate(channels)].sum())
        for channels in _channels(kernels, cores, superblocks)
    ]
    bits = HEAD_BITS + per_core * (2 * layout.ITEM_BITS + size * layout.WEIGHT_BITS)
    alignment = layout.STREAM_ALIGNMENT
    stream = -(-bits // (8 * alignment)) * alignment
    statistics = CoefficientStatistics(
        header_bytes=-(-4 * nn_cores // alignment) * alignment,
        stream_bytes=stream * cores,
        kernels=per_core,
        weights=tuple(weights),
        tokens=(per_core * size,) * cores,
        zero_run_bits=0,
        useful=int(each[:count].sum()),
    )
    return CoefficientSize(stream * cores, cores, statistics)


@dataclass(frozen=True)
class _Plan:
    """What the streams are, before their bits are packed: one sequence for each core, the width of
    runs, and the bytes of each stream."""

    sequences: list[_Sequence]
    bits: int
    sizes: list[int]
    size: CoefficientSize


def _plan(job: NnJob, nn_cores: int, superblocks: int, zero_run_bits: int) -> _Plan:
    kernels = job.kernels
    cores = min(kernels.output_channels, nn_cores)
    blocked = reads_blocks(kernels, nn_cores)
    common = _Common(blocked, *_items(job), tap_order(kernels.rows, kernels.columns))
    sequences = [
        _sequence(job, common, channels) for channels in _channels(kernels, cores, superblocks)
    ]
    if blocked or not job.zero_runs:
        bits, tokens = 0, [sequence.length for sequence in sequences]
    else:
        bits, tokens = _choose_zero_run_bits(sequences, zero_run_bits)
    alignment = layout.STREAM_ALIGNMENT
    sizes = [
        -(-_stream_bits(sequence, count, bits) // (8 * alignment)) * alignment
        for sequence, count in zip(sequences, tokens, strict=True)
    ]
    statistics = CoefficientStatistics(
        header_bytes=-(-4 * nn_cores // alignment) * alignment,
        stream_bytes=sum(sizes),
        kernels=max(sequence.kernels for sequence in sequences),
        weights=tuple(len(sequence.positions) for sequence in sequences),
        tokens=tuple(tokens),
        zero_run_bits=bits,
        useful=int(np.count_nonzero(kernels.values != kernels.zero_point)),
    )
    return _Plan(sequences, bits, sizes, CoefficientSize(max(sizes) * cores, cores, statistics))


def reads_blocks(kernels: Kernels, nn_cores: int) -> bool:
    """The unit reads 1x1 kernels in blocks of six channels; with one kernel a core that is the same
    order as any other."""
    return kernels.rows == kernels.columns == 1 and kernels.output_channels > nn_cores


def _channels(kernels: Kernels, cores: int, superblocks: int) -> Iterator[list[Ints]]:
    """For each core the output channels of each superblock. Numbers beyond the last channel fill up
    the last cores. None is empty: of blocks as large as ``superblocks`` asks for, those needed."""
    per_core = -(-kernels.output_channels // cores)
    block = -(-per_core // superblocks)
    superblocks = -(-per_core // block)
    for core in range(cores):
        blocks = []
        for number in range(superblocks):
            count = min(block, per_core - block * number)
            first = core * count + number * block * cores
            blocks.append(np.arange(first, first + count, dtype=np.int64))
        yield blocks


def tap_order(rows: int, columns: int) -> Ints:
    """Order of a kernel's taps, as indices into its row-major values: pairs of rows, of which first
    the leading three columns are read, then the others."""
    pair, lead = layout.ROWS_PER_PATCH, layout.COLUMNS_PER_PATCH
    order = []
    for top in range(0, rows, pair):
        for columns_read in (range(min(lead, columns)), range(lead, columns)):
            for row in range(top, min(top + pair, rows)):
                order += [row * columns + column for column in columns_read]
    return np.array(order, np.int64)


@dataclass(frozen=True)
class _Common:
    """What all cores' sequences need: whether 1x1 kernels are read in blocks, the items of
    ``_items``, and the order of a kernel's taps."""

    blocked: bool
    bias: Ints
    filler_bias: int
    tail: int
    order: Ints


def _sequence(job: NnJob, common: _Common, blocks: list[Ints]) -> _Sequence:
    """One core's weights and items in stream order."""
    kernels, blocked = job.kernels, common.blocked
    taps, depth = kernels.rows * kernels.columns, kernels.input_channels
    bias, filler_bias, tail = common.bias, common.filler_bias, common.tail
    positions, values, barriers, items = [], [], [], []
    start = 0
    for channels in blocks:
        count = len(channels)
        there = channels < kernels.output_channels
        if blocked:
            found, value, first, last = _blocked(kernels, channels[there], count, job.filler)
        else:
            found, value = _patches(kernels, channels[there], count, job.filler, common.order)
            first = np.arange(count) * taps
            last = ((depth - 1) * count + np.arange(count)) * taps + taps - 1
        positions.append(found + start)
        values.append(value)
        padded = np.full(count, filler_bias, np.int64)
        padded[there] = bias[channels[there]]
        barriers += [first + 1 + start, last + 1 + start]
        items += [padded, channels * tail]
        start += count * taps * depth
    flush = np.zeros(0, np.int64)
    if not blocked:
        # Runs end at every plane of the last superblock, and only there.
        step = len(blocks[-1]) * taps
        flush = np.arange(start - step * (depth - 1), start + 1, step, dtype=np.int64)
    return _assemble(start, sum(map(len, blocks)), positions, values, barriers, items, flush)


def _assemble(
    length: int,
    kernels: int,
    positions: list[Ints],
    values: list[NDArray[np.uint8]],
    barriers: list[Ints],
    items: list[Ints],
    flush: Ints,
) -> _Sequence:
    # A bias comes before an offset at the same place: it was appended first, and sorting is stable.
    places = np.concatenate([*barriers, flush])
    order = np.argsort(places, kind="stable")
    has_item = np.arange(len(places)) < len(places) - len(flush)
    numbers = np.concatenate([*items, np.zeros_like(flush)])
    return _Sequence(
        length,
        kernels,
        np.concatenate(positions),
        np.concatenate(values),
        places[order],
        has_item[order],
        (numbers[order] & 0xFFFFFFFF).astype(np.uint64),
    )


def _items(job: NnJob) -> tuple[Ints, int, int]:
    """Stream bias of every channel, with the input zero point folded in, that of a kernel which
    fills up a core, and the bytes from one output plane to the next."""
    kernels, zero_point = job.kernels, job.kernels.zero_point
    sums = kernels.values.reshape(kernels.output_channels, -1).sum(axis=1, dtype=np.int64)
    sums -= zero_point * kernels.values[0].size
    size = kernels.input_channels * kernels.rows * kernels.columns
    filler_bias = -job.input_zero_point * size * (job.filler - zero_point)
    return kernels.bias - job.input_zero_point * sums, filler_bias, job.output_size.plane


def _patches(
    kernels: Kernels, channels: Ints, count: int, filler: int, order: Ints
) -> tuple[Ints, NDArray[np.uint8]]:
    """Positions and values of a superblock of ``count`` kernels, of which ``channels`` exist:
    planes, in them kernels, in them taps."""
    taps, depth, there = len(order), kernels.input_channels, len(channels)
    planes = kernels.values.shape[1]
    chosen = kernels.values[channels].reshape(there, planes, taps)[:, :, order]
    if kernels.dense:
        sequence = np.full((depth, count, taps), filler, np.uint8)
        sequence[:, :there] = chosen.transpose(1, 0, 2)
        flat = sequence.reshape(-1)
        found = np.flatnonzero(flat != kernels.zero_point)
        return found, flat[found]
    kernel, plane, tap = np.nonzero(chosen != kernels.zero_point)
    position = kernels.first_channel[channels][kernel] + plane
    places = (position * count + kernel) * taps + tap
    values = chosen[kernel, plane, tap]
    if filler != kernels.zero_point and there < count:
        rest = np.arange(depth)[:, None, None] * count + np.arange(there, count)[:, None]
        more = (rest * taps + np.arange(taps)).reshape(-1)
        places = np.concatenate([places, more])
        values = np.concatenate([values, np.full(more.size, filler, np.uint8)])
    by_place = np.argsort(places, kind="stable")
    return places[by_place], values[by_place]


def _blocked(
    kernels: Kernels, channels: Ints, count: int, filler: int
) -> tuple[Ints, NDArray[np.uint8], Ints, Ints]:
    """Positions and values of a superblock of 1x1 kernels in blocks of six channels, and the places
    of every kernel's first and last weight."""
    depth, block = kernels.input_channels, layout.CHANNELS_PER_BLOCK
    there, planes = len(channels), kernels.values.shape[1]
    dense = np.full((count, depth), kernels.zero_point, np.uint8)
    dense[there:] = filler
    columns = kernels.first_channel[channels][:, None] + np.arange(planes)
    dense[np.arange(there)[:, None], columns] = kernels.values[channels, :, 0, 0]
    whole = depth // block * block
    parts = dense[:, :whole].reshape(count, -1, block).transpose(1, 0, 2).reshape(-1)
    sequence = np.concatenate([parts, dense[:, whole:].reshape(-1)])
    found = np.flatnonzero(sequence != kernels.zero_point)
    width_first = min(depth, block)
    width_last = depth - whole or width_first
    first = np.arange(count) * width_first
    last = (depth - width_last) * count + (np.arange(count) + 1) * width_last - 1
    return found, sequence[found], first, last


# ----------------------------------------------------------------------------------------- tokens


@dataclass(frozen=True)
class _Events:
    """The non-zero weights and barriers of a sequence in stream order; ``zeros`` before each."""

    zeros: Ints
    is_weight: NDArray[np.bool_]


def _events(sequence: _Sequence) -> _Events:
    # A barrier before weight p comes before that weight.
    keys = np.concatenate([2 * sequence.positions + 1, 2 * sequence.barriers])
    order = np.argsort(keys, kind="stable")
    is_weight = order < len(sequence.positions)
    start = keys[order] >> 1
    end = start + is_weight
    zeros = start.copy()
    zeros[1:] -= end[:-1]
    return _Events(zeros, is_weight)


def _stream_bits(sequence: _Sequence, tokens: int, bits: int) -> int:
    """Bits of a stream with so many tokens whose runs are ``bits`` wide."""
    items = int(sequence.has_item.sum())
    return HEAD_BITS + layout.ITEM_BITS * items + tokens * (bits + layout.WEIGHT_BITS)


def _token_count(events: _Events, bits: int) -> int:
    whole = int((events.zeros >> bits).sum())
    rest = (events.zeros[~events.is_weight] & ((1 << bits) - 1)) > 0
    return whole + int(events.is_weight.sum()) + int(rest.sum())


def _choose_zero_run_bits(sequences: list[_Sequence], widest: int) -> tuple[int, list[int]]:
    """From the widest run length down, as long as the streams don't grow; with the tokens of each
    stream."""
    events = [_events(sequence) for sequence in sequences]
    best_bits, best, best_tokens = widest, None, [0]
    for bits in range(widest, -1, -1):
        tokens = [_token_count(found, bits) for found in events]
        total = sum(
            -(-_stream_bits(sequence, count, bits) // 32)
            for sequence, count in zip(sequences, tokens, strict=True)
        )
        if best is not None and total > best:
            break
        best_bits, best, best_tokens = bits, total, tokens
    return best_bits, best_tokens


def _stream(sequence: _Sequence, zero_point: int, bits: int) -> NDArray[np.uint8]:
    """The bytes of one core's stream, a multiple of 4."""
    if bits == 0:
        return _plain_stream(sequence, zero_point)
    return _run_stream(sequence, zero_point, bits)


def _head(bits: int, kernels: int) -> NDArray[np.uint8]:
    return np.array([bits, kernels & 0xFF, kernels >> 8], np.uint8)


def _plain_stream(sequence: _Sequence, zero_point: int) -> NDArray[np.uint8]:
    """Every weight in a byte, items of four bytes between them."""
    items = sequence.items[sequence.has_item].astype("<u4")
    size = HEAD_BITS // 8 + sequence.length + 4 * len(items)
    stream = np.zeros(-(-size // 4) * 4, np.uint8)
    stream[:3] = _head(0, sequence.kernels)
    at = 3 + sequence.barriers[sequence.has_item] + 4 * np.arange(len(items))
    is_weight = np.ones(size, bool)
    is_weight[:3] = False
    is_weight[at[:, None] + np.arange(4)] = False
    stream[at[:, None] + np.arange(4)] = items[:, None].view(np.uint8)
    weights = np.full(sequence.length, zero_point, np.uint8)
    weights[sequence.positions] = sequence.values
    stream[:size][is_weight] = weights
    return stream


def _run_stream(sequence: _Sequence, zero_point: int, bits: int) -> NDArray[np.uint8]:
    """Tokens (run length, weight), runs of at most 2**bits - 1."""
    events = _events(sequence)
    whole, rest = events.zeros >> bits, events.zeros & ((1 << bits) - 1)
    has_token = events.is_weight | (rest > 0)
    has_item = np.zeros(len(has_token), bool)
    has_item[~events.is_weight] = sequence.has_item
    count = whole + has_token + has_item
    ends = np.cumsum(count)
    longest = ((1 << bits) - 1) | zero_point << bits
    values = np.full(int(ends[-1]), longest, np.uint64)
    widths = np.full(len(values), bits + layout.WEIGHT_BITS, np.int64)
    # A run that a barrier ends is coded as one less and a zero point.
    run = rest - ~events.is_weight
    weight = np.full(len(run), zero_point, np.int64)
    weight[events.is_weight] = sequence.values
    token_at = ends - 1 - has_item
    values[token_at[has_token]] = (run | weight << bits)[has_token].astype(np.uint64)
    item_at = (ends - 1)[has_item]
    values[item_at] = sequence.items[sequence.has_item]
    widths[item_at] = layout.ITEM_BITS
    head = int.from_bytes(_head(bits, sequence.kernels).tobytes(), "little")
    return pack(np.concatenate([[np.uint64(head)], values]), np.concatenate([[HEAD_BITS], widths]))
