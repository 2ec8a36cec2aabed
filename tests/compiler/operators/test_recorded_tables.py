"""RELU, ABS and LOGISTIC as the newest driver submits them: words, tables and streams."""

from __future__ import annotations

import re

import pytest
from newer_recordings import is_right
from recorded_jobs import (
    CHIPS,
    COEFFICIENTS,
    NEWER,
    RecordedJob,
    chip_of,
    compiled_part,
    differences,
    jobs_of,
    jobs_of_part,
    load,
    names,
    newer_names,
    read,
    stream,
)
from shared_data import shared_data

from lapilli.hw.tables import TABLE_BYTES
from lapilli.program.program import Part
from lapilli.program.recording import Recording

WITH_TABLES = re.compile(r"newer/(abs|logistic|relu(same|\d)|sigmoid|tw_sigmoid)\w*")
FEW_PLANES = "newer/abs1x1x40_i8"
"""The driver also starts the cores for which no plane is left."""
RECORDED = {chip: [n for n in newer_names(chip) if WITH_TABLES.fullmatch(n)] for chip in CHIPS}
CASES = [(name, chip) for chip in CHIPS for name in RECORDED[chip]]
SIGNED = [(n, c) for n, c in CASES if c == "a311d" and re.match(r"newer/sigmoid\w+_i8", n)]
"""Weights of int8 convolutions that the driver writes wrongly."""


def tables(source: Recording | Part, jobs: tuple[RecordedJob, ...]) -> list[bytes]:
    """The table of each instruction that has one, in order."""
    return [
        read(source, job.values["alu_load_pwl_lut_address"], TABLE_BYTES)
        for job in jobs
        if job.unit == "TP" and job.values["alu_pwl_enable"]
    ]


def test_the_recordings_are_there() -> None:
    shared_data()
    assert {chip: len(found) for chip, found in RECORDED.items()} == {"a311d": 22, "imx8mp": 21}


@pytest.mark.parametrize(
    ("name", "chip"), [case for case in CASES if case[0] != FEW_PLANES and case not in SIGNED]
)
def test_programs_are_the_recorded_ones(name: str, chip: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    assert is_right(name.removeprefix(NEWER), chip) or name.startswith(NEWER + "tw_")
    assert differences(recorded, part, chip) == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())
    found = tables(part, jobs_of_part(part, chip))
    assert found
    assert found == tables(recorded, jobs_of(recorded, chip))


@pytest.mark.parametrize(("name", "chip"), SIGNED)
def test_on_v7_weights_of_int8_convolutions_alone_differ(name: str, chip: str) -> None:
    recorded, part = load(name, chip), compiled_part(name, chip)
    found = names(differences(recorded, part, chip))
    jobs = jobs_of_part(part, chip)
    assert found and all(jobs[number].unit == "NN" for number in found)
    for fields in found.values():
        assert COEFFICIENTS in fields and fields <= {COEFFICIENTS, "kernel_cache_end_address"}
    assert tables(part, jobs) == tables(recorded, jobs_of(recorded, chip))


@pytest.mark.parametrize("chip", CHIPS)
def test_no_core_is_started_without_planes(chip: str) -> None:
    recorded, part = load(FEW_PLANES, chip), compiled_part(FEW_PLANES, chip)
    theirs, (ours,) = jobs_of(recorded, chip), jobs_of_part(part, chip)
    assert len(theirs) == chip_of(chip).tp_cores
    assert [job.values["in_image_z_size"] for job in theirs] == [1] + [0] * (len(theirs) - 1)
    different = {
        field for field, value in theirs[0].values.items() if ours.values[field] != value
    } - {"in_image_base_address", "out_image_base_address", "alu_load_pwl_lut_address"}
    assert different == {"no_flush"}
    assert tables(part, (ours,)) == tables(recorded, theirs)[:1]
