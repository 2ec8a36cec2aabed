"""TP jobs: layout changes, space to depth, padding and copies, as instruction fields.

Sizes are in elements (bytes). Sources: TP rules of the hardware notes, checked against recorded
instructions; where the recorded driver is wrong (images that are not square, uneven padding, more
cores than pieces) the rule here is the corrected one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from lapilli.compiler.jobs import ImageSize, TpInstruction

FIELD_MAXIMUM = 0xFFFF
"""Sizes and counts have 16 bits."""
SINGLE_CORE_COLUMNS = (224, 320)
"""RGB images of these widths are reshuffled on one core, as the recorded driver does."""


def fits(value: int) -> bool:
    """Whether a size or count fits its field."""
    return value <= FIELD_MAXIMUM


def loops(*loops: tuple[int, int]) -> dict[str, int]:
    """Fields of (increment, count) from loop 0 on."""
    fields = {}
    for i, (increment, count) in enumerate(loops):
        fields[f"out_loop_{i}_inc"] = increment
        fields[f"out_loop_{i}_count"] = count
    return fields


def image(columns: int, rows: int, planes: int, stride: int, slice_: int) -> dict[str, int]:
    """The image that is read; ``stride`` and ``slice_`` are bytes between rows and planes."""
    return {
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_z_size": planes,
        "in_image_stride": stride,
        "in_image_slice": slice_,
    }


def window(left: int, top: int, right: int, bottom: int) -> dict[str, int]:
    """Window from (left, top) to (right, bottom), both inclusive."""
    return {
        "in_window_x_start": left,
        "in_window_y_start": top,
        "in_window_x_end": right,
        "in_window_y_end": bottom,
    }


def tile(columns: int, rows: int) -> dict[str, int]:
    """Tiles that follow one another without a gap."""
    return {
        "in_tile_x_size": columns,
        "in_tile_y_size": rows,
        "in_tile_x_inc": columns,
        "in_tile_y_inc": rows,
    }


def to_planar(size: ImageSize, zero_point: int, cores: int = 1) -> tuple[TpInstruction, ...]:
    """NHWC to one plane after another, in pieces of some rows."""
    columns, rows, channels = size.columns, size.rows, size.channels
    line = columns * channels
    instructions = []
    for first, count in _shares(rows, cores):
        fields = {
            **image(channels, columns, count, channels, line),
            **window(0, 0, channels - 1, columns - 1),
            **tile(1, columns),
            **loops((1, columns), (rows * columns, channels), (columns, count)),
            "in_tile_x_inc": 1,
            "in_zp": zero_point,
            "out_zp": zero_point,
            "no_flush": int(first + count < rows),
        }
        instructions.append(TpInstruction(first * line, first * columns, fields))
    return tuple(instructions)


def halved(size: ImageSize, top: int = 0, left: int = 0) -> ImageSize:
    """The four parities of rows and columns as planes, with ``top`` rows and ``left`` columns of
    border in front, and one behind where the sum is odd."""
    columns, rows = -(-(left + size.columns) // 2), -(-(top + size.rows) // 2)
    return ImageSize(columns, rows, 4 * size.channels)


def to_parities(
    size: ImageSize, zero_point: int, cores: int = 1, top: int = 0, left: int = 0
) -> tuple[TpInstruction, ...]:
    """NHWC to planes 4z + 2a + b with rows 2y + a - top and columns 2x + b - left of channel z, in
    pieces of some pairs of rows. A row of border (at most one in front, one behind) is a slice
    that is not there: see ``pad``."""
    columns, rows, channels = size.columns, size.rows, size.channels
    half = halved(size, top, left)
    line, plane, odd = columns * channels, half.plane, (top + rows) % 2
    assert top <= 1
    instructions = []
    for first, count in _shares(half.rows, cores):
        before = top if first == 0 else 0
        behind = odd if first + count == half.rows else 0
        slices = 2 * count - before - behind
        pairs = (plane, 2), (1, half.columns), (4 * plane, channels), (2 * plane, 2)
        fields = {
            **image(channels, columns, slices, channels, line),
            **window(0, -left, channels - 1, 2 * half.columns - left - 1),
            **tile(1, 2 * half.columns),
            **loops(*pairs, (half.columns, count)),
            "in_window_z_start_overfetch": before,
            "in_window_z_end_overfetch": behind,
            "in_tile_x_inc": 1,
            "in_zp": zero_point,
            "out_zp": zero_point,
            "no_flush": int(first + count < half.rows),
        }
        start = (2 * first - (top - before)) * line
        instructions.append(TpInstruction(start, first * half.columns, fields))
    return tuple(instructions)


def from_planar(size: ImageSize, zero_point: int, cores: int = 1) -> tuple[TpInstruction, ...]:
    """One plane after another to NHWC, in pieces of some channels."""
    instructions = []
    for first, count in _shares(size.channels, cores):
        fields = _detranspose_fields(size, count)
        fields["in_zp"] = fields["out_zp"] = zero_point
        fields["no_flush"] = int(first + count < size.channels)
        instructions.append(TpInstruction(first * size.plane, first, fields))
    return tuple(instructions)


def _shares(count: int, cores: int) -> Iterator[tuple[int, int]]:
    """First and number of what each of up to ``cores`` cores does, the larger shares first."""
    done = 0
    for core in range(cores):
        share = -(-(count - done) // (cores - core))
        if share:
            yield done, share
        done += share


def _detranspose_fields(size: ImageSize, planes: int) -> dict[str, int]:
    """Fields of one instruction that puts ``planes`` planes in place."""
    columns, rows, channels = size.columns, size.rows, size.channels
    pixels = ((channels, columns), (0, 1), (columns * channels, rows), (1, planes))
    if not fits(columns * channels):
        return {
            **image(columns, rows, planes, columns, columns * rows),
            **window(0, 0, columns - 1, rows - 1),
            **tile(columns, rows),
            **loops(*pixels),
        }
    # The read is linear, so the image is described as rows of any length.
    lines = columns * planes
    return {
        **image(rows, lines, 1, rows, rows * lines),
        **window(0, 0, rows - 1, lines - 1),
        **tile(1, 1),
        **loops(*pixels, (rows * lines, 1)),
    }


def _largest_divisor(value: int) -> int:
    """The largest divisor that fits a field."""
    return next(d for d in range(min(value, FIELD_MAXIMUM), 0, -1) if value % d == 0)


def copy(size: int) -> tuple[TpInstruction, ...]:
    """``size`` bytes to another place."""
    columns = _largest_divisor(size)
    rows = _largest_divisor(size // columns)
    planes = size // columns // rows
    fields = {
        **image(columns, rows, planes, columns, columns * rows),
        **window(0, 0, columns - 1, rows - 1),
        **tile(columns, rows),
        **loops((1, columns), (0, 1), (columns, rows), (columns * rows, planes)),
    }
    return (TpInstruction(0, 0, fields),)


@dataclass(frozen=True)
class SpaceToDepth:
    """Geometry of a reshuffle: plane 4z + 2a + b of the result holds rows 2y + a and columns 2x + b
    of channel z, ``top`` and ``left`` zero points before the first."""

    source: ImageSize
    result: ImageSize
    top: int
    left: int


def space_to_depth(
    geometry: SpaceToDepth, tp_cores: int, zero_point: int
) -> tuple[TpInstruction, ...]:
    """The reshuffle before a convolution with stride 2, split over the TP cores."""
    source, result = geometry.source, geometry.result
    axis = _split_axis(result.columns, result.rows, source.channels)
    pieces = _split(geometry, axis, _reshuffle_cores(source, tp_cores))
    step_in = (1, source.columns, source.plane)[axis]
    step_out = (1, result.columns, 4 * result.plane)[axis]
    instructions = []
    done_in = done_out = 0
    for core, (taken, made) in enumerate(pieces):
        left = geometry.left if axis != 0 or core == 0 else 0
        top = geometry.top if axis != 1 or core == 0 else 0
        extents = [result.columns, result.rows, source.channels]
        read = [source.columns, source.rows, source.channels]
        extents[axis], read[axis] = made, taken
        fields = _reshuffle_fields(source, result, extents, read, left, top)
        fields["in_zp"] = fields["out_zp"] = zero_point
        fields["no_flush"] = int(core < len(pieces) - 1)
        instructions.append(TpInstruction(done_in * step_in, done_out * step_out, fields))
        done_in += taken
        done_out += made
    return tuple(instructions)


def _split(geometry: SpaceToDepth, axis: int, cores: int) -> list[tuple[int, int]]:
    """For each core: elements read and made along ``axis``; no core without any to read."""
    source, result = geometry.source, geometry.result
    rest_out = (result.columns, result.rows, source.channels)[axis]
    rest_in = (source.columns, source.rows, source.channels)[axis]
    before = (geometry.left, geometry.top, 0)[axis]
    pieces = []
    for core in range(cores):
        made = -(-rest_out // (cores - core))
        taken = rest_in
        if core < cores - 1:
            taken = made * (1 if axis == 2 else 2) - (before if core == 0 else 0)
        pieces.append((taken, made))
        rest_in -= taken
        rest_out -= made
    if cores > 1 and any(taken < 1 or made < 1 for taken, made in pieces):
        return _split(geometry, axis, cores - 1)
    return pieces


def _split_axis(columns: int, rows: int, channels: int) -> int:
    """0: columns, 1: rows, 2: channels; the longest, the later one of equals."""
    axis = 1 if rows >= columns else 0
    return 2 if channels >= (columns, rows)[axis] else axis


def _reshuffle_cores(source: ImageSize, tp_cores: int) -> int:
    if source.rows in SINGLE_CORE_COLUMNS and source.channels == 3:
        return 1
    return tp_cores if source.rows > 8 or source.channels > 1 else 1


def _reshuffle_fields(
    source: ImageSize, result: ImageSize, pieces: list[int], taken: list[int], left: int, top: int
) -> dict[str, int]:
    """Fields of one core that makes ``pieces`` (columns, rows, channels) from ``taken``."""
    width, height = 2 * pieces[0], 2 * pieces[1]
    plane = result.plane
    return {
        **image(taken[0], taken[1], taken[2], source.columns, source.plane),
        **window(-left, -top, width - 1 - left, height - 1 - top),
        **tile(width, height),
        **loops((plane, 2), (1, pieces[0]), (2 * plane, 2), (result.columns, pieces[1])),
        "out_loop_6_inc": 4 * plane,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
    }


Sides: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Elements of border (before, behind) along x, y and z."""


def pad(
    size: tuple[int, int, int],
    sides: Sides,
    cores: int,
    zero_point: int,
) -> tuple[TpInstruction, ...]:
    """An image of ``size`` (x, y, z) with a border of zero points, split over ``cores`` along z.

    Along z the first and the last core fetch one more slice
    that is not there, so there may be one element of border, and only with several cores.
    """
    (before_x, behind_x), (before_y, behind_y), (before_z, behind_z) = sides
    columns, rows = before_x + size[0] + behind_x, before_y + size[1] + behind_y
    cores = min(cores, size[2])
    assert max(before_z, behind_z) <= (1 if cores > 1 else 0)
    instructions = []
    done = made = 0
    for core in range(cores):
        slices = -(-(size[2] - done) // (cores - core))
        first, last = core == 0, core == cores - 1
        fields = {
            **image(size[0], size[1], slices, size[0], size[0] * size[1]),
            **window(-before_x, -before_y, size[0] - 1 + behind_x, size[1] - 1 + behind_y),
            **tile(columns, rows),
            **loops((0, 1), (1, columns), (columns, rows), (0, 1)),
            "out_loop_6_inc": columns * rows,
            "in_window_z_start_overfetch": before_z if first else 0,
            "in_window_z_end_overfetch": behind_z if last else 0,
            "in_zp": zero_point,
            "out_zp": zero_point,
            "no_flush": int(not last),
        }
        place = done * size[0] * size[1], made * columns * rows
        instructions.append(TpInstruction(*place, fields))
        done += slices
        made += slices + (before_z if first else 0)
    return tuple(instructions)
