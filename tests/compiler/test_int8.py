"""int8 models: the NPU holds byte + 128, so they are uint8 models whose bytes have another name.

On V8 that is what the newest driver submits; on V7 its own int8 streams are wrong in every value,
and the uint8 twins of the same models show what is right.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Case, ConvolutionCase, driver_grid, issue_grid, sample
from comparing import CHIPS, SCHEDULES, compare, device, run_litert
from models import ModelBuilder
from numpy.typing import NDArray
from recorded_jobs import (
    COEFFICIENTS,
    compiled_part,
    differences,
    load,
    model_of,
    names,
    newer_names,
    program,
    stream,
)
from shared_data import shared_data
from signed import int8_twin, uint8_twin

from lapilli.compiler.stages import chip_named, compile_model, compile_part
from lapilli.compiler.unsigned import as_unsigned
from lapilli.compiler.verdict import judge_all
from lapilli.device.runner import LoadedPart
from lapilli.errors import UsageError
from lapilli.model import tflite

CONVOLUTIONS = re.compile(r"newer/[cd]\dx\d\w*_i8|newer/padnet\w*_i8")
"""Convolutions of int8 models, and a chain of them with paddings."""
ONE_CHANNEL = {"newer/c1x1one_i8", "newer/c3x3one_i8"}
"""The newest driver transposes images of one channel, which moves no byte (facts of it, 6)."""
LARGE_KERNEL = {"newer/c7x7_i8"}
"""SAME with kernels above 5: its offset is wrong, as the recorded driver's is."""
OFFSETS = {"in_image_x_offset", "in_image_y_offset"}
RECORDED = {chip: [n for n in newer_names(chip) if CONVOLUTIONS.match(n)] for chip in CHIPS}
COMPARED = ONE_CHANNEL | LARGE_KERNEL
TWINS = [
    name
    for name in newer_names("a311d")
    if re.match(r"newer/tw_[cd]\dx\d", name) and name.replace("tw_", "") in RECORDED["a311d"]
]


def test_the_recordings_are_there() -> None:
    shared_data()
    assert {chip: len(found) for chip, found in RECORDED.items()} == {"a311d": 19, "imx8mp": 19}
    assert len(TWINS) == 12


@pytest.mark.parametrize("name", [n for n in RECORDED["imx8mp"] if n not in COMPARED])
def test_v8_programs_are_the_recorded_ones(name: str) -> None:
    recorded, part = load(name, "imx8mp"), compiled_part(name, "imx8mp")
    assert differences(recorded, part, "imx8mp") == {}
    assert stream(recorded.commands.tolist()) == stream(part.commands.tolist())


@pytest.mark.parametrize("name", sorted(ONE_CHANNEL & {*RECORDED["imx8mp"]}))
def test_images_of_one_channel_need_no_transpose(name: str) -> None:
    words = len(load(name, "imx8mp").commands), len(compiled_part(name, "imx8mp").commands)
    assert words[0] - words[1] == 12  # one TP job
    assert all(job.unit == "NN" or job.kind == "detranspose" for job in compiled_part(name).jobs)


@pytest.mark.parametrize("name", sorted(LARGE_KERNEL & {*RECORDED["imx8mp"]}))
def test_v8_programs_differ_where_the_driver_pads_wrongly(name: str) -> None:
    found = names(differences(load(name, "imx8mp"), compiled_part(name, "imx8mp"), "imx8mp"))
    assert found == {1: OFFSETS}


@pytest.mark.parametrize("name", [n for n in RECORDED["a311d"] if n not in ONE_CHANNEL])
def test_v7_programs_differ_from_the_newest_drivers_in_weights_only(name: str) -> None:
    found = names(differences(load(name, "a311d"), compiled_part(name, "a311d"), "a311d"))
    allowed = {COEFFICIENTS, "kernel_cache_end_address"}  # streams of another length
    assert found
    for fields in found.values():
        assert COEFFICIENTS in fields
        assert fields <= allowed | (OFFSETS if name in LARGE_KERNEL else set())


@pytest.mark.parametrize("name", TWINS)
def test_v7_programs_are_those_of_the_uint8_twins(name: str) -> None:
    signed = program(model_of(name.replace("tw_", ""))[0], "a311d")
    assert signed.digest() == program(model_of(name)[0], "a311d").digest()
    # The newest driver codes 1x1 kernels with ReLU6 channel by channel, and transposes one channel.
    if name not in ("newer/tw_c1x1relu6_i8", "newer/tw_c3x3one_i8"):
        assert differences(load(name, "a311d"), signed.parts[0], "a311d") == {}


# ------------------------------------------------------------------------------------ whole models


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_model_and_its_uint8_twin_are_one_program(schedule: str) -> None:
    path = shared_data() / "today" / "mobilenet_v2_1.0_224_int8_per_tensor.tflite"
    model = path.read_bytes()
    pair = [compile_model(m, "a311d", schedule) for m in (model, uint8_twin(model))]
    assert pair[0].digest() == pair[1].digest()
    types = [{b.dtype for part in p.parts for b in (*part.inputs, *part.outputs)} for p in pair]
    assert types == [{"int8", "uint8"}, {"uint8"}]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    "model", ["mobilenet_v2_1.0_224_int8_per_tensor", "deeplabv3_257_int8_per_tensor"]
)
def test_operators_of_real_models_are_taken(model: str, chip: str) -> None:
    graph = tflite.load(shared_data() / "today" / f"{model}.tflite")
    for verdict, operator in zip(judge_all(graph, chip_named(chip)), graph.operators, strict=True):
        if operator.kind in ("ADD", "CONV_2D") and operator.options != "dilated":
            assert verdict.supported or "ilation" in verdict.allowed, verdict


# ------------------------------------------------------------------------------------------ values


def run(model: bytes, inputs: list[NDArray[Any]], chip: str, schedule: str) -> list[NDArray[Any]]:
    """The model's outputs on the emulator."""
    graph = tflite.parse(model, "twin")
    found = device(chip)
    verdicts = judge_all(graph, found.chip)
    assert all(verdict.supported for verdict in verdicts), verdicts
    part = compile_part(graph, range(len(graph.operators)), found.chip, schedule)
    with LoadedPart(found, part) as loaded:
        outputs = loaded.run(dict(zip(graph.inputs, inputs, strict=True)))
    return [outputs[tensor] for tensor in graph.outputs]


def alternating() -> list[Any]:
    """Cases of the grids, for one chip and schedule each. Their weights get the zero point 0 that
    int8 ones have: LiteRT's kernels for int8 look at no other."""
    cases = [
        replace(case, zeros=replace(case.zeros, weights=128))
        if isinstance(case, ConvolutionCase)
        else case
        for case in sample(driver_grid(), 40) + sample(issue_grid(), 80)
    ]
    return [
        pytest.param(case, CHIPS[i % 2], SCHEDULES[i // 2 % 2], id=case.name)
        for i, case in enumerate(cases)
    ]


@pytest.mark.parametrize(("case", "chip", "schedule"), alternating())
def test_int8_twins_of_the_grids_are_within_one(case: Case, chip: str, schedule: str) -> None:
    model = int8_twin(case.model())
    inputs = [(values ^ 0x80).view(np.int8) for values in case.feed()]
    graph = tflite.parse(model, "twin")
    refused = {v.rule for v in judge_all(graph, chip_named(chip)) if not v.supported}
    if refused:  # V8 has no fields for a scale of 2 and above
        assert (chip, refused) == ("imx8mp", {"scale_fits"})
        return
    found = run(model, inputs, chip, schedule)
    expected = run_litert(model, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == np.int8
        assert compare(ours.astype(np.int16), theirs.astype(np.int16)).worst <= 1


# --------------------------------------------------------------------------- QUANTIZE between types


def between_types(inner: str) -> tuple[bytes, NDArray[Any]]:
    """uint8 -> int8 -> two convolutions -> uint8, as converters write it for integer edges, or
    the other way round."""
    outer = {"int8": "uint8", "uint8": "int8"}[inner]
    less = 0 if inner == "uint8" else 128
    rng = np.random.default_rng(5)
    builder = ModelBuilder(outer)
    x = builder.input((1, 7, 6, 5), 0.02, 130 - (128 - less))
    builder.dtype = inner
    inside = builder.tensor((1, 7, 6, 5), 0.02, 130 - less)
    builder.operator("QUANTIZE", [x], [inside], ("QuantizeOptions", {}))
    kind = np.dtype(inner)
    weights = (rng.integers(0, 256, (8, 3, 3, 5)) - less).astype(kind)
    bias = np.zeros(8, np.int32)
    y = builder.conv(inside, weights, bias, 0.01, 128 - less, 0.3, 100 - less)
    builder.dtype = outer
    outside = builder.tensor((1, 7, 6, 8), 0.3, 100 - (128 - less))
    builder.operator("QUANTIZE", [y], [outside], ("QuantizeOptions", {}))
    image = (rng.integers(0, 256, (1, 7, 6, 5)) - (128 - less)).astype(outer)
    return builder.build([outside]), image


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("inner", ["int8", "uint8"])
def test_quantize_between_the_types_is_nothing(inner: str, chip: str) -> None:
    model, image = between_types(inner)
    (part,) = compile_model(model, chip).parts
    assert [job.kind for job in part.jobs if job.unit == "NN"] == ["convolution"]
    assert not [job for job in part.jobs if job.kind == "copy"]
    (found,) = run(model, [image], chip, "best")
    (expected,) = run_litert(model, [image])
    assert found.dtype == expected.dtype
    assert compare(found.astype(np.int16), expected.astype(np.int16)).worst <= 1


@pytest.mark.parametrize("chip", CHIPS)
def test_a_quantize_alone_is_a_copy(chip: str) -> None:
    builder = ModelBuilder("uint8")
    x = builder.input((1, 3, 5, 4), 0.5, 7)
    builder.dtype = "int8"
    y = builder.tensor((1, 3, 5, 4), 0.5, 7 - 128)
    builder.operator("QUANTIZE", [x], [y], ("QuantizeOptions", {}))
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 5, 4), np.uint8)
    (found,) = run(builder.build([y]), [image], chip, "best")
    assert (found == (image ^ 0x80).view(np.int8)).all()


@pytest.mark.parametrize("chip", CHIPS)
def test_another_scale_goes_through_a_table(chip: str) -> None:
    builder = ModelBuilder("uint8")
    x = builder.input((1, 3, 5, 4), 0.5, 7)
    builder.dtype = "int8"
    y = builder.tensor((1, 3, 5, 4), 0.25, 7 - 128)
    builder.operator("QUANTIZE", [x], [y], ("QuantizeOptions", {}))
    model = builder.build([y])
    (part,) = compile_model(model, chip).parts
    assert [job.kind for job in part.jobs] == ["quantize"]
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 5, 4), np.uint8)
    (found,) = run(model, [image], chip, "best")
    assert (found == run_litert(model, [image])[0]).all()


# ---------------------------------------------------------------------------------------- the pass


def test_only_int8_tensors_change_and_differences_stay() -> None:
    model, _ = between_types("int8")
    before = tflite.parse(model, "mixed")
    after = as_unsigned(before)
    for old, new in zip(before.tensors, after.tensors, strict=True):
        if old.dtype != "int8":
            assert new is old
            continue
        assert new.dtype == "uint8" and new.signed
        assert old.quantization is not None and new.quantization is not None
        assert new.quantization.scales == old.quantization.scales
        if old.data is not None and new.data is not None:
            assert (
                new.data.astype(int) - new.quantization.zero_point
                == old.data.astype(int) - old.quantization.zero_point
            ).all()
    assert as_unsigned(after) is after


def test_biases_of_16_bits_and_none_at_all() -> None:
    rng = np.random.default_rng(3)
    bias = rng.integers(-3000, 3000, 6)
    digests = []
    for kind in (np.int32, np.int16):
        builder = ModelBuilder("int8")
        x = builder.input((1, 5, 4, 3), 0.02, -128)
        weights = np.random.default_rng(4).integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
        y = builder.conv(x, weights, bias.astype(np.int32), 0.01, 0, 0.3, -128)
        spec = builder.tensors[builder.operators[0].inputs[2]]
        spec.dtype, spec.data = np.dtype(kind).name, bias.astype(kind).tobytes()
        digests.append(compile_model(builder.build([y]), "a311d").digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "values",
    [np.zeros((1, 5, 4, 3), np.uint8), np.zeros((1, 5, 4, 2), np.int8), np.zeros(60, np.float32)],
)
def test_other_types_than_the_tensors_are_refused(values: NDArray[Any]) -> None:
    builder = ModelBuilder("int8")
    x = builder.input((1, 5, 4, 3), 0.02, -128)
    y = builder.conv(x, np.ones((6, 3, 3, 3), np.int8), None, 0.01, 0, 0.3, -128)
    (part,) = compile_model(builder.build([y]), "a311d").parts
    with (
        LoadedPart(device("a311d"), part) as loaded,
        pytest.raises(UsageError, match=r"takes int8 of shape \[1, 5, 4, 3\], not"),
    ):
        loaded.write(part.inputs[0].tensor, values)
