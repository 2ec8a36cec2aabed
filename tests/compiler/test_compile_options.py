"""Switches of the compiler: what each leaves out of a program, and that no value changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_program import run, small_model, small_program
from timing_numbers import chip

from lapilli.cli.compile import compile_command
from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.emulator import EmulatedDevice
from lapilli.emulator.work import time_stream
from lapilli.hw.nn import NN_V7
from lapilli.program import program_file
from lapilli.timing.cycles import total_cycles


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
