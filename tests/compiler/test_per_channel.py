"""What the compiler makes of per-channel weights: one job a layer, a per-tensor model's values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from per_channel_models import inverted_residuals

from lapilli.compiler.per_channel import FAST_WAY, LEFT_ALONE, PerChannel, as_if_one_scale
from lapilli.compiler.stages import (
    CompileOptions,
    chip_named,
    compile_graph,
    compile_prepared,
    prepare,
)
from lapilli.compiler.units.options import UnitOptions, unit_options
from lapilli.diff.layers import diff
from lapilli.errors import Unsupported
from lapilli.model import tflite
from lapilli.model.graph import Graph
from lapilli.model.rewriting import rewritten

CHIPS = ("a311d", "imx8mp")
ONE_JOB = PerChannel(replace(FAST_WAY.options, jobs=1))
FAST = CompileOptions(per_channel=FAST_WAY)


@pytest.fixture(scope="module")
def data() -> bytes:
    return inverted_residuals(2, spread=100.0)


@pytest.fixture(scope="module")
def graph(data: bytes) -> Graph:
    return tflite.parse(data, "model")


@pytest.mark.parametrize("chip", CHIPS)
def test_on_the_emulator_the_values_are_the_per_tensor_model_s(chip: str, data: bytes) -> None:
    found = diff(data, f"emulator:{chip}")
    assert found.loss is not None and found.loss.units
    assert not found.over(alone=True)
    assert all(layer.part == 0 for layer in found.layers)


@pytest.mark.parametrize("chip", CHIPS)
def test_there_is_one_job_a_layer_as_in_the_per_tensor_model(
    chip: str, data: bytes, graph: Graph
) -> None:
    found = chip_named(chip)
    one_job = CompileOptions(per_channel=ONE_JOB)
    prepared = prepare(graph, found, one_job)
    per_tensor = tflite.parse(rewritten(data, prepared.graph), "model")
    assert as_if_one_scale(per_tensor) is per_tensor
    programs = [compile_graph(each, found, options=one_job) for each in (graph, per_tensor)]
    assert programs[0].digest() == programs[1].digest()


@pytest.mark.parametrize("chip", CHIPS)
def test_layers_in_several_jobs_have_the_values_of_the_model_that_is_written(
    chip: str, data: bytes, graph: Graph
) -> None:
    wish = PerChannel(unit_options("groups=3"))
    found = diff(data, f"emulator:{chip}", per_channel=wish)
    assert found.loss is not None and max(layer.jobs for layer in found.loss.layers) == 3
    assert not found.over(alone=True)
    assert all(layer.part == 0 for layer in found.layers)
    prepared = prepare(graph, chip_named(chip), CompileOptions(per_channel=wish))
    program = compile_prepared(prepared, chip_named(chip))
    convolutions = [job for job in program.parts[0].jobs if job.coefficients is not None]
    # Two additions are jobs with coefficients, too.
    assert len(convolutions) == found.loss.jobs + 2


def test_left_alone_they_stay_on_the_cpu(graph: Graph) -> None:
    with pytest.raises(Unsupported, match="the NPU takes none"):
        prepare(_convolutions(graph), chip_named("a311d"), CompileOptions(per_channel=LEFT_ALONE))


def _convolutions(graph: Graph) -> Graph:
    """The graph up to its first addition."""
    first = next(i for i, o in enumerate(graph.operators) if o.kind == "ADD")
    operators = graph.operators[:first]
    return replace(graph, operators=operators, outputs=operators[-1].outputs)


def test_what_no_reference_can_compute_is_said_and_left_to_the_cpu(graph: Graph) -> None:
    unknown = replace(
        graph.operators[0], kind="CUSTOM:first", inputs=graph.inputs, outputs=(len(graph.tensors),)
    )
    image = graph.tensors[graph.inputs[0]]
    behind = replace(image, index=len(graph.tensors), name="behind")
    first = graph.operators[0]
    operators = (unknown, replace(first, inputs=(behind.index, *first.inputs[1:])))
    changed = replace(
        graph, tensors=(*graph.tensors, behind), operators=(*operators, *graph.operators[1:])
    )
    prepared = prepare(changed, chip_named("a311d"), FAST)
    assert prepared.loss is None
    assert prepared.note.startswith("per-channel weights stay on the CPU: operator 0 CUSTOM:first")
    kinds = {
        operator.kind
        for operator, verdict in zip(changed.operators, prepared.verdicts, strict=True)
        if verdict.supported
    }
    assert kinds == {"ADD"}


def test_the_rules_see_layers_as_if_they_had_one_scale(graph: Graph) -> None:
    seen = as_if_one_scale(graph)
    for operator in graph.operators:
        if operator.kind != "ADD":
            kernel = seen.tensors[operator.inputs[1]]
            assert kernel.quantization is not None and not kernel.quantization.per_channel
    assert seen.operators is graph.operators


def test_a_cut_part_has_its_borders_in_the_model_s_own_steps(graph: Graph) -> None:
    options: UnitOptions = FAST_WAY.options
    assert options.mode == "fast"
    half = len(graph.operators) // 2
    parts = [list(range(half)), list(range(half, len(graph.operators)))]
    found = FAST_WAY.done(graph, parts)
    border = graph.operators[half - 1].outputs[0]
    assert found.graph.tensors[border] is graph.tensors[border]
    assert found.loss is not None


def test_rules_look_at_the_largest_scale(graph: Graph) -> None:
    """The factor to the output is largest there, and has to fit."""
    simple = as_if_one_scale(graph)
    several = [t for t in graph.tensors if t.quantization and t.quantization.per_channel]
    seen = 0
    for tensor in several:
        before, found = tensor.quantization, simple.tensors[tensor.index].quantization
        if before is None or found is None or found.per_channel:
            continue
        assert found.scales == (max(before.scales),) != (min(before.scales),)
        assert found.zero_points == (0,)
        assert simple.tensors[tensor.index].data is tensor.data
        seen += 1
    assert seen > 2
