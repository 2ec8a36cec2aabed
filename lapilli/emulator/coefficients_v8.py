"""Decoder of V8 coefficient buffers: header, prefix-coded core streams, biases.

A stream is read in steps. Step t holds two 3-bit parts, those of pair t of bytes; then the 2-bit
parts of pair t - 1, if it has any; then the variable parts of pair t - 2. Where a step starts
depends on all steps before it, so the starts are found one after another (``_find_steps``); what
the steps hold is then read for all pairs at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lapilli.emulator.accelerate import attempt, compiled
from lapilli.emulator.checks import decode_fields
from lapilli.emulator.kernels import (
    SMALL_WEIGHTS,
    SPARSE_SHARE,
    Coefficients,
    Integers,
    KernelShape,
    Streams,
    demand_few,
)
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Fault
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v8 import (
    FIRST_PART,
    FLUSH_EVEN,
    FLUSH_ODD,
    FLUSH_PAIRS,
    GROUP,
    HEADER,
    HEADER_BYTES,
    SECOND_PART,
    STREAM_ALIGNMENT,
    STREAMS,
)
from lapilli.program.program import Bytes

COUNT_BYTES = 2
"""The number of a core's kernels, in front of their weights."""
BIAS_BYTES = 4
FIRST_BITS, SECOND_BITS = 3, 2
PAIR_FIRST_BITS = 2 * FIRST_BITS
PAIR_FIRST = (1 << PAIR_FIRST_BITS) - 1
PAIR_SECOND = (1 << 2 * SECOND_BITS) - 1 << PAIR_FIRST_BITS
REST_BITS = 7
LONGEST_STEP_BITS = PAIR_FIRST_BITS + 2 * (SECOND_BITS + REST_BITS)
"""A variable part has at most so many."""
SYMBOLS = 8
WORTH_COMPILING = 10_000
"""Steps of a stream from which on machine code is asked for: plain Python takes some 3 ms."""
WINDOW_BYTES = 4
"""Bytes that hold any step: 6 + 4 + 14 bits, and up to 7 in front."""

Indices = NDArray[np.int64] | list[int]


@dataclass(frozen=True)
class Code:
    """The prefix code of a symbol map as tables.

    ``step_bits``: by the 3-bit parts of the pair before, bits of a step without its variable parts.
    By the *control* of a pair, its 3-bit parts and behind them its 2-bit parts: ``rest_bits`` of
    both variable parts together; ``rest_shift`` of the second; for either byte the mask of its
    variable part and where in ``values`` its possible bytes start.
    """

    step_bits: Integers
    rest_bits: Integers
    rest_shift: NDArray[np.uint32]
    masks: tuple[NDArray[np.uint32], NDArray[np.uint32]]
    starts: tuple[NDArray[np.uint32], NDArray[np.uint32]]
    values: NDArray[np.uint8]


@lru_cache(64)
def code_of(lengths: tuple[int, ...]) -> Code:
    """The code in which symbol i stands for bytes of ``lengths[i]`` bits."""
    width, has_second, values = _parts(lengths)
    control = np.arange(1 << PAIR_FIRST_BITS + 2 * SECOND_BITS)
    low = (1 << FIRST_BITS) - 1
    firsts = control & low, control >> FIRST_BITS & low
    second = control >> PAIR_FIRST_BITS
    # The first 2-bit part belongs to the first byte that has one.
    later = np.where(has_second[firsts[0]], second >> SECOND_BITS, second)
    seconds = second & 3, later & 3
    widths = tuple(width[f, s] for f, s in zip(firsts, seconds, strict=True))
    count = has_second[firsts[0]].astype(np.int64) + has_second[firsts[1]]
    starts = tuple(
        ((f << SECOND_BITS | s) << REST_BITS).astype(np.uint32)
        for f, s in zip(firsts, seconds, strict=True)
    )
    masks = tuple(((1 << w) - 1).astype(np.uint32) for w in widths)
    return Code(
        step_bits=PAIR_FIRST_BITS + SECOND_BITS * count[: PAIR_FIRST + 1],
        rest_bits=widths[0] + widths[1],
        rest_shift=widths[0].astype(np.uint32),
        masks=(masks[0], masks[1]),
        starts=(starts[0], starts[1]),
        values=values.reshape(-1),
    )


def _parts(lengths: tuple[int, ...]) -> tuple[Integers, NDArray[np.bool_], NDArray[np.uint8]]:
    """By [3-bit part, 2-bit part]: bits of the variable part, and the byte by [variable part];
    and which 3-bit parts are followed by a 2-bit part."""
    width = np.zeros((1 << FIRST_BITS, 1 << SECOND_BITS), np.int64)
    values = np.zeros((*width.shape, 1 << REST_BITS), np.uint8)
    has_second = np.zeros(1 << FIRST_BITS, np.bool_)
    rest = np.arange(1 << REST_BITS)
    for symbol, length in enumerate(lengths):
        first, first_sign = FIRST_PART[symbol].tolist()
        second, second_sign, second_bits = SECOND_PART[symbol].tolist()
        in_prefix = bool(first_sign or second_sign)
        for prefix_sign in (0, 1) if in_prefix else (0,):
            at = first + prefix_sign * first_sign
            has_second[at] |= bool(second_bits)
            where = second + prefix_sign * second_sign if second_bits else slice(None)
            sign = prefix_sign if in_prefix else rest & 1
            magnitude = (rest if in_prefix else rest >> 1) | 1 << max(length - 1, 0)
            width[at, where] = max(length, 1) - in_prefix
            values[at, where] = (magnitude if length else 0) ^ 0xFF * sign
    return width, has_second, values


def find_streams(memory: ListedMemory, address: int, shape: KernelShape, chip: Chip) -> Streams:
    """The used part of the buffer at ``address``; raises Fault if the header makes no sense."""
    raw = memory.bytes("coefficient header (kernel_address)", address, HEADER_BYTES)
    try:
        fields = _header(raw)
        used = min(shape.output_channels, chip.nn_cores)
        sizes = [fields[f"stream_size_{core}"] for core in range(STREAMS)]
        if used > STREAMS or not all(sizes[:used]) or any(sizes[used:]):
            raise Fault(
                f"holds the stream sizes {sizes}; for {shape.output_channels} output "
                f"channels on {chip.nn_cores} cores {used} are expected (at most "
                f"{STREAMS}), and zeros behind them"
            )
    except Fault as fault:
        raise Fault(f"coefficient header at {address:#x}: {fault}") from None
    blocks = -(-np.array(sizes[:used], np.int64) // (8 * STREAM_ALIGNMENT))
    ends = HEADER_BYTES + np.cumsum(blocks * STREAM_ALIGNMENT)
    starts = ends - blocks * STREAM_ALIGNMENT
    size = int(ends[-1]) + BIAS_BYTES * shape.output_channels
    data = memory.bytes("coefficient streams and biases", address, size)
    return Streams(data, tuple(zip(starts.tolist(), ends.tolist(), strict=True)))


def _header(raw: Bytes) -> dict[str, int]:
    words = raw[:HEADER_BYTES].view("<u4").tolist()
    free = {"symbol_map", *(f"stream_size_{core}" for core in range(STREAMS))}
    fields = decode_fields(HEADER, words, free)
    if sorted(_lengths(fields)) != list(range(SYMBOLS)):
        raise Fault(
            f"symbol_map = {fields['symbol_map']:#010x}; its digits have to be 0 to 7, each once"
        )
    return fields


def _lengths(fields: dict[str, int]) -> tuple[int, ...]:
    return tuple(fields["symbol_map"] >> 4 * i & 0xF for i in range(SYMBOLS))


def decode(streams: Streams, shape: KernelShape, chip: Chip) -> Coefficients:
    """All kernels of a coefficient buffer; raises Fault naming core and bit of the damage."""
    fields = _header(streams.data)
    code = code_of(_lengths(fields))
    shares = [_Share(shape, core, len(streams.cores)) for core in range(len(streams.cores))]
    sizes = [fields[f"stream_size_{core}"] for core in range(len(streams.cores))]
    for share, bits in zip(shares, sizes, strict=True):  # before there is memory for the kernels
        share.demand_room(bits)
    demand_few(shape.output_channels, shape)
    coded = np.empty((shape.output_channels, shape.weights), np.uint8)
    tokens = 0
    for share, bits, (start, end) in zip(shares, sizes, streams.cores, strict=True):
        try:
            values = _decode_core(streams.data[start:end], bits, code, share)
        except Fault as fault:
            raise type(fault)(f"{share.name}: {fault}") from None
        tokens += len(values)
        share.store(values, coded)
    bias = streams.data[streams.cores[-1][1] :].view("<i4").astype(np.int64)
    return _coefficients(shape, coded, bias, tokens)


class _Share:
    """What one core has of the kernels: how many, in what order, and how they stand in its
    stream: superblock by superblock, in it groups of weights, in those kernel by kernel."""

    def __init__(self, shape: KernelShape, core: int, cores: int) -> None:
        self.name = f"coefficient stream of core {core}"
        self._core, self._cores = core, cores
        self._total, self._at_once = shape.output_channels, shape.kernels_per_core
        self._each, self._more = divmod(shape.output_channels, cores)
        self.kernels = self._each + (core < self._more)
        self._depthwise = shape.depthwise
        self.group = max(shape.taps, GROUP) if shape.depthwise else GROUP
        self._filled = -(-self.group // GROUP) * GROUP
        self._groups = 1 if shape.depthwise else -(-shape.weights // GROUP)
        self.bytes = COUNT_BYTES + self.kernels * self._groups * self._filled
        """Coded: the number of its kernels, and their weights with padding."""
        self.pairs = -(-self.bytes // 2)

    def demand_room(self, bits: int) -> None:
        """Fault if a stream is too short for so many kernels, whatever their weights are."""
        least = PAIR_FIRST_BITS * (self.pairs + FLUSH_PAIRS)
        if bits < least:
            raise Fault(
                f"{self.name}: {self.kernels} kernels of it can't be in {bits} bits; their code "
                f"takes {least} or more"
            )
        most = LONGEST_STEP_BITS * (self.pairs + FLUSH_PAIRS)
        if bits > most:
            raise Fault(
                f"{self.name}: {bits} bits for {self.kernels} kernels; their code takes {most} or "
                "less"
            )

    def store(self, values: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
        """Put the decoded weights into ``into`` [output channel][weight]."""
        for first in range(0, self.kernels, self._at_once):
            count = min(self._at_once, self.kernels - first)
            kernel_bytes = self._groups * self._filled
            block = values[first * kernel_bytes : (first + count) * kernel_bytes]
            block = block.reshape(self._groups, count, self._filled)[:, :, : self.group]
            kernels = block.transpose(1, 0, 2).reshape(count, -1)[:, : into.shape[1]]
            into[self._channels(first, count)] = kernels

    def _channels(self, first: int, count: int) -> slice | Integers:
        """Output channels of the superblock that starts with this kernel of the core."""
        if self._depthwise:
            # Channels go round the cores from the last one down, in the last round as well.
            rounds = np.arange(first, first + count) * self._cores
            return rounds + np.minimum(self._cores, self._total - rounds) - 1 - self._core
        # A superblock's channels go to the cores in order; the first ``more`` may have one more.
        most = min(self._at_once, self._each + 1 - first)
        others = min(self._at_once, self._each - first)
        before = most * min(self._core, self._more) + others * max(self._core - self._more, 0)
        start = first * self._cores + before
        return slice(start, start + count)


def _decode_core(stream: Bytes, bits: int, code: Code, share: _Share) -> NDArray[np.uint8]:
    """The coded weights of a core."""
    count, pairs = share.bytes, share.pairs
    steps = pairs + FLUSH_PAIRS
    windows = _windows(stream)
    starts, done, end = _steps(windows, code, bits, steps)
    window = windows[starts >> 3] >> (starts & 7).astype(np.uint32)
    values = _read_pairs(window, code)
    if len(values) >= COUNT_BYTES:
        found = int(values[0]) | int(values[1]) << 8
        if found != share.kernels:
            raise Fault(
                f"holds {found} kernels by its first two bytes; of the output channels it "
                f"has to hold {share.kernels}"
            )
    if done < steps:
        raise Fault(
            f"its code runs past the end at bit {bits}, after {len(values)} of {count} bytes"
        )
    if end != bits:
        raise Fault(f"its code ends at bit {end}; the header says {bits} bits")
    flush = FLUSH_ODD if count % 2 else FLUSH_EVEN
    padding = values[count:]
    if padding.any() or np.any(window[pairs:] & PAIR_FIRST != (flush | flush << FIRST_BITS)):
        raise Fault(
            f"the pairs behind its last byte, from bit {starts[pairs]} on, are not what "
            "ends a stream"
        )
    return values[COUNT_BYTES:count]


def _windows(stream: Bytes) -> NDArray[np.uint32]:
    """For each byte of a stream the word that starts with it."""
    padded = np.concatenate([stream, np.zeros(WINDOW_BYTES - 1, np.uint8)]).astype(np.uint32)
    windows = padded[: len(stream)].copy()
    for i in range(1, WINDOW_BYTES):
        windows |= padded[i : i + len(stream)] << np.uint32(8 * i)
    return windows


def _steps(
    windows: NDArray[np.uint32], code: Code, bits: int, steps: int
) -> tuple[Integers, int, int]:
    """Start bits of the steps that begin inside the stream, their number, and where they end."""
    fast = compiled(_find_steps) if steps >= WORTH_COMPILING else None
    if fast is not None:
        starts = np.empty(steps, np.int64)
        found_fast = attempt(fast, windows, code.step_bits, code.rest_bits, bits, starts)
        if found_fast is not None:
            done, end = found_fast
            return starts[:done], done, end
    found = [0] * steps  # plain Python is faster with lists
    done, end = _find_steps(
        windows.tolist(), code.step_bits.tolist(), code.rest_bits.tolist(), bits, found
    )
    return np.array(found[:done], np.int64), done, end


def _find_steps(
    windows: Sequence[int] | NDArray[np.uint32],
    step_bits: Indices,
    rest_bits: Indices,
    bits: int,
    starts: Indices,
) -> tuple[int, int]:
    """Fill ``starts``; returns how many steps fit in ``bits`` and where the last of them ends."""
    starts[0] = 0
    firsts = windows[0] & PAIR_FIRST
    at = PAIR_FIRST_BITS
    rest = 0  # bits of the variable parts that the step at hand ends with
    for step in range(1, len(starts)):
        after = at + step_bits[firsts] + rest
        if after > bits:
            return step, at
        starts[step] = at
        window = windows[at >> 3] >> (at & 7)
        rest = rest_bits[firsts | window & PAIR_SECOND]
        firsts = window & PAIR_FIRST
        at = after
    return len(starts), at


def _read_pairs(window: NDArray[np.uint32], code: Code) -> NDArray[np.uint8]:
    """The bytes of all pairs but the last two, whose other parts were not sent."""
    now, following, last = window[:-2], window[1:-1], window[2:]
    control = now & PAIR_FIRST | following & PAIR_SECOND
    rest = last >> code.step_bits.astype(np.uint32)[following & PAIR_FIRST]
    values = np.empty((len(control), 2), np.uint8)
    values[:, 0] = code.values[code.starts[0][control] | rest & code.masks[0][control]]
    rest >>= code.rest_shift[control]
    values[:, 1] = code.values[code.starts[1][control] | rest & code.masks[1][control]]
    return values.reshape(-1)


def _coefficients(
    shape: KernelShape, coded: NDArray[np.uint8], bias: Integers, tokens: int
) -> Coefficients:
    """Coded bytes [output channel][weight] -> weights less the zero point; plane k for kernel k."""
    byte = np.arange(256)
    # The code holds the difference modulo 256; the weight itself tells the full one.
    difference = (byte + shape.zero_point) % 256 - shape.zero_point
    planes = np.arange(shape.output_channels)
    nonzero = int(np.count_nonzero(coded))
    if not shape.depthwise and nonzero * SPARSE_SHARE > coded.size > SMALL_WEIGHTS:
        dense = difference.astype(np.float32)[coded]
        return Coefficients(shape, bias, planes, None, dense, tokens, nonzero)
    kernel, weight = np.nonzero(coded)
    value = difference[coded[kernel, weight]]
    if shape.depthwise:
        weight = weight + kernel * shape.taps  # kernel k reads channel k
    return Coefficients(shape, bias, planes, (kernel, weight, value), None, tokens, nonzero)
