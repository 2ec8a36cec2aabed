"""One TP instruction on the emulated A311D, and the fields of common moves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice, InstructionCounters
from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Register
from lapilli.hw.tables import TABLE_BYTES
from lapilli.hw.tp import TABLE_FLAGS, TP
from lapilli.program.recording import RecordedBuffer, Recording

Fields = dict[str, int]
INSTRUCTION, IMAGE, OUTPUT, TABLE = range(4)
"""Numbers of the buffers."""
ADDRESSES = tuple(0x1000_0000 * n for n in (1, 2, 3, 4))


def run(fields: Mapping[str, int], source: np.ndarray, size: int, base: int = 0) -> np.ndarray:
    """The output buffer, ``base`` bytes in front of the output's address, after an instruction."""
    return run_counted(fields, source, size, base)[0]


def run_counted(
    fields: Mapping[str, int],
    source: np.ndarray,
    size: int,
    base: int = 0,
    table: np.ndarray | None = None,
) -> tuple[np.ndarray, InstructionCounters]:
    """Likewise, and what was counted; ``table``: words in a buffer that the instruction loads."""
    chip = find_by_name("a311d")
    assert chip is not None
    with EmulatedDevice(chip) as device:
        found = replay(job(fields, source, size, base, table), device)
        return found[OUTPUT], device.last_counters[0]


def job(
    fields: Mapping[str, int],
    source: np.ndarray,
    size: int,
    base: int = 0,
    table: np.ndarray | None = None,
) -> Recording:
    """A submit of one instruction; ``fields`` win over what follows from the rest."""
    values = {
        "in_image_base_address": ADDRESSES[IMAGE],
        "out_image_base_address": ADDRESSES[OUTPUT] + base,
    }
    if table is not None:
        values |= {"alu_load_pwl_lut_address": ADDRESSES[TABLE], **dict.fromkeys(TABLE_FLAGS, 1)}
    words = np.array(TP.encode(**(values | dict(fields))), "<u4").view(np.uint8)
    contents = [
        ("instruction", 256, words),
        ("input", source.size, source.reshape(-1)),
        ("tensor", size, np.zeros(0, np.uint8)),
    ]
    if table is not None:
        contents.append(("table", TABLE_BYTES, np.asarray(table, "<u4").view(np.uint8)))
    start = [
        *LOAD_STATE.encode(address=Register.PS_TP_INST_ADDR, count=1),
        *INSTRUCTION_ADDRESS.encode(address=ADDRESSES[INSTRUCTION]),
    ]
    return Recording(
        np.array(start, np.uint32),
        tuple(
            RecordedBuffer(role, address, extent, data)
            for (role, extent, data), address in zip(contents, ADDRESSES, strict=False)
        ),
    )


def copy(planes: int, rows: int, columns: int) -> Fields:
    """Every byte in its place: the window is the image, read row by row."""
    return {
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_z_size": planes,
        "in_image_stride": columns,
        "in_image_slice": rows * columns,
        "in_window_x_end": columns - 1,
        "in_window_y_end": rows - 1,
        "in_tile_x_size": columns,
        "in_tile_x_inc": columns,
        "in_tile_y_size": rows,
        "in_tile_y_inc": rows,
        "out_loop_0_count": 0,
    }


def transpose(rows: int, columns: int, channels: int) -> Fields:
    """NHWC to planes."""
    return {
        "in_image_x_size": channels,
        "in_image_y_size": columns,
        "in_image_z_size": rows,
        "in_image_stride": channels,
        "in_image_slice": columns * channels,
        "in_window_x_end": channels - 1,
        "in_window_y_end": columns - 1,
        "in_tile_y_size": columns,
        "in_tile_y_inc": columns,
        "out_loop_0_count": columns,
        "out_loop_1_inc": rows * columns,
        "out_loop_1_count": channels,
        "out_loop_2_inc": columns,
        "out_loop_2_count": rows,
    }


def space_to_depth(rows: int, columns: int, channels: int, before: int, behind: int) -> Fields:
    """Planes to four planes each, with padding; sizes with padding must be even."""
    high, wide = (rows + before + behind) // 2, (columns + before + behind) // 2
    return {
        "in_image_x_size": columns,
        "in_image_y_size": rows,
        "in_image_z_size": channels,
        "in_image_stride": columns,
        "in_image_slice": rows * columns,
        "in_window_x_start": -before,
        "in_window_y_start": -before,
        "in_window_x_end": columns + behind - 1,
        "in_window_y_end": rows + behind - 1,
        "in_tile_x_size": 2 * wide,
        "in_tile_y_size": 2 * high,
        "in_tile_x_inc": 2 * wide,
        "in_tile_y_inc": 2 * high,
        "out_loop_1_reset": 1,
        "out_loop_3_reset": 1,
        "out_loop_0_inc": wide * high,
        "out_loop_0_count": 2,
        "out_loop_1_inc": 1,
        "out_loop_1_count": wide,
        "out_loop_2_inc": 2 * wide * high,
        "out_loop_2_count": 2,
        "out_loop_3_inc": wide,
        "out_loop_3_count": high,
        "out_loop_6_inc": 4 * wide * high,
    }


def bytes_of(*shape: int) -> np.ndarray:
    """Random ones, always the same."""
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
