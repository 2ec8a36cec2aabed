"""Decoder of V7 coefficient buffers: header, core streams, tokens -> kernels with bias and plane.

A buffer starts with one 32-bit size for each core that has a stream. A stream is a bit sequence,
least significant bit first: run width, kernel count K, then weight tokens with two 32-bit items a
kernel between them, the bias behind its first weight and the offset of its output plane behind its
last. The order of the weights follows from the instruction's kernel sizes alone; so does the place
of every item among the weights. ``Order`` says both, ``_PlainReader`` and ``_RunReader`` unpack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.emulator.kernels import (
    SMALL_WEIGHTS,
    SPARSE_SHARE,
    Coefficients,
    Counts,
    Integers,
    KernelShape,
    Streams,
    demand_few,
)
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Fault, Refused
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v7 import (
    CHANNELS_PER_BLOCK,
    COLUMNS_PER_PATCH,
    ITEM_BITS,
    KERNEL_COUNT_BITS,
    ROWS_PER_PATCH,
    STREAM_ALIGNMENT,
    WEIGHT_BITS,
    ZERO_RUN_WIDTH_BITS,
)
from lapilli.program.program import Bytes

HEAD_BITS = ZERO_RUN_WIDTH_BITS + KERNEL_COUNT_BITS
HEADER_ENTRY_BYTES = 4
ITEM_BYTES = ITEM_BITS // 8
MOST_KERNELS = 1 << 14
"""Kernels of an instruction: as many as its field for output channels counts. More have no use, and
would only take time."""
SLACK_BITS = 8 << 16
"""Filling behind a stream's last kernel that is read all the same."""
WIDEST_RUN = 16
"""Wider runs can't be told from damage: 65535 weights a token are more than any core holds."""


def find_streams(memory: ListedMemory, address: int, chip: Chip) -> Streams:
    """The used part of the buffer at ``address``; raises Fault if the header makes no sense."""
    header_bytes = -(-chip.nn_cores * HEADER_ENTRY_BYTES // STREAM_ALIGNMENT) * STREAM_ALIGNMENT
    header = memory.bytes("coefficient header (kernel_address)", address, header_bytes)
    sizes = header.view("<u4").tolist()
    used = next((i for i, size in enumerate(sizes) if size == 0), len(sizes))
    if not 1 <= used <= chip.nn_cores or any(sizes[used:]):
        raise Fault(
            f"coefficient header at {address:#x} holds the stream sizes {sizes}; expected "
            f"1 to {chip.nn_cores} sizes and zeros behind them"
        )
    ends = header_bytes + np.cumsum(sizes[:used], dtype=np.int64)
    for core, size in enumerate(sizes[:used]):
        if size % STREAM_ALIGNMENT:
            raise Fault(
                f"coefficient header at {address:#x}: the stream of core {core} has {size} "
                f"bytes; allowed are multiples of {STREAM_ALIGNMENT}"
            )
    data = memory.bytes("coefficient streams", address, int(ends[-1]))
    cores = zip((ends - sizes[:used]).tolist(), ends.tolist(), strict=True)
    return Streams(data, tuple(cores))


def decode(streams: Streams, shape: KernelShape, chip: Chip) -> Coefficients:
    """All kernels of a coefficient buffer; raises Fault naming the core that is damaged."""
    cores = []
    room = MOST_KERNELS
    for core, (start, end) in enumerate(streams.cores):
        try:
            cores.append(_decode_core(streams.data[start:end], shape, chip, room))
            room -= cores[-1].kernels
        except Fault as fault:
            raise type(fault)(f"coefficient stream of core {core}: {fault}") from None
    return _combine(cores, shape)


@dataclass(frozen=True)
class _Core:
    """One decoded stream; ``listed`` as in Coefficients, or ``weights`` [kernel][weight]."""

    items: Integers
    weights: NDArray[np.uint8] | None
    listed: tuple[Integers, Integers] | None
    kernels: int
    tokens: int


def _combine(cores: list[_Core], shape: KernelShape) -> Coefficients:
    items = np.concatenate([core.items for core in cores])
    bias, plane = items[:, 0], items[:, 1]
    order = np.argsort(plane, kind="stable")
    bias = np.where(bias >= 1 << (ITEM_BITS - 1), bias - (1 << ITEM_BITS), bias)
    listed, dense = None, None
    if all(core.listed is not None for core in cores):
        listed = _listed(cores, order, shape)
        each = np.bincount(listed[0], minlength=len(order))
    else:
        dense = np.concatenate([_dense(core, shape) for core in cores])[order]
        each = np.count_nonzero(dense, axis=1)
    counts = Counts(
        tokens=tuple(core.tokens for core in cores),
        nonzero=_by_core(cores, order, each),
        most_kernels=max(core.kernels for core in cores),
        kernel_nonzero=each,
        plane_offset=plane[order],
    )
    tokens, nonzero = sum(counts.tokens), sum(counts.nonzero)
    return Coefficients(
        shape, bias[order], counts.plane_offset, listed, dense, tokens, nonzero, counts
    )


def _listed(
    cores: list[_Core], order: Integers, shape: KernelShape
) -> tuple[Integers, Integers, Integers]:
    """The cores' lists as one, by kernel in ``order``."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    firsts = np.cumsum([0] + [core.kernels for core in cores[:-1]])
    lists = [core.listed for core in cores if core.listed is not None]
    flat = np.concatenate(
        [first * shape.weights + each[0] for first, each in zip(firsts, lists, strict=True)]
    )
    value = np.concatenate([each[1] for each in lists])
    kernel, weight = rank[flat // shape.weights], flat % shape.weights
    by = np.argsort(kernel, kind="stable")
    return kernel[by], weight[by], value[by]


def _by_core(cores: list[_Core], order: Integers, each: Integers) -> tuple[int, ...]:
    """Sums over each core's kernels of a number that is sorted by ``order``."""
    unsorted = np.empty_like(each)
    unsorted[order] = each
    ends = np.cumsum([core.kernels for core in cores])
    return tuple(int(part.sum()) for part in np.split(unsorted, ends[:-1]))


def _dense(core: _Core, shape: KernelShape) -> NDArray[np.float32]:
    if core.weights is not None:
        return np.subtract(core.weights, np.float32(shape.zero_point), dtype=np.float32)
    assert core.listed is not None
    dense = np.zeros(core.kernels * shape.weights, np.float32)
    dense[core.listed[0]] = core.listed[1]
    return dense.reshape(core.kernels, shape.weights)


def _decode_core(stream: Bytes, shape: KernelShape, chip: Chip, most: int) -> _Core:
    bits = 8 * len(stream)
    head = int.from_bytes(stream[: HEAD_BITS // 8].tobytes(), "little")
    run_bits, kernels = head & ((1 << ZERO_RUN_WIDTH_BITS) - 1), head >> ZERO_RUN_WIDTH_BITS
    if run_bits > min(chip.zero_run_bits, WIDEST_RUN):
        raise Fault(
            f"zero runs are {run_bits} bits wide; the chip reads at most {chip.zero_run_bits}"
        )
    if kernels == 0:
        raise Fault("holds no kernel")
    token_bits = run_bits + WEIGHT_BITS
    room = bits - HEAD_BITS - 2 * ITEM_BITS * kernels
    if kernels * shape.weights > max(room, 0) // token_bits << run_bits:
        raise Fault(
            f"{kernels} kernels of {shape.channels}x{shape.rows}x{shape.columns} weights "
            f"can't be in {len(stream)} bytes with {run_bits} bits of zero run"
        )
    if kernels > most:
        raise Fault(f"holds {kernels} kernels; all cores together can have {MOST_KERNELS}")
    demand_few(MOST_KERNELS - most + kernels, shape)
    longest = HEAD_BITS + 2 * ITEM_BITS * kernels + kernels * shape.weights * token_bits
    if bits > longest + SLACK_BITS:
        raise Refused(f"has {len(stream)} bytes; its {kernels} kernels take {longest >> 3} at most")
    reader = _PlainReader(stream) if run_bits == 0 else _RunReader(stream, run_bits, shape)
    weights = np.empty((kernels, shape.weights), np.uint8)
    items = np.empty((kernels, 2), np.int64)
    for first in range(0, kernels, shape.kernels_per_core):
        count = min(shape.kernels_per_core, kernels - first)
        order = Order(shape, count)
        values, found = reader.read(order)
        items[first : first + count] = found
        weights[first : first + count] = order.by_kernel(values)
    at = np.flatnonzero(weights.reshape(-1) != shape.zero_point)
    if len(at) * SPARSE_SHARE > weights.size > SMALL_WEIGHTS:
        return _Core(items, weights, None, kernels, reader.tokens)
    value = weights.reshape(-1)[at].astype(np.int64) - shape.zero_point
    return _Core(items, None, (at, value), kernels, reader.tokens)


class Order:
    """In what order the ``count`` kernels of one superblock stand in a stream.

    1x1 kernels: groups of six channels, kernel by kernel inside a group. Others: channel by
    channel, kernel by kernel inside a channel, patch by patch inside a kernel's plane.
    """

    def __init__(self, shape: KernelShape, count: int) -> None:
        self._shape = shape
        self.count = count
        self.total = count * shape.weights
        step = min(shape.channels, CHANNELS_PER_BLOCK) if shape.taps == 1 else shape.taps
        last = (shape.channels - 1) % CHANNELS_PER_BLOCK + 1 if shape.taps == 1 else shape.taps
        kernel = np.arange(count)
        first_weight = kernel * step
        last_weight = self.total - count * last + (kernel + 1) * last - 1
        after = np.concatenate([first_weight, last_weight])
        self._sorting = np.argsort(after, kind="stable")
        self.items_after: Integers = after[self._sorting]

    def sort_items(self, found: Integers) -> Integers:
        """Items in stream order -> [kernel][bias, plane offset]."""
        items = np.empty_like(found)
        items[self._sorting] = found
        return items.reshape(2, self.count).T

    def by_kernel(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Weights in stream order -> [kernel][channel, row, column]."""
        shape = self._shape
        if shape.taps > 1:
            planes = values.reshape(shape.channels, self.count, shape.taps)
            kernels = planes[:, :, np.argsort(patch_order(shape.rows, shape.columns))]
            return kernels.transpose(1, 0, 2).reshape(self.count, shape.weights)
        whole = shape.channels // CHANNELS_PER_BLOCK * CHANNELS_PER_BLOCK
        blocks = values[: whole * self.count].reshape(-1, self.count, CHANNELS_PER_BLOCK)
        head = blocks.transpose(1, 0, 2).reshape(self.count, whole)
        tail = values[whole * self.count :].reshape(self.count, shape.channels - whole)
        return np.concatenate([head, tail], axis=1)


def patch_order(rows: int, columns: int) -> list[int]:
    """Row-major indices of a kernel plane's weights in the order of the stream."""
    order = []
    for top in range(0, rows, ROWS_PER_PATCH):
        pair = range(top, min(top + ROWS_PER_PATCH, rows))
        near = range(min(columns, COLUMNS_PER_PATCH))
        far = range(COLUMNS_PER_PATCH, columns)
        order += [y * columns + x for part in (near, far) for y in pair for x in part]
    return order


class _PlainReader:
    """Streams without runs: every weight and item starts at a byte known beforehand."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._at = HEAD_BITS // 8
        self.tokens = 0

    def read(self, order: Order) -> tuple[NDArray[np.uint8], Integers]:
        """The weights of a superblock in stream order, and its items."""
        count = len(order.items_after)
        size = order.total + ITEM_BYTES * count
        if self._at + size > len(self._stream):
            raise Fault(f"ends at byte {len(self._stream)}, the kernels end at {self._at + size}")
        block = self._stream[self._at : self._at + size]
        where = order.items_after + 1 + ITEM_BYTES * np.arange(count)
        item_bytes = where[:, None] + np.arange(ITEM_BYTES)
        items = np.ascontiguousarray(block[item_bytes]).view("<u4")[:, 0].astype(np.int64)
        is_weight = np.ones(size, np.bool_)
        is_weight[item_bytes] = False
        self._at += size
        self.tokens += order.total
        return block[is_weight], order.sort_items(items)


class _RunReader:
    """Streams with runs: a token is ``run`` zero points and a value; tokens end before an item."""

    def __init__(self, stream: Bytes, run_bits: int, shape: KernelShape) -> None:
        padded = np.zeros(len(stream) // 4 + 2, np.uint64)
        padded[: len(stream) // 4] = stream.view("<u4")
        self._words = padded[:-1] | padded[1:] << np.uint64(32)
        self._bits = 8 * len(stream)
        self._at = HEAD_BITS
        self._run_bits = run_bits
        self._zero_point = shape.zero_point
        self.tokens = 0

    def read(self, order: Order) -> tuple[NDArray[np.uint8], Integers]:
        """The weights of a superblock in stream order, and its items."""
        values = np.full(order.total, self._zero_point, np.uint8)
        items = np.empty(len(order.items_after), np.int64)
        done = 0
        for i, after in enumerate(order.items_after.tolist()):
            if after + 1 > done:
                self._segment(values[done : after + 1])
                done = after + 1
            items[i] = self._item()
        return values, order.sort_items(items)

    def _item(self) -> int:
        if self._at + ITEM_BITS > self._bits:
            raise Fault(f"ends at bit {self._bits}, inside the item at bit {self._at}")
        at = self._at
        self._at += ITEM_BITS
        return int(self._words[at >> 5]) >> (at & 31) & ((1 << ITEM_BITS) - 1)

    def _segment(self, values: NDArray[np.uint8]) -> None:
        """Fill ``values``, the weights up to the next item, from as many tokens as that takes."""
        done, chunk = 0, 64
        while done < len(values):
            runs, found = self._tokens(min(chunk, len(values) - done))
            ends = done + np.cumsum(runs + 1)
            taken = int(np.searchsorted(ends, len(values), side="right"))
            if taken < len(ends) and (taken == 0 or ends[taken - 1] < len(values)):
                raise Fault(
                    f"the zero run of {runs[taken]} before bit "
                    f"{self._at + (taken + 1) * (self._run_bits + WEIGHT_BITS)} goes on "
                    "behind the place of an item"
                )
            values[ends[:taken] - 1] = found[:taken]
            self._at += taken * (self._run_bits + WEIGHT_BITS)
            self.tokens += taken
            done = int(ends[taken - 1])
            chunk *= 4

    def _tokens(self, count: int) -> tuple[Integers, NDArray[np.uint8]]:
        """Runs and values of the next ``count`` tokens, or of as many as there are."""
        width = self._run_bits + WEIGHT_BITS
        count = min(count, (self._bits - self._at) // width)
        if count == 0:
            raise Fault(f"ends at bit {self._bits}, in the middle of the weights")
        at = self._at + width * np.arange(count)
        token = self._words[at >> 5] >> (at & 31).astype(np.uint64)
        runs = (token & np.uint64((1 << self._run_bits) - 1)).astype(np.int64)
        return runs, (token >> np.uint64(self._run_bits)).astype(np.uint8)
