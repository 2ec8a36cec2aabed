"""The best schedule: the same bytes as without any lever, and the cycles that were predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparing import CHIPS
from kernel_jobs import job as kernel_job
from lever_checks import NOTHING, check_equal, only, program
from recorded_jobs import program as recorded_program
from shared_data import shared_data

from lapilli.compiler.jobs import Kernels
from lapilli.compiler.schedule.levers.lever import Window
from lapilli.compiler.schedule.levers.registry import (
    LEVERS,
    MEMORY,
    NAMES,
    PARTIAL_IMAGE,
    pulled,
)
from lapilli.compiler.stages import CompileOptions, chip_named
from lapilli.emulator.work import time_stream
from lapilli.errors import Unsupported, UsageError
from lapilli.hw.nn import NN_V7, Caching
from lapilli.program.program import Program
from lapilli.timing.cycles import total_cycles

WHOLE = ("mobilenet_v1_0.25_128_quant", "ssdlite_mobiledet_coco_qat_postprocess")
IN_V1 = {"one-pass", "output-split", "fold", "memory", "tiles"}
"""Levers that MobileNetV1 has a use for; it compiles faster than MobileDet."""
PADDED = "../today/mobilenet_v2_1.0_224_int8_per_tensor"
IN_PADDED = {"own-border", "empty-taps"}
"""Levers that a model has a use for that is padded in front of strided convolutions, and whose
MINIMUM is one for each channel."""
SHARE = {
    "a311d": {"mobilenet_v1_1.0_224_quant": 0.705, "mobilenet_v2_1.0_224_quant": 0.80},
    "imx8mp": {"mobilenet_v1_1.0_224_quant": 0.83, "mobilenet_v2_1.0_224_quant": 0.86},
}
"""Of the reference schedule's modelled time, of the operators that the recorded driver takes."""
SHARE["a311d"]["ssdlite_mobiledet_coco_qat_postprocess"] = 0.62
SHARE["imx8mp"]["ssdlite_mobiledet_coco_qat_postprocess"] = 0.89


def small_models() -> list[str]:
    """Every twelfth of the models of one operator; none without test data."""
    try:
        folder = shared_data() / "models"
    except (pytest.skip.Exception, pytest.fail.Exception):
        return []
    found = [path for kind in ("ops", "random", "nonsquare") for path in (folder / kind).iterdir()]
    return [f"{path.parent.name}/{path.stem}" for path in sorted(found)[::12]]


def cycles(found: Program) -> int:
    """Of all parts, read from the streams."""
    chip = chip_named(found.chip)
    return sum(total_cycles(time_stream(part.commands, part.buffers, chip)) for part in found.parts)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("model", small_models())
def test_small_models_give_the_same_bytes(model: str, chip: str) -> None:
    check_equal(model, chip, CompileOptions())


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("model", WHOLE)
def test_whole_models_give_the_same_bytes(model: str, chip: str) -> None:
    check_equal(model, chip, CompileOptions())


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("name", NAMES)
def test_each_lever_alone_gives_the_same_bytes(name: str, chip: str) -> None:
    check_equal("mobilenet_v1_0.25_128_quant", chip, only(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != MEMORY])
def test_each_lever_is_worth_something_beside_the_others(name: str) -> None:
    model = "mobilenet_v1_1.0_224_quant" if name in IN_V1 else WHOLE[-1]
    model = PADDED if name in IN_PADDED else model
    without = CompileOptions(without=frozenset({name}))
    everything = cycles(program(model, "a311d", "best", CompileOptions()))
    assert cycles(program(model, "a311d", "best", without)) > everything


def test_no_image_is_kept_beside_kernels_that_are_kept_in_part() -> None:
    """The reference does; published times speak against it. It is what the choice gives up."""

    def doubted(schedule: str) -> int:
        found = program(WHOLE[-1], "a311d", schedule, CompileOptions())
        words = [
            NN_V7.decode(part.job_words(job).tolist())
            for part in found.parts
            for job in part.jobs
            if job.unit == "NN"
        ]
        partial = [w for w in words if w["kernel_caching_mode"] == Caching.PARTIAL]
        return sum(w["image_caching_mode"] != Caching.NONE for w in partial)

    assert doubted("reference") > 0
    assert doubted("best") == 0


def test_an_image_beside_kernels_kept_in_part_is_an_experiment() -> None:
    model, asked = (
        "mobilenet_v1_1.0_224_quant",
        CompileOptions(experimental=frozenset({PARTIAL_IMAGE})),
    )
    usual = cycles(program(model, "a311d", "best", CompileOptions()))
    assert cycles(program(model, "a311d", "best", asked)) < usual
    assert check_equal(model, "a311d", asked)
    with pytest.raises(UsageError, match="'partial-image' is no experimental lever for V8"):
        program(model, "imx8mp", "best", asked)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("model", SHARE["a311d"])
def test_modelled_time_against_the_reference(model: str, chip: str) -> None:
    path = shared_data() / "models" / f"{model}.tflite"
    reference, best = (cycles(recorded_program(path, chip, s)) for s in ("reference", "best"))
    assert best <= SHARE[chip][model] * reference


@pytest.mark.parametrize("chip", CHIPS)
def test_more_effort_never_costs_time(chip: str) -> None:
    model = "mobilenet_v1_0.25_128_quant"
    found = [cycles(program(model, chip, "best", CompileOptions(effort=n))) for n in range(3)]
    nothing = cycles(program(model, chip, "best", NOTHING))
    assert nothing > found[0]
    assert found[0] >= found[1]
    check_equal(model, chip, CompileOptions(effort=0))
    check_equal(model, chip, CompileOptions(effort=2))


def test_an_unknown_lever_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown lever 'crowbar'; known: one-pass, own-border"):
        pulled(7, ["crowbar"], [])


def test_a_lever_of_one_generation_is_refused_on_the_other() -> None:
    """V7 and V8 add by different kernels: a rewrite of the one gives wrong values on the other."""
    job = kernel_job(Kernels(np.ones((1, 2, 2, 2), np.uint8), np.zeros(1, int), 2, 0, np.zeros(1)))
    job = replace(job, kind="addition")
    of_v7 = {lever.name: lever for lever in LEVERS if lever.generations == (7,)}
    assert {"plain-addition", "groups", "output-split"} <= of_v7.keys()
    assert not of_v7.keys() & {lever.name for lever in pulled(8, (), ()).levers}
    for lever in of_v7.values():
        list(lever.offers(Window((job,), (False,), chip_named("a311d"))))
        with pytest.raises(Unsupported, match=f"{lever.name} is for V7; found .* imx8mp, V8"):
            lever.offers(Window((job,), (False,), chip_named("imx8mp")))


@pytest.mark.parametrize("name", ["fold", "crowbar"])
def test_a_lever_that_is_not_experimental_is_refused_as_one(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is no experimental lever for V7; known: "):
        pulled(7, (), [name])
