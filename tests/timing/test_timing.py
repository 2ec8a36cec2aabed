"""What the timing model charges: each term by hand, streams as recorded, and the switches."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, fields, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from models import ModelBuilder
from recorded_jobs import load, model_of
from shared_data import shared_data

from lapilli.cli.compile import compile_command
from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.emulator.coefficient_counts import CoefficientStatistics
from lapilli.emulator.front_end import Start
from lapilli.emulator.kernels import KernelShape
from lapilli.emulator.work import (
    Bound,
    HostConstants,
    HostWork,
    Traffic,
    Work,
    charge,
    host_seconds,
    nn_work,
    tiles_along,
    time_stream,
    total_cycles,
    tp_work,
    weight_cycles,
)
from lapilli.errors import Fault, Unsupported
from lapilli.hw.chips import CHIPS, Chip, find_by_name
from lapilli.hw.nn import NN_V7, Caching, Pooling
from lapilli.hw.tp import TP
from lapilli.program import program_file
from lapilli.program.program import Part, Program
from lapilli.timing.constants import TABLES, Origin, TimingConstants, constants_of

START = Start(word=10, unit="NN", address=0x1000, number=0)
CONSTANTS = TimingConstants(
    clock_hz=1e6,
    bus_bytes=4,
    on_chip_bytes=16,
    multiplier_use=0.5,
    zero_run_cycles=2,
    tp_elements=0.5,
    nn_start_cycles=100,
    tp_start_cycles=50,
)
INSTRUCTION_BYTES = 136
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


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def shape(**more: int) -> KernelShape:
    """Three by three over 16 channels; four kernels a core."""
    given: dict[str, int] = {"channels": 16, "rows": 3, "columns": 3, "kernels_per_core": 4}
    return KernelShape(**{**given, "zero_point": 7, "output_channels": 64, **more})


def counted(**more: object) -> CoefficientStatistics:
    """Eight kernels a core; the second core has most to do."""
    given = CoefficientStatistics(
        header_bytes=64,
        stream_bytes=1000,
        kernels=8,
        weights=(50, 60),
        tokens=(70, 90),
        zero_run_bits=5,
        useful=100,
    )
    return replace(given, **more)  # type: ignore[arg-type]


def work(kernels: KernelShape, counts: CoefficientStatistics, **fields: int) -> Work:
    """20 columns by 10 rows in tiles of 8 by 4, kernels centred, nothing cached."""
    given = {
        "kernel_x_size": kernels.columns,
        "kernel_y_size": kernels.rows,
        "in_image_x_size": 20,
        "in_image_y_size": 10,
        "in_image_x_offset": -1,
        "in_image_y_offset": -1,
        "out_image_x_size": 20,
        "out_image_y_size": 10,
        "out_image_tile_x_size": 8,
        "out_image_tile_y_size": 4,
        "kernel_cache_start_address": 0x800,
    }
    words = NN_V7.encode(**{**given, **fields})
    return nn_work(START, NN_V7.decode(words), kernels, counts, chip())


# --------------------------------------------------------------------------------- bytes of an NN


def test_a_tile_fetches_its_halo_but_nothing_outside_the_image() -> None:
    """Columns -1 to 8, 7 to 16 and 15 to 20 of 20; the last tile is narrower."""
    assert asdict(tiles_along(20, 8, -1, 3, 20)) == {"count": 3, "fetched": 9 + 10 + 5}


def test_one_tile_without_halo_fetches_the_image() -> None:
    assert asdict(tiles_along(14, 14, 0, 1, 14)) == {"count": 1, "fetched": 14}


def test_the_input_is_fetched_for_every_tile_and_superblock() -> None:
    found = work(shape(), counted())
    columns, rows = 9 + 10 + 5, 5 + 6 + 3
    assert (found.tiles, found.superblocks) == (9, 2)
    assert found.traffic.input == 2 * columns * rows * 16
    assert found.cached_input == 0 and found.image_sram is None


def test_a_cached_input_is_fetched_for_every_tile_once_and_read_on_chip_for_each_superblock() -> (
    None
):
    plain = work(shape(), counted())
    cached = work(
        shape(),
        counted(),
        image_caching_mode=Caching.FULL,
        image_cache_start_address=0x1000,
        image_cache_end_address=0x2000,
    )
    assert cached.traffic.input == plain.traffic.input // 2
    assert cached.cached_input == plain.traffic.input
    assert cached.image_sram == (0x1000, 0x2000)


@pytest.mark.parametrize(
    ("mode", "end", "fetched"),
    [
        (Caching.NONE, 0x800 + 4096, 64 + 9 * 1000),
        (Caching.FULL, 0x800 + 1024, 64 + 1000),
        (Caching.PARTIAL, 0x800 + 600, 64 + 1000 + 8 * 400),
        (Caching.PARTIAL, 0, 64 + 9 * 1000),
    ],
)
def test_coefficients_without_room_on_chip_are_fetched_for_every_tile(
    mode: Caching, end: int, fetched: int
) -> None:
    found = work(shape(), counted(), kernel_caching_mode=mode, kernel_cache_end_address=end)
    assert found.tiles == 9
    assert found.traffic.coefficients == fetched
    assert (found.kernel_sram is None) == (mode is Caching.NONE)


def test_the_output_is_stored_once() -> None:
    found = work(shape(), counted())
    assert found.traffic.output == 20 * 10 * 64
    assert found.traffic.instruction == INSTRUCTION_BYTES
    assert found.traffic.total == sum(asdict(found.traffic).values())


def test_first_pixel_pooling_computes_four_times_what_it_stores() -> None:
    found = work(shape(), counted(), pooling=Pooling.FIRST_PIXEL, pooling_xy_size=0)
    assert found.traffic.output == 10 * 5 * 64
    assert found.macs_dense == 64 * 9 * 16 * 200
    assert found.macs_useful == 100 * 50
    assert found.rows == 10 * 3


def test_a_native_depthwise_kernel_reads_its_own_channel_only() -> None:
    """However many superblocks there are, each plane belongs to one of them."""
    native = replace(shape(), depthwise=True)
    found = work(native, counted())
    assert found.superblocks == 2
    assert found.traffic.input == work(shape(), counted()).traffic.input // 2
    assert found.macs_dense == 64 * 9 * 200


@pytest.mark.parametrize("side", ["x", "y"])
def test_tiles_without_pixels_are_a_fault(side: str) -> None:
    with pytest.raises(Fault, match=f"out_image_tile_{side}_size = 0"):
        work(shape(), counted(), **{f"out_image_tile_{side}_size": 0})


# ------------------------------------------------------------------------------- coefficients, rows


def test_rows_of_narrow_tiles_count_each() -> None:
    """Ten rows in three columns of tiles."""
    assert work(shape(), counted()).rows == 30


def test_zero_runs_are_tokens_that_apply_no_weight() -> None:
    assert work(shape(), counted()).zero_tokens == (20, 30)
    assert work(shape(), counted(zero_run_bits=0)).zero_tokens == (0, 0)


@pytest.mark.parametrize(
    ("rows", "columns", "name", "cycles"),
    [
        (1, 1, "a311d", Fraction(1, 3)),
        (2, 2, "a311d", Fraction(1, 4)),
        (3, 3, "a311d", Fraction(2, 9)),
        (5, 5, "a311d", Fraction(6, 25)),
        (3, 3, "imx8mp", Fraction(1, 3)),
        (3, 3, "vipnano-qi-7004", Fraction(1)),
    ],
)
def test_a_core_takes_patches_of_two_rows_by_three_columns_or_three_channels(
    rows: int, columns: int, name: str, cycles: Fraction
) -> None:
    found = find_by_name(name) or replace(chip(), features=frozenset())
    assert weight_cycles(shape(rows=rows, columns=columns), found) == cycles


def test_the_core_with_most_to_do_counts() -> None:
    """60 weights at 2/9 cycle and half the use, 30 empty tokens at 2 cycles, for 30 rows."""
    time = charge(work(shape(), counted()), CONSTANTS)
    assert time.cycles.coefficients == math.ceil(30 * (60 * 2 / 9 / 0.5 + 30 * 2))


# --------------------------------------------------------------------------------------------- TP


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


def test_a_tp_moves_every_element_and_fetches_those_inside_the_image() -> None:
    found = tp_work(START, tp_fields(), cores=1, first=True)
    assert found.elements == found.traffic.output == 12 * 6 * 4
    assert found.traffic.input == 10 * 5 * 4
    time = charge(found, CONSTANTS)
    assert time.cycles.tp == 12 * 6 * 4 * 2
    assert time.bound is Bound.TP


def test_overlapping_tp_tiles_move_their_elements_more_than_once() -> None:
    found = tp_work(START, tp_fields(in_tile_x_size=8, in_tile_x_inc=4), cores=1, first=True)
    assert found.elements == (8 + 8 + 4) * 6 * 4


def test_planes_fetched_beyond_the_image_are_border() -> None:
    more = tp_work(START, tp_fields(in_window_z_end_overfetch=1), cores=1, first=True)
    assert more.elements == 12 * 6 * 5
    assert more.traffic.input == 10 * 5 * 4


def test_tp_cores_share_an_operation_and_start_once() -> None:
    alone = charge(tp_work(START, tp_fields(), cores=1, first=True), CONSTANTS)
    shared = charge(tp_work(START, tp_fields(), cores=4, first=False), CONSTANTS)
    assert shared.cycles.tp * 4 == alone.cycles.tp
    assert (alone.cycles.start_up, shared.cycles.start_up) == (50, 0)


def test_a_tp_tile_step_of_nothing_is_a_fault() -> None:
    with pytest.raises(Fault, match="in_tile_x_inc = 0"):
        tp_work(START, tp_fields(in_tile_x_inc=0), cores=1, first=True)


# ------------------------------------------------------------------------------------------ charge


def plain_work(**more: object) -> Work:
    given = Work("NN", 0, 0, Traffic(136, 64, 100, 100))
    return replace(given, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("item", "cycles", "bound"),
    [
        (plain_work(), (100, 0, 0, 100), Bound.MEMORY),
        (plain_work(traffic=Traffic(136, 0, 0, 4)), (35, 0, 0, 100), Bound.START_UP),
        (plain_work(cached_input=16 * 300), (300, 0, 0, 100), Bound.MEMORY),
        (
            plain_work(rows=10, weights=(50,), weight_cycles=Fraction(1, 3), zero_tokens=(5,)),
            (100, 434, 0, 100),
            Bound.COEFFICIENTS,
        ),
        (plain_work(unit="TP", elements=75), (100, 0, 150, 50), Bound.TP),
    ],
)
def test_the_longest_term_bounds_and_start_up_comes_on_top(
    item: Work, cycles: tuple[int, ...], bound: Bound
) -> None:
    time = charge(item, CONSTANTS)
    assert tuple(asdict(time.cycles).values()) == cycles
    assert time.bound is bound
    assert time.total_cycles == max(cycles[:3]) + cycles[3]
    assert time.seconds == time.total_cycles / 1e6


def test_work_of_the_host_is_a_sum_of_its_own() -> None:
    constants = HostConstants(inference_seconds=1e-3, macs_a_second=1e9, score_seconds=1e-8)
    assert host_seconds(HostWork(), constants) == 1e-3
    assert host_seconds(HostWork(10**6, 10**5), constants) == pytest.approx(1e-3 + 1e-3 + 1e-3)


SIZES = st.integers(1, 200)


@given(SIZES, st.integers(1, 64), st.integers(-4, 0), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_tiles_fetch_no_less_than_one_tile_does(
    size: int, tile: int, offset: int, kernel: int
) -> None:
    whole = tiles_along(size, size, offset, kernel, size)
    tiled = tiles_along(size, tile, offset, kernel, size)
    assert whole.fetched <= tiled.fetched <= whole.fetched + (tiled.count - 1) * (kernel - 1)


@given(st.lists(st.integers(0, 1 << 24), min_size=6, max_size=6), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_more_of_anything_never_takes_less_time(amounts: list[int], grown: int) -> None:
    def total(values: list[int]) -> int:
        coefficients, image, output, cached, weights, tokens = values
        item = plain_work(
            traffic=Traffic(136, coefficients, image, output),
            cached_input=cached,
            rows=3,
            weights=(weights,),
            weight_cycles=Fraction(2, 9),
            zero_tokens=(tokens,),
        )
        return charge(item, CONSTANTS).total_cycles

    more = amounts.copy()
    more[grown] += 1000
    assert total(more) >= total(amounts)


@given(st.sampled_from([field.name for field in fields(TimingConstants)]), st.floats(1, 8))
@settings(max_examples=60, deadline=None)
def test_faster_hardware_never_takes_longer(name: str, factor: float) -> None:
    slower = name in ("zero_run_cycles", "nn_start_cycles", "tp_start_cycles")
    changed = replace(
        CONSTANTS, **{name: getattr(CONSTANTS, name) * (1 / factor if slower else factor)}
    )
    item = work(shape(), counted())
    assert charge(item, changed).seconds <= charge(item, CONSTANTS).seconds


@given(st.integers(1, 20), st.integers(1, 10), st.integers(0, 2000), st.booleans())
@settings(max_examples=100, deadline=None)
def test_on_chip_memory_never_adds_traffic(
    tile_x: int, tile_y: int, kept: int, image: bool
) -> None:
    tiles = {"out_image_tile_x_size": tile_x, "out_image_tile_y_size": tile_y}
    cached = work(
        shape(),
        counted(),
        kernel_caching_mode=Caching.PARTIAL,
        kernel_cache_end_address=0x800 + kept,
        image_caching_mode=Caching.FULL if image else Caching.NONE,
        **tiles,
    )
    assert cached.traffic.total <= work(shape(), counted(), **tiles).traffic.total


# ------------------------------------------------------------------------------------------ streams


@cache
def compiled(path: Path, options: CompileOptions = CompileOptions()) -> Program:  # noqa: B008
    return compile_model(path, "a311d", "reference", options)


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


# ----------------------------------------------------------------------------------------- switches


@cache
def small_model() -> bytes:
    """Depthwise with many zeros between, 1x1 with several superblocks, and 12 channels at last."""
    random = np.random.default_rng(5)
    builder = ModelBuilder()
    image = builder.input((1, 40, 40, 48), scale=0.02, zero_point=120)

    def values(*sizes: int) -> np.ndarray:
        return random.integers(1, 255, sizes, dtype=np.uint8)

    first = builder.depthwise(image, values(1, 3, 3, 48), None, 0.01, 128, 0.1, 3)
    second = builder.conv(first, values(256, 1, 1, 48), None, 0.01, 128, 0.1, 3)
    return builder.build([builder.conv(second, values(12, 1, 1, 256), None, 0.01, 128, 0.5, 3)])


def small_program(options: CompileOptions | None = None) -> Program:
    return compile_model(small_model(), "a311d", "reference", options or CompileOptions())


def run(device: EmulatedDevice, part: Part) -> list[np.ndarray]:
    """The part's outputs for an input that is the same every time."""
    random = np.random.default_rng(0)
    loaded = LoadedPart(device, part)
    try:
        for binding in part.inputs:
            loaded.write(binding.tensor, random.integers(0, 256, binding.size, dtype=np.uint8))
        loaded.execute()
        return [loaded.read(binding.tensor).copy() for binding in part.outputs]
    finally:
        loaded.close()


def test_the_default_options_change_nothing() -> None:
    assert compile_model(small_model(), "a311d", "reference").digest() == small_program().digest()


SRAM_FIELDS = {
    "kernel_caching_mode",
    "image_caching_mode",
    "kernel_pattern_msb",
    "kernel_pattern_low",
    "kernel_pattern_high",
    "kernel_cache_start_address",
    "kernel_cache_end_address",
    "image_cache_start_address",
    "image_cache_end_address",
}


def changed_fields(options: CompileOptions) -> set[str]:
    """Names of the NN fields that differ from those of the default program."""
    found: set[str] = set()
    parts = zip(small_program().parts, small_program(options).parts, strict=True)
    for usual, other in parts:
        assert [(job.unit, job.kind) for job in usual.jobs] == [
            (job.unit, job.kind) for job in other.jobs
        ]
        for a, b in zip(usual.jobs, other.jobs, strict=True):
            if a.unit == "NN":
                values = [
                    NN_V7.decode(part.job_words(job).tolist())
                    for part, job in ((usual, a), (other, b))
                ]
                found |= {name for name in values[0] if values[0][name] != values[1][name]}
    return found - {name for name, field in NN_V7.fields.items() if field.address}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (CompileOptions(zero_runs=False), {"kernel_cache_end_address"}),
        (CompileOptions(image_cache=False), {"image_caching_mode"}),
        (CompileOptions(kernel_cache=False), {"kernel_caching_mode"}),
    ],
)
def test_a_switch_changes_what_it_says_and_nothing_else(
    options: CompileOptions, changed: set[str]
) -> None:
    found = changed_fields(options)
    assert changed <= found <= SRAM_FIELDS


@pytest.mark.parametrize(
    "options",
    [
        CompileOptions(zero_runs=False),
        CompileOptions(image_cache=False),
        CompileOptions(kernel_cache=False),
    ],
    ids=["zero_runs", "image_cache", "kernel_cache"],
)
def test_a_switch_costs_time_but_not_the_result(options: CompileOptions) -> None:
    usual, other = small_program().parts[0], small_program(options).parts[0]
    before, after = (time_stream(part.commands, part.buffers, chip()) for part in (usual, other))
    bytes_moved = [sum(t.work.traffic.total for t in times) for times in (before, after)]
    assert bytes_moved[1] > bytes_moved[0]
    assert total_cycles(after) >= total_cycles(before)
    assert [t.work.macs_useful for t in before] == [t.work.macs_useful for t in after]
    with EmulatedDevice(chip()) as device:
        for expected, found in zip(run(device, usual), run(device, other), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_only_divisible_channels_leaves_the_last_convolution_to_the_cpu() -> None:
    usual = small_program()
    other = small_program(CompileOptions(only_divisible_channels=True))
    assert [part.operators for part in usual.parts] == [(0, 1, 2)]
    assert [part.operators for part in other.parts] == [(0, 1)]


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("--no-zero-runs", CompileOptions(zero_runs=False)),
        ("--no-image-cache", CompileOptions(image_cache=False)),
        ("--no-kernel-cache", CompileOptions(kernel_cache=False)),
        ("--only-divisible-channels", CompileOptions(only_divisible_channels=True)),
    ],
)
def test_every_switch_has_a_flag(flag: str, options: CompileOptions, tmp_path: Path) -> None:
    model, output = tmp_path / "small.tflite", tmp_path / "small.lapilli"
    model.write_bytes(small_model())
    arguments = [str(model), "--schedule", "reference", "-o", str(output), flag]
    result = CliRunner().invoke(compile_command, arguments)
    assert result.exit_code == 0, result.output
    parts = program_file.load(output).parts
    assert [p.commands.tobytes() for p in parts] == [
        p.commands.tobytes() for p in small_program(options).parts
    ]
    assert total_cycles(time_stream(parts[0].commands, parts[0].buffers, chip())) > 0


# ---------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_constant_has_a_unit_and_a_source(name: str) -> None:
    assert set(TABLES[name]) == {field.name for field in fields(TimingConstants)}
    for figure in TABLES[name].values():
        assert figure.value > 0 and figure.unit and figure.source
    assert constants_of(chip(name)).clock_hz == TABLES[name]["clock_hz"].value


def test_a_chip_without_a_table_is_not_timed() -> None:
    other = next(found for found in CHIPS if found.name not in TABLES)
    with pytest.raises(Unsupported, match="known: a311d, imx8mp, imx8mp-a0"):
        constants_of(other)


def test_the_fitted_constants_are_what_the_published_figures_give() -> None:
    """And they keep to what was aimed at: MobileNetV1 7 %, MobileDet 10 %, MobileNetV1's steps
    15 %."""
    shared_data()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    try:
        import calibrate
        from published_states import MOBILENET
    finally:
        sys.path.pop(0)
    known, host = calibrate.states(chip()), HostConstants()
    assert [n for n, figure in TABLES["a311d"].items() if figure.origin is Origin.FITTED] == [
        "bus_bytes"
    ]
    ours = calibrate.Free(constants_of(chip()).bus_bytes, host.score_seconds)
    fitted = calibrate.fit(chip(), known, ours)
    assert ours.values() == pytest.approx(fitted.values(), rel=0.01)
    model = calibrate.Model.of(chip(), ours)
    times = {state: model.total(state) for state in known}
    for state, time in times.items():
        assert time == pytest.approx(state.mean, rel=0.07 if state.model == MOBILENET else 0.1)
    mobilenet = [state for state in known if state.model == MOBILENET]
    for before, after in ((0, 1), (2, 3)):
        saved = times[mobilenet[before]] - times[mobilenet[after]]
        published = mobilenet[before].mean - mobilenet[after].mean
        assert saved == pytest.approx(published, rel=0.15)
