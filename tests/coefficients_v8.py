"""Coefficient buffers of V8 written one byte at a time.

And read one bit at a time. Written from the hardware notes (coefficients_v8.md) alone; it shares
nothing with ``lapilli``: what the compiler's writer and the emulator's decoder are compared with.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

NETWORK = (
    "(0,2)(1,3)(4,6)(5,7) (0,4)(1,5)(2,6)(3,7) (0,1)(2,3)(4,5)(6,7) (2,4)(3,5) (1,4)(3,6) "
    "(1,2)(3,4)(5,6)"
)


@dataclass(frozen=True)
class Source:
    """What a buffer is made from: ``weights`` [output channel][input channel][row][column] as
    stored (depthwise: one input channel), a bias for each kernel as it stands in the buffer, NN
    cores of the chip, superblocks asked for. ``symbols``: lengths by symbol, if not by frequency.
    """

    weights: np.ndarray
    bias: np.ndarray
    nn_cores: int = 6
    superblocks: int = 1
    zero_point: int = 0
    depthwise: bool = False
    symbols: tuple[int, ...] | None = None

    @property
    def channels(self) -> int:
        """Output channels."""
        return len(self.weights)

    @property
    def used(self) -> int:
        """Cores with a stream."""
        return min(self.channels, self.nn_cores)

    @property
    def kernels_per_core(self) -> int:
        """Of a superblock: F in the notes."""
        return -(-self.channels // (self.nn_cores * self.superblocks))

    @property
    def blocks(self) -> int:
        """Superblocks that so many kernels a core make."""
        most = -(-self.channels // self.nn_cores)
        return -(-most // self.kernels_per_core)


def histogram_class(byte: int) -> int:
    """Class of a raw byte in the histogram."""
    if byte == 0:
        return 0
    value = byte ^ 0xFF if byte >= 128 else byte
    return max(value.bit_length(), 1)


def symbol_map(raw: np.ndarray) -> tuple[int, ...]:
    """Lengths by symbol: a fixed network sorts the classes by falling frequency."""
    frequency = [0] * 9
    for byte, count in zip(*np.unique(raw, return_counts=True), strict=True):
        frequency[histogram_class(int(byte))] += int(count)
    order = list(range(8))
    for pair in NETWORK.replace(" ", "").strip("()").split(")("):
        a, b = map(int, pair.split(","))
        if frequency[order[a]] < frequency[order[b]]:
            order[a], order[b] = order[b], order[a]
    return tuple(order)


@dataclass(frozen=True)
class Parts:
    """The three fields of a byte, each (value, bits)."""

    first: int
    second: tuple[int, int] | None
    rest: tuple[int, int]


def parts_of(byte: int, symbols: tuple[int, ...]) -> Parts:
    """A byte's fields, row by row of the table in the notes."""
    sign = byte >> 7
    value = byte ^ 0xFF if sign else byte
    length = value.bit_length()
    bits = max(length, 1)
    rest = value - (1 << length >> 1)
    sent = rest << 1 | sign
    symbol = symbols.index(length)
    if symbol in (0, 1):
        return Parts(symbol + 4 * sign, None, (sent >> 1, bits - 1))
    if symbol in (2, 3, 4):
        return Parts({2: 7, 3: 3, 4: 6}[symbol], None, (sent, bits))
    if symbol == 5:
        return Parts(2, (1 + 2 * sign, 2), (sent >> 1, bits - 1))
    return Parts(2, ({6: 2, 7: 0}[symbol], 2), (sent, bits))


def encode_bytes(values: list[int], symbols: tuple[int, ...]) -> list[int]:
    """The bits of a stream."""
    odd = len(values) % 2 == 1
    entries = [parts_of(value, symbols) for value in values + [0] * odd]
    entries += [Parts(4 if odd else 0, None, (0, 0))] * 4
    pairs = [entries[i : i + 2] for i in range(0, len(entries), 2)]
    bits: list[int] = []

    def put(value: int, width: int) -> None:
        bits.extend(value >> i & 1 for i in range(width))

    for number, pair in enumerate(pairs):
        for entry in pair:
            put(entry.first, 3)
        for entry in pairs[number - 1] if number >= 1 else []:
            if entry.second:
                put(*entry.second)
        for entry in pairs[number - 2] if number >= 2 else []:
            put(*entry.rest)
    return bits


def channels_of(source: Source, core: int) -> Iterator[list[int]]:
    """A core's channels, superblock by superblock (section 5)."""
    total, n, used = source.channels, source.nn_cores, source.used
    size = source.kernels_per_core
    for block in range(source.blocks):
        counts = [size] * used
        if block == source.blocks - 1:
            left = total - used * (source.blocks - 1) * size
            counts = [left // used + (c < left % used) for c in range(used)]
        if not source.depthwise:
            first = block * size * used + sum(counts[:core])
            yield list(range(first, first + counts[core]))
            continue
        found = []
        for j in range(counts[core]):
            k = used - core - 1 + used * size * block + j * used
            # What the notes subtract in the last partial round; fewer channels than cores have
            # used < n, and no round is partial.
            if total > n and k >= total - total % n:
                k -= n - total % n
            found.append(k)
        yield found


def core_values(source: Source, core: int) -> list[int]:
    """The bytes that a core's stream codes."""
    _, planes, rows, columns = source.weights.shape
    size = planes * rows * columns
    group = max(rows * columns, 9) if source.depthwise else 9
    kernels = source.weights.reshape(source.channels, size)
    count = source.channels // source.used + (core < source.channels % source.used)
    values = [count & 0xFF, count >> 8]
    for channels in channels_of(source, core):
        for block in range(-(-size // group)):
            for k in channels:
                for i in range(block * group, block * group + group):
                    weight = int(kernels[k, i]) if i < size else source.zero_point
                    values.append((weight - source.zero_point) % 256)
                if group % 9:
                    values += [0] * (9 - group % 9)
    return values


def header_of(symbols: tuple[int, ...], sizes: list[int]) -> bytes:
    """64 bytes."""
    nibbles = sum(length << 4 * i for i, length in enumerate(symbols))
    fixed = bytes([0x10, 0]) + bytes(18) + struct.pack("<IHH", nibbles, 0, 0)
    return (fixed + struct.pack(f"<{len(sizes)}I", *sizes)).ljust(64, b"\0")


def pack(bits: list[int]) -> bytes:
    """Zero-padded to a multiple of 64 bytes."""
    data = np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()
    return data + bytes(-len(data) % 64)


def encode(source: Source) -> bytes:
    """The whole buffer."""
    symbols = source.symbols or symbol_map(source.weights)
    streams = [encode_bytes(core_values(source, core), symbols) for core in range(source.used)]
    biases = (np.asarray(source.bias, np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()
    header = header_of(symbols, [len(bits) for bits in streams])
    return header + b"".join(pack(bits) for bits in streams) + biases


def with_symbols(source: Source, symbols: tuple[int, ...]) -> Source:
    """The same kernels in another code."""
    return replace(source, symbols=symbols)


# ------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class Form:
    """What the instruction and the chip say about a buffer's kernels; ``planes``: input channels
    of a kernel, 1 for depthwise."""

    channels: int
    planes: int
    rows: int
    columns: int
    kernels_per_core: int
    zero_point: int
    depthwise: bool = False
    nn_cores: int = 6

    @property
    def used(self) -> int:
        """Cores with a stream."""
        return min(self.channels, self.nn_cores)

    @property
    def size(self) -> int:
        """Weights of a kernel."""
        return self.planes * self.rows * self.columns

    @property
    def group(self) -> int:
        """Weights that are sent together, and their number with filling."""
        return max(self.rows * self.columns, 9) if self.depthwise else 9

    @property
    def filled(self) -> int:
        """Bytes of a group, a multiple of 9."""
        return -(-self.group // 9) * 9

    @property
    def groups(self) -> int:
        """Of a kernel."""
        return -(-self.size // self.group)

    def kernels_of(self, core: int) -> int:
        """How many kernels a core has."""
        return self.channels // self.used + (core < self.channels % self.used)


@dataclass(frozen=True)
class Read:
    """A buffer taken apart: ``kernels`` output channel -> weights as stored; ``counts``: how many
    kernels each core says it has; ``bits`` of the streams; ``symbols``: lengths by symbol."""

    kernels: dict[int, list[int]]
    biases: tuple[int, ...]
    counts: tuple[int, ...]
    bits: tuple[int, ...]
    symbols: tuple[int, ...]


def decode_bytes(bits: list[int], count: int, symbols: tuple[int, ...]) -> list[int]:
    """The bytes of a stream, which must end where the code does."""
    at = 0

    def take(width: int) -> int:
        nonlocal at
        assert at + width <= len(bits), "the code runs past its end"
        at += width
        return sum(bit << i for i, bit in enumerate(bits[at - width : at]))

    firsts: list[int] = []
    seconds: dict[int, int] = {}
    values: list[int] = []
    pairs = -(-count // 2)
    for step in range(pairs + 2):
        firsts += [take(3), take(3)]
        for i in (2 * step - 2, 2 * step - 1):
            if i >= 0 and firsts[i] == 2:
                seconds[i] = take(2)
        for i in (2 * step - 4, 2 * step - 3):
            if i >= 0:
                values.append(rest_of_byte(firsts[i], seconds.get(i), symbols, take))
    assert at == len(bits), "bits behind the code"
    assert set(firsts[2 * pairs :]) == {4 if count % 2 else 0}
    assert not any(values[count:])
    return values[:count]


def rest_of_byte(
    first: int, second: int | None, symbols: tuple[int, ...], take: Callable[[int], int]
) -> int:
    """A byte from its parts; takes the variable one."""
    sign: int | None = None
    if first in (0, 1, 4, 5):
        symbol, sign = first & 1, first >> 2
    elif first != 2:
        symbol = {7: 2, 3: 3, 6: 4}[first]
    else:
        assert second is not None
        symbol = {1: 5, 3: 5, 2: 6, 0: 7}[second]
        sign = second >> 1 if symbol == 5 else None
    length = symbols[symbol]
    if sign is None:
        sign = take(1)
    magnitude = (1 << length - 1) + take(length - 1) if length else 0
    return magnitude ^ 0xFF if sign else magnitude


def decode(data: bytes, form: Form) -> Read:
    """Take a buffer apart."""
    (nibbles,) = struct.unpack_from("<I", data, 20)
    symbols = tuple(nibbles >> 4 * i & 15 for i in range(8))
    sizes = struct.unpack_from(f"<{form.used}I", data, 28)
    assert data[:20] == bytes([16]) + bytes(19) and not any(data[28 + 4 * form.used : 64])
    streams, at = [], 64
    for core, bits in enumerate(sizes):
        stream = np.frombuffer(data, np.uint8, -(-bits // 512) * 64, at)
        at += stream.size
        every = np.unpackbits(stream, bitorder="little").tolist()
        assert not any(every[bits:]), "bits behind the stream"
        count = 2 + form.kernels_of(core) * form.groups * form.filled
        streams.append(decode_bytes(every[:bits], count, symbols))
    assert at + 4 * form.channels == len(data), "the buffer ends with the biases"
    return Read(
        dict(kernels_in(streams, form)),
        struct.unpack_from(f"<{form.channels}I", data, at),
        tuple(stream[0] | stream[1] << 8 for stream in streams),
        sizes,
        symbols,
    )


def kernels_in(streams: list[list[int]], form: Form) -> Iterator[tuple[int, list[int]]]:
    """(output channel, weights) of every kernel. In a superblock each core has as many kernels as
    fit, or as it has left: runs of channels, or with depthwise every n-th one from the last core
    down."""
    done, following = 0, 0
    while following < form.channels:
        in_superblock = 0
        for core, stream in enumerate(streams):
            count = max(min(form.kernels_per_core, form.kernels_of(core) - done), 0)
            start = 2 + done * form.groups * form.filled
            for j in range(count):
                places = (start + (g * count + j) * form.filled for g in range(form.groups))
                coded = [value for i in places for value in stream[i : i + form.group]]
                assert not any(coded[form.size :]), "filling behind a kernel"
                channel = following + in_superblock + j
                if form.depthwise:
                    first = (done + j) * form.used
                    channel = first + min(form.used, form.channels - first) - 1 - core
                yield channel, [(value + form.zero_point) % 256 for value in coded[: form.size]]
            in_superblock += count
        done += form.kernels_per_core
        following += in_superblock
