"""Coefficient buffers of V7 written and read one weight at a time.

Both directions were written from the hardware notes (coefficients_v7.md) alone and share nothing
with ``lapilli``: what the vectorised encoder and the emulator's decoder are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Shape:
    """Input channels, rows and columns of a kernel."""

    channels: int
    rows: int
    columns: int

    @property
    def weights(self) -> int:
        """Weights of a kernel."""
        return self.channels * self.rows * self.columns


@dataclass(frozen=True)
class Kernel:
    """One kernel: ``weights`` as [channel][row][column], flat; ``bias`` modulo 2**32; ``tail`` the
    byte offset of its output plane."""

    weights: tuple[int, ...]
    bias: int
    tail: int


def tap_places(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """(row, column) of a kernel's taps in stream order: row pairs, the first three columns of both
    rows before the others."""
    for pair in range((rows + 1) // 2):
        both = [row for row in (2 * pair, 2 * pair + 1) if row < rows]
        split = columns if columns <= 3 else 3
        for row in both:
            for column in range(split):
                yield row, column
        for row in both:
            for column in range(split, columns):
                yield row, column


def visits(shape: Shape, kernels: int, six: bool) -> Iterator[tuple[int, int, bool]]:
    """(kernel, index of the weight, end of a plane) of one superblock in stream order; ``six``: 1x1
    kernels in groups of six channels."""
    if six:
        for first in range(0, shape.channels, 6):
            for kernel in range(kernels):
                for channel in range(first, min(first + 6, shape.channels)):
                    yield kernel, channel, False
        return
    taps = list(tap_places(shape.rows, shape.columns))
    for channel in range(shape.channels):
        for kernel in range(kernels):
            for number, (row, column) in enumerate(taps):
                index = (channel * shape.rows + row) * shape.columns + column
                last = kernel == kernels - 1 and number == len(taps) - 1
                yield kernel, index, last


# ---------------------------------------------------------------------------------------- decoding


class BitReader:
    """Least significant bit first; a zero run may be pending."""

    def __init__(self, data: bytes, zero_point: int) -> None:
        self.data, self.zero_point, self.at = data, zero_point, 0
        self.run_bits, self.zeros, self.value = 0, 0, -1

    def take(self, bits: int) -> int:
        """The next ``bits`` bits."""
        start = self.at >> 3
        assert self.at + bits <= 8 * len(self.data), "the stream ends in the middle"
        word = int.from_bytes(self.data[start : start + 6], "little")
        value = word >> (self.at & 7) & ((1 << bits) - 1)
        self.at += bits
        return value

    def weight(self) -> int:
        """The next weight: first the zeros of its token, then its value."""
        if self.value < 0:
            self.zeros = self.take(self.run_bits) if self.run_bits else 0
            self.value = self.take(8)
        if self.zeros:
            self.zeros -= 1
            return self.zero_point
        value, self.value = self.value, -1
        return value

    def item(self) -> int:
        """A 32-bit item, in front of which no run may be pending."""
        assert self.value < 0, f"a zero run goes over the item at bit {self.at}"
        return self.take(32)


@dataclass(frozen=True)
class Stream:
    """A decoded core stream: ``bits`` were read of it."""

    run_bits: int
    kernels: tuple[Kernel, ...]
    bits: int


def superblocks(total: int, size: int) -> list[int]:
    """Kernels in each superblock: ``size``, and in the last what is left."""
    return [min(size, total - start) for start in range(0, total, size)]


def decode_stream(
    data: bytes, shape: Shape, per_superblock: int, zero_point: int, six: bool | None = None
) -> Stream:
    """The kernels of one core in stream order; ``six`` overrides how the unit would read them."""
    reader = BitReader(data, zero_point)
    run_bits, total = reader.take(8), reader.take(16)
    reader.run_bits = run_bits
    kernels: list[Kernel] = []
    for count in superblocks(total, per_superblock):
        weights = [[-1] * shape.weights for _ in range(count)]
        read, bias, tail = [0] * count, [0] * count, [0] * count
        in_groups = shape.rows == shape.columns == 1 and total > 1 if six is None else six
        for kernel, index, _ in visits(shape, count, in_groups):
            weights[kernel][index] = reader.weight()
            read[kernel] += 1
            if read[kernel] == 1:
                bias[kernel] = reader.item()
            if read[kernel] == shape.weights:
                tail[kernel] = reader.item()
        kernels += [Kernel(tuple(weights[k]), bias[k], tail[k]) for k in range(count)]
    assert reader.value < 0, "a zero run goes over the end"
    return Stream(run_bits, tuple(kernels), reader.at)


def split_cores(data: bytes, nn_cores: int) -> list[bytes]:
    """The core streams of a buffer that starts with its header and ends with the last stream."""
    header = -(-4 * nn_cores // 64) * 64
    entries = [int.from_bytes(data[at : at + 4], "little") for at in range(0, header, 4)]
    sizes = [size for size in entries if size]
    assert entries == sizes + [0] * (len(entries) - len(sizes)), f"header {entries}"
    assert all(size % 64 == 0 for size in sizes), f"header {entries}"
    assert header + sum(sizes) == len(data), f"header {entries}, {len(data)} bytes"
    starts = [header + sum(sizes[:core]) for core in range(len(sizes))]
    return [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]


# ---------------------------------------------------------------------------------------- encoding


class BitWriter:
    """Least significant bit first, with the zero-run tokens of section 5."""

    def __init__(self, run_bits: int, zero_point: int) -> None:
        self.run_bits, self.zero_point, self.run = run_bits, zero_point, 0
        self.pieces: list[tuple[int, int]] = []

    def put(self, value: int, bits: int) -> None:
        """Append ``bits`` bits."""
        self.pieces.append((value & ((1 << bits) - 1), bits))

    def weight(self, value: int) -> None:
        """Append a weight, or count it."""
        if self.run_bits == 0:
            self.put(value, 8)
        elif self.run == (1 << self.run_bits) - 1 or value != self.zero_point:
            self.put(self.run, self.run_bits)
            self.put(value, 8)
            self.run = 0
        else:
            self.run += 1

    def flush(self) -> None:
        """End a pending run."""
        if self.run > 0:
            self.put(self.run - 1, self.run_bits)
            self.put(self.zero_point, 8)
            self.run = 0

    def item(self, value: int) -> None:
        """Append a 32-bit item."""
        self.flush()
        self.put(value, 32)

    def data(self) -> bytes:
        """What was written, in whole 32-bit words."""
        self.flush()
        total = at = 0
        chunks = []
        for value, bits in self.pieces:
            total |= value << at
            at += bits
            whole = at // 32 * 4
            if whole:
                chunks.append((total & ((1 << 8 * whole) - 1)).to_bytes(whole, "little"))
                total >>= 8 * whole
                at -= 8 * whole
        if at:
            chunks.append(total.to_bytes(4, "little"))
        return b"".join(chunks)


@dataclass(frozen=True)
class Source:
    """What a buffer is made from. ``kernel(k)`` for every k that a core gets, also those beyond the
    last output channel."""

    shape: Shape
    output_channels: int
    zero_point: int
    kernel: Callable[[int], Kernel]

    @property
    def pointwise(self) -> bool:
        """Kernels of one tap."""
        return self.shape.rows == self.shape.columns == 1


def channels_of(source: Source, nn_cores: int, core: int, superblock_count: int) -> list[list[int]]:
    """k = c*N_b + j + b*F*used, for each superblock of a core."""
    used = min(source.output_channels, nn_cores)
    per_core = -(-source.output_channels // used)
    size = -(-per_core // superblock_count)
    found = []
    for block in range(superblock_count):
        count = size if block < superblock_count - 1 else per_core - size * (superblock_count - 1)
        found.append([core * count + j + block * size * used for j in range(count)])
    return found


def encode_stream(source: Source, blocks: list[list[int]], run_bits: int, six: bool) -> bytes:
    """One core's stream."""
    writer = BitWriter(run_bits, source.zero_point)
    writer.put(run_bits, 8)
    writer.put(sum(map(len, blocks)), 16)
    for number, channels in enumerate(blocks):
        kernels = [source.kernel(k) for k in channels]
        written = [0] * len(kernels)
        for j, index, end_of_plane in visits(source.shape, len(kernels), six):
            kernel = kernels[j]
            writer.weight(kernel.weights[index])
            written[j] += 1
            if written[j] == 1:
                writer.item(kernel.bias)
            if written[j] == source.shape.weights:
                writer.item(kernel.tail)
            if end_of_plane and number == len(blocks) - 1:
                writer.flush()
    return writer.data()


def encode(source: Source, nn_cores: int, superblock_count: int, widest: int) -> bytes:
    """The buffer: header and core streams, with the run width of section 5."""
    used = min(source.output_channels, nn_cores)
    six = source.pointwise and source.output_channels > nn_cores
    blocks = [channels_of(source, nn_cores, core, superblock_count) for core in range(used)]

    def streams(run_bits: int) -> list[bytes]:
        return [encode_stream(source, block, run_bits, six) for block in blocks]

    best: list[bytes] = []
    for run_bits in range(0 if source.pointwise else widest, -1, -1):
        tried = streams(run_bits)
        if best and sum(map(len, tried)) > sum(map(len, best)):
            break
        best = tried
    padded = [stream + bytes(-len(stream) % 64) for stream in best]
    header = b"".join(len(stream).to_bytes(4, "little") for stream in padded)
    return header + bytes(-(-4 * nn_cores // 64) * 64 - len(header)) + b"".join(padded)
