"""The TP unit: reads one instruction, checks it, and moves the bytes, through a table if so told.

Everything but addresses and the table's content is worked out once for an instruction's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.emulator.cache import BoundedCache
from lapilli.emulator.checks import decode_fields, demand
from lapilli.emulator.counters import InstructionCounters
from lapilli.emulator.memory import ListedMemory
from lapilli.emulator.tables import LARGEST_BYTE, TABLE, bytes_through
from lapilli.emulator.tp_order import Loops, Order, Window, order_of
from lapilli.errors import Refused
from lapilli.hw.tables import ALIGNMENT, TABLE_BYTES
from lapilli.hw.tp import TABLE_FLAGS, TP, WORDS
from lapilli.program.program import Bytes

FREE_FIELDS = frozenset(
    {
        "in_image_x_size",
        "in_image_y_size",
        "in_image_z_size",
        "in_image_stride",
        "in_image_slice",
        "in_window_x_start",
        "in_window_y_start",
        "in_window_x_end",
        "in_window_y_end",
        "in_tile_x_size",
        "in_tile_y_size",
        "in_tile_x_inc",
        "in_tile_y_inc",
        "in_image_base_address",
        "out_loop_1_reset",
        "out_loop_2_reset",
        "out_loop_3_reset",
        "in_window_z_start_overfetch",
        "in_window_z_end_overfetch",
        "no_flush",
        "out_image_base_address",
        "alu_reorder_bits_used",
        *(f"out_loop_{k}_inc" for k in range(7)),
        *(f"out_loop_{k}_count" for k in range(6)),
        "in_image_border_const",
        "in_zp",
        "out_zp",
        *TABLE_FLAGS,
        "alu_load_pwl_lut_address",
        "alu_output_postshift",
        "alu_output_post_multiplier",
    }
)
"""What may differ from the default. ``alu_reorder_bits_used`` changes nothing that is known."""
ADDRESSES = ("in_image_base_address", "out_image_base_address", "alu_load_pwl_lut_address")
MAXIMUM_ELEMENTS = 1 << 26
"""Of an instruction: a byte of memory each."""
MAXIMUM_PLANE = 1 << 23
"""Elements of a plane: some 60 bytes of memory each."""
KEPT_ELEMENTS = 1 << 20
"""Up to so many an instruction's order is kept; of more, so many are worked out at a time."""
TABLE_SHARE = 64
"""A device's memory for what becomes of bytes is this fraction of that for orders of elements."""


@dataclass(frozen=True)
class Block:
    """Some elements in reading order: which byte goes where. ``read`` and ``write`` are relative to
    the first byte the move reads and writes; ``border`` are those outside the image."""

    read: NDArray[np.intp]
    write: NDArray[np.intp]
    border: NDArray[np.intp]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.read.nbytes + self.write.nbytes + self.border.nbytes


@dataclass(frozen=True)
class Move:
    """An instruction made ready. Its order is kept if it is small, else worked out for some planes
    at a time whenever it runs: memory goes with a plane, not with all of them.

    ``through_table``: the fields that say how a table is applied, None without one; then
    ``shifted`` maps every byte to what is stored, None if the same.
    """

    elements: int
    outside: int
    first_read: int
    first_write: int
    border_byte: int
    through_table: Mapping[str, int] | None
    shifted: Bytes | None
    read_size: int
    write_size: int
    whole: Block | None
    order: Order | None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        order = self.order
        arrays = () if order is None else (order.inner, order.offset, order.position)
        return (self.whole.nbytes if self.whole else 0) + sum(a.nbytes for a in arrays)

    def blocks(self) -> Iterator[Block]:
        """All elements in reading order."""
        if self.whole is not None:
            yield self.whole
        elif self.order is not None:
            for read, write in _in_blocks(self.order):
                yield _block(read, write, self.first_read, self.first_write)


class TPUnit:
    """Runs TP instructions; keeps the order of elements, and what tables do, for the next time."""

    def __init__(self, cache_bytes: int) -> None:
        self._moves: BoundedCache[Move] = BoundedCache(cache_bytes)
        self._tables: BoundedCache[Bytes] = BoundedCache(cache_bytes // TABLE_SHARE)

    def run(self, memory: ListedMemory, address: int) -> InstructionCounters:
        """Do the instruction at ``address``; raises Fault naming the field that is impossible."""
        words: list[int] = memory.bytes("TP instruction", address, 4 * WORDS).view("<u4").tolist()
        source, target, table = (TP.fields[name].get(words) for name in ADDRESSES)
        room = memory.buffer("output image (out_image_base_address)", target).size
        move = self._moves.get((room, *_without_addresses(words)), lambda: _plan(words, room))
        first_write = target + move.first_write
        becomes = move.shifted
        if move.through_table is not None:
            becomes = self._through_table(memory, table, move.through_table)
        if move.elements:
            into = memory.bytes(
                "output image (out_image_base_address and loops)", first_write, move.write_size
            )
            # All is read before anything is written: the two may share bytes.
            values = _read(memory, source, move)
            if becomes is not None:
                values = becomes[values]
            at = 0
            for block in move.blocks():
                part = values[at : at + len(block.write)]
                part[block.border] = move.border_byte
                into[block.write] = part
                at += len(block.write)
        return InstructionCounters(
            unit="TP",
            address=address,
            instruction_bytes=4 * WORDS,
            input_bytes=move.elements - move.outside,
            output_bytes=move.elements,
            elements=move.elements,
            table_bytes=0 if move.through_table is None else TABLE_BYTES,
            reads_own_output=_shares_bytes(move, source + move.first_read, first_write),
        )

    def _through_table(
        self, memory: ListedMemory, address: int, fields: Mapping[str, int]
    ) -> Bytes:
        """What the table at ``address`` makes of every byte."""
        if address % ALIGNMENT:
            raise Refused(
                f"alu_load_pwl_lut_address = {address:#x}; recorded tables lie at multiples of "
                f"{ALIGNMENT:#x}"
            )
        table = memory.bytes(TABLE, address, TABLE_BYTES)
        key = (table.tobytes(), *fields.items())
        return self._tables.get(key, lambda: bytes_through(table.view("<u4").tolist(), fields))


def _read(memory: ListedMemory, source: int, move: Move) -> Bytes:
    """The bytes of all elements in reading order; some byte for those outside the image."""
    values: Bytes = np.zeros(move.elements, np.uint8)
    if move.read_size:
        first = source + move.first_read
        data = memory.bytes("input image (in_image_base_address)", first, move.read_size)
        at = 0
        for block in move.blocks():
            values[at : at + len(block.read)] = data[block.read]
            at += len(block.read)
    return values


def _shares_bytes(move: Move, first_read: int, first_write: int) -> bool:
    """Whether a byte that is read is one of those written; two images may lie interleaved. If what
    they have around them in common is very large, they count as sharing."""
    start = max(first_read, first_write)
    end = min(first_read + move.read_size, first_write + move.write_size)
    if start >= end:
        return False
    if end - start > MAXIMUM_ELEMENTS:
        return True
    written = np.zeros(end - start, np.bool_)
    for block in move.blocks():
        at = block.write + (first_write - start)
        written[at[(at >= 0) & (at < len(written))]] = True
    for block in move.blocks():
        at = np.delete(block.read, block.border) + (first_read - start)
        if written[at[(at >= 0) & (at < len(written))]].any():
            return True
    return False


def _without_addresses(words: Sequence[int]) -> tuple[int, ...]:
    kept = list(words)
    for field in TP.address_words().values():
        for piece in field.pieces:
            kept[piece.word] &= ~piece.mask
    return tuple(kept)


def _plan(words: Sequence[int], room: int) -> Move:
    """Check an instruction and lay out its elements; ``room`` is the output buffer's size."""
    fields = decode_fields(TP, words, FREE_FIELDS)
    window = _window(fields)
    total = window.elements
    limit = min(MAXIMUM_ELEMENTS, room)
    if total > limit:
        raise Refused(
            f"window, tiles and planes (in_window_x_end, in_window_y_end, in_tile_x_size, "
            f"in_tile_y_size, in_image_z_size) make {total} elements; at most {limit} are "
            f"written to an output buffer of {room} bytes"
        )
    plane = total // max(window.all_planes, 1)
    if plane > MAXIMUM_PLANE:
        raise Refused(
            f"window and tiles (in_window_x_end, in_window_y_end, in_tile_x_size, in_tile_y_size) "
            f"make {plane} elements a plane; at most {MAXIMUM_PLANE} are emulated"
        )
    through_table = _table_fields(fields, border=total > window.inside)
    order = order_of(window, _loops(fields)) if total else None
    outside, reads, writes = _extents(order)
    small = order is not None and total <= KEPT_ELEMENTS
    whole = None
    if small and order is not None:
        everything = order.read(0, order.planes), order.write(0, order.planes)
        whole = _block(*everything, reads.start, writes.start)
    return Move(
        elements=total,
        outside=outside,
        first_read=reads.start,
        first_write=writes.start,
        border_byte=min(
            demand(TP, fields, "in_image_border_const", 0, LARGEST_BYTE) + fields["out_zp"],
            LARGEST_BYTE,
        ),
        through_table=through_table,
        shifted=_shifted(fields["in_zp"], fields["out_zp"]),
        read_size=len(reads),
        write_size=len(writes),
        whole=whole,
        order=None if small else order,
    )


def _in_blocks(order: Order) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Offsets read and written, of as many planes at a time as stay below ``KEPT_ELEMENTS``."""
    planes = max(1, KEPT_ELEMENTS // len(order.inner))
    for first in range(0, order.planes, planes):
        end = min(first + planes, order.planes)
        yield order.read(first, end), order.write(first, end)


def _extents(order: Order | None) -> tuple[int, range, range]:
    """How many elements lie outside the image, and the ranges of bytes read and written."""
    if order is None:
        return 0, range(0), range(0)
    outside, reads, writes = 0, [], []
    for read, write in _in_blocks(order):
        inside = read[read >= 0]
        outside += len(read) - len(inside)
        if len(inside):
            reads += [int(inside.min()), int(inside.max()) + 1]
        writes += [int(write.min()), int(write.max()) + 1]
    return (
        outside,
        range(min(reads, default=0), max(reads, default=0)),
        range(min(writes), max(writes)),
    )


def _block(
    read: NDArray[np.int64], write: NDArray[np.int64], first_read: int, first_write: int
) -> Block:
    border = np.flatnonzero(read < 0)
    read -= first_read
    read[border] = 0
    write -= first_write
    return Block(read, write, border)


def _table_fields(fields: Mapping[str, int], border: bool) -> Mapping[str, int] | None:
    """The fields that say how a table is applied, None without one. ``border``: there are elements
    outside the image. Raises Refused for what no recording shows."""
    flags = [fields[name] for name in TABLE_FLAGS]
    if not any(flags):
        for name in ("alu_output_postshift", "alu_output_post_multiplier"):
            demand(TP, fields, name, 0, 0, "as no recording has another without a table")
        return None
    if not all(flags):
        found = ", ".join(f"{name} = {fields[name]}" for name in TABLE_FLAGS)
        raise Refused(f"{found}; recordings have all of them set, or none")
    if border:
        raise Refused(
            "alu_pwl_enable = 1 with elements outside the image (in_window_x_end, "
            "in_image_x_size, ...): no recording has both a table and a border"
        )
    names = ("in_zp", "out_zp", "alu_output_postshift", "alu_output_post_multiplier")
    return {name: fields[name] for name in names}


def _shifted(in_zero_point: int, out_zero_point: int) -> Bytes | None:
    if in_zero_point == out_zero_point:
        return None
    moved = np.arange(LARGEST_BYTE + 1) - in_zero_point + out_zero_point
    shifted: Bytes = np.clip(moved, 0, LARGEST_BYTE).astype(np.uint8)
    return shifted


def _window(fields: dict[str, int]) -> Window:
    largest = (1 << 16) - 1
    for name in (
        "in_image_x_size",
        "in_image_y_size",
        "in_tile_x_size",
        "in_tile_y_size",
        "in_tile_x_inc",
        "in_tile_y_inc",
    ):
        demand(TP, fields, name, 1, largest)
    for axis in "xy":
        demand(
            TP,
            fields,
            f"in_window_{axis}_end",
            max(fields[f"in_window_{axis}_start"], 0),
            largest,
            "as the window may not be empty",
        )
    return Window(
        image=(fields["in_image_y_size"], fields["in_image_x_size"]),
        planes=fields["in_image_z_size"],
        stride=fields["in_image_stride"],
        slice=fields["in_image_slice"],
        start=(fields["in_window_y_start"], fields["in_window_x_start"]),
        end=(fields["in_window_y_end"], fields["in_window_x_end"]),
        tile=(fields["in_tile_y_size"], fields["in_tile_x_size"]),
        step=(fields["in_tile_y_inc"], fields["in_tile_x_inc"]),
        planes_before=fields["in_window_z_start_overfetch"],
        planes_behind=fields["in_window_z_end_overfetch"],
    )


def _loops(fields: dict[str, int]) -> Loops:
    return Loops(
        counts=tuple(fields[f"out_loop_{k}_count"] for k in range(6)),
        increments=tuple(_signed(fields[f"out_loop_{k}_inc"]) for k in range(7)),
        resets=tuple(bool(fields[f"out_loop_{k}_reset"]) for k in (1, 2, 3)),
    )


def _signed(value: int) -> int:
    """Addresses wrap at 32 bits, so an increment above 2^31 steps back."""
    return value - (1 << 32) if value >> 31 else value
