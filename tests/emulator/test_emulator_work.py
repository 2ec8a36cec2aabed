"""Streams are timed from their bytes: what is asked of fields, as recorded, wherever they lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from recorded_jobs import load, model_of
from shared_data import shared_data
from small_program import run, small_program
from timing_numbers import chip

from lapilli.compiler.stages import compile_model
from lapilli.emulator import EmulatedDevice
from lapilli.emulator.work import nn_task, time_stream, tp_task
from lapilli.errors import Fault
from lapilli.hw.nn import NN_V7, Caching, Pooling
from lapilli.hw.tables import TABLE_BYTES
from lapilli.hw.tp import TABLE_FLAGS, TP
from lapilli.program.program import Part, Program
from lapilli.timing.cycles import total_cycles
from lapilli.timing.nn import Axis, NnTask
from lapilli.timing.tp import TpTask, Window

RECORDED = (
    "ops/conv2d",
    "ops/mb0",
    "ops/mb1",
    "ops/mb13",
    "ops/mobiledet10",
    "models/mobilenet_v1_0.25_128_quant.part0",
    "models/mobilenet_v1_1.0_224_quant.part0",
    "models/mobilenet_v1_1.0_224_quant.part1",
    "models/mobilenet_v2_1.0_224_quant.part0",
    "models/ssdlite_mobiledet_coco_qat_postprocess.part0",
)


# ------------------------------------------------------------------------------------------ fields


def nn_fields(**changed: int) -> dict[str, int]:
    """20 columns by 10 rows in tiles of 8 by 4, kernels of 3x5 over 16 channels, nothing cached."""
    given = {
        "kernel_x_size": 5,
        "kernel_y_size": 3,
        "kernel_z_size": 16,
        "kernels_per_core": 4,
        "in_image_x_size": 21,
        "in_image_y_size": 11,
        "in_image_x_offset": -2,
        "in_image_y_offset": -1,
        "out_image_x_size": 20,
        "out_image_y_size": 10,
        "out_image_z_size": 64,
        "out_image_tile_x_size": 8,
        "out_image_tile_y_size": 4,
        "kernel_cache_start_address": 0x800,
        "image_cache_start_address": 0x1000,
        "image_cache_end_address": 0x2000,
    }
    return NN_V7.decode(NN_V7.encode(**{**given, **changed}))


NN_TASK = NnTask(
    columns=Axis(size=20, tile=8, offset=-2, kernel=5, image=21),
    rows=Axis(size=10, tile=4, offset=-1, kernel=3, image=11),
    input_channels=16,
    output_channels=64,
    kernels_at_once=4,
    native_depthwise=False,
    first_pixel=False,
    kernel_sram=None,
    image_sram=None,
)


def test_an_nn_instruction_asks_for_what_its_fields_say() -> None:
    assert nn_task(nn_fields(), False) == NN_TASK
    assert nn_task(nn_fields(), True) == replace(NN_TASK, native_depthwise=True)
    pooled = nn_fields(pooling=Pooling.FIRST_PIXEL, pooling_xy_size=0)
    assert nn_task(pooled, False) == replace(NN_TASK, first_pixel=True)


@pytest.mark.parametrize("mode", [Caching.FULL, Caching.PARTIAL])
def test_ranges_on_chip_count_where_caching_is_on(mode: Caching) -> None:
    """One that ends before it starts is empty."""
    image = nn_task(nn_fields(image_caching_mode=mode), False)
    assert image == replace(NN_TASK, image_sram=(0x1000, 0x2000))
    for end, behind in ((0x900, 0x900), (0, 0x800)):
        fields = nn_fields(kernel_caching_mode=mode, kernel_cache_end_address=end)
        assert nn_task(fields, False) == replace(NN_TASK, kernel_sram=(0x800, behind))


@pytest.mark.parametrize("side", ["x", "y"])
def test_tiles_without_pixels_are_a_fault(side: str) -> None:
    with pytest.raises(Fault, match=f"out_image_tile_{side}_size = 0"):
        nn_task(nn_fields(**{f"out_image_tile_{side}_size": 0}), False)


def tp_fields(**more: int) -> dict[str, int]:
    """A window of 12 by 6 of an image of 10 by 5 with 4 planes, one element outside all round."""
    given = {
        "in_image_x_size": 10,
        "in_image_y_size": 5,
        "in_image_z_size": 4,
        "in_window_x_start": -1,
        "in_window_y_start": -1,
        "in_window_x_end": 10,
        "in_window_y_end": 4,
        "in_tile_x_size": 12,
        "in_tile_x_inc": 12,
        "in_tile_y_size": 6,
        "in_tile_y_inc": 6,
    }
    return TP.decode(TP.encode(**{**given, **more}))


TP_TASK = TpTask(
    columns=Window(start=-1, end=10, tile=12, step=12, image=10),
    rows=Window(start=-1, end=4, tile=6, step=6, image=5),
    planes=4,
    border_planes=0,
)


def test_a_tp_instruction_asks_for_what_its_fields_say() -> None:
    assert tp_task(tp_fields()) == TP_TASK
    more = tp_fields(in_window_z_start_overfetch=1, in_window_z_end_overfetch=2)
    assert tp_task(more) == replace(TP_TASK, border_planes=3)
    table = tp_fields(**dict.fromkeys(TABLE_FLAGS, 1))
    assert tp_task(table) == replace(TP_TASK, table_bytes=TABLE_BYTES)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_tp_tile_step_of_nothing_is_a_fault(axis: str) -> None:
    with pytest.raises(Fault, match=f"in_tile_{axis}_inc = 0"):
        tp_task(tp_fields(**{f"in_tile_{axis}_inc": 0}))


# ----------------------------------------------------------------------------------------- streams


@cache
def compiled(path: Path) -> Program:
    return compile_model(path, "a311d", "reference")


def part_of(name: str) -> Part:
    path, number = model_of(name)
    return compiled(path).parts[number]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_stream_and_ours_take_the_same_time_to_the_cycle(name: str) -> None:
    shared_data()
    recording, part = load(name), part_of(name)
    recorded = time_stream(recording.commands, recording.buffers, chip())
    ours = time_stream(part.commands, part.buffers, chip())
    assert [time.cycles for time in recorded] == [time.cycles for time in ours]
    assert total_cycles(ours) == sum(time.total_cycles for time in recorded) > 0


def test_what_the_emulator_counts_is_what_is_charged() -> None:
    """Bytes stored, bytes of coefficients and elements moved are the same whoever counts them."""
    part = small_program().parts[0]
    times = time_stream(part.commands, part.buffers, chip())
    with EmulatedDevice(chip()) as device:
        run(device, part)
        counters = device.last_counters
    assert [time.work.traffic.output for time in times] == [c.output_bytes for c in counters]
    assert [time.work.stored_bytes for time in times] == [c.coefficient_bytes for c in counters]
    assert [time.work.elements for time in times] == [c.elements for c in counters]


def test_a_stream_is_timed_wherever_its_buffers_are() -> None:
    part = small_program().parts[0]
    moved = [(buffer.address - 0x100000) & ~0xFFFF for buffer in part.buffers]
    moved = [moved[0] - 0x200000 * i for i in range(len(moved))]
    commands, contents = part.place(moved)
    buffers = [
        replace(buffer, address=address, data=contents.get(i, buffer.data))
        for i, (buffer, address) in enumerate(zip(part.buffers, moved, strict=True))
    ]
    there = time_stream(commands, buffers, chip())
    here = time_stream(part.commands, part.buffers, chip())
    assert [time.cycles for time in there] == [time.cycles for time in here]


def test_a_stream_that_leaves_its_buffers_is_a_fault() -> None:
    part = small_program().parts[0]
    with pytest.raises(Fault, match="command word"):
        time_stream(part.commands, part.buffers[2:], chip())
