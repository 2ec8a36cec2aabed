"""What TP instructions do, from their loop nest alone, and what they should do, with NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_move(values: Mapping[str, int], memory: NDArray[np.uint8], base: int) -> Any:
    """(addresses, bytes) that one TP instruction writes, from its loop nest alone; it reads from
    byte ``base`` of ``memory``."""
    xs = np.arange(values["in_window_x_start"], values["in_window_x_end"] + 1)
    ys = np.arange(values["in_window_y_start"], values["in_window_y_end"] + 1)
    assert values["in_tile_x_size"] == values["in_tile_x_inc"]
    assert values["in_tile_y_size"] == values["in_tile_y_inc"]
    planes = values["in_image_z_size"]
    zs = np.arange(
        -values["in_window_z_start_overfetch"], planes + values["in_window_z_end_overfetch"]
    )
    z, y, x = np.meshgrid(zs, ys, xs, indexing="ij")
    # Tile by tile, x first in both.
    tile_x = (x - xs[0]) // values["in_tile_x_size"]
    tile_y = (y - ys[0]) // values["in_tile_y_size"]
    order = np.lexsort([axis.reshape(-1) for axis in (x, y, tile_x, tile_y, z)])
    z, y, x = (axis.reshape(-1)[order] for axis in (z, y, x))
    inside = (x >= 0) & (x < values["in_image_x_size"]) & (y >= 0) & (y < values["in_image_y_size"])
    inside &= (z >= 0) & (z < planes)
    at = base + z * values["in_image_slice"] + y * values["in_image_stride"] + x
    source = np.where(inside, memory[np.where(inside, at, 0)], values["in_zp"])
    found = np.clip(source.astype(int) - values["in_zp"] + values["out_zp"], 0, 255).reshape(-1)
    index, address = np.arange(found.size), np.zeros(found.size, np.int64)
    for loop in range(6):
        count = values[f"out_loop_{loop}_count"]
        address += index % count * values[f"out_loop_{loop}_inc"]
        index = index // count
    return address + index * values["out_loop_6_inc"], found


def run_moves(
    moves: Sequence[Mapping[str, int]],
    image: NDArray[np.uint8],
    source: int,
    target: int,
    size: int,
) -> NDArray[np.int64]:
    """``size`` bytes from address ``target`` after instructions that read ``image`` at address
    ``source``; -1 where nothing is written."""
    # Some recorded instructions read behind their image.
    memory = np.concatenate([image.reshape(-1), np.zeros(1 << 20, np.uint8)])
    result = np.full(size, -1)
    for values in moves:
        address, found = run_move(values, memory, values["in_image_base_address"] - source)
        address += values["out_image_base_address"] - target
        assert address.min() >= 0 and address.max() < size, "writes outside its buffer"
        assert (result[address] == -1).all(), "a byte is written twice"
        result[address] = found
    return result


def space_to_depth(
    image: NDArray[np.uint8], rows: int, columns: int, padding: tuple[int, int], border: int
) -> NDArray[np.int64]:
    """Plane 4z + 2a + b: rows 2y + a and columns 2x + b of plane z behind the padding."""
    top, left = padding
    channels = image.shape[0]
    padded = np.full((channels, 2 * rows, 2 * columns), border)
    kept = image[:, : 2 * rows - top, : 2 * columns - left]
    padded[:, top : top + kept.shape[1], left : left + kept.shape[2]] = kept
    split = padded.reshape(channels, rows, 2, columns, 2).transpose(0, 2, 4, 1, 3)
    return split.reshape(4 * channels, rows, columns)
