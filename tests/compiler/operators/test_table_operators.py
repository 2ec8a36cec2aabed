"""Operators that turn each byte into another one, on the emulator against LiteRT."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from comparing import CHIPS, SCHEDULES, check, compare, device, run_litert
from models import ModelBuilder
from recorded_jobs import differences
from shared_data import shared_data
from table_operators import TableCase, append, table_cases

from lapilli.compiler.encode.look_ups import even_pieces
from lapilli.compiler.jobs import ImageSize
from lapilli.compiler.stages import chip_named, compile_graph, compile_part
from lapilli.device.runner import LoadedPart
from lapilli.diff.layers import diff
from lapilli.hw.tables import ALIGNMENT, TABLE_BYTES
from lapilli.model import tflite
from lapilli.program import recording
from lapilli.reference.executor import execute

SAMPLE = 240
SELDOM_TAKEN = ("HARD_SWISH", "EXP")
NOT_IN_LITERT = ("SQUARE", "ELU", "EXP", "ABS", "SQRT", "RSQRT")
"""Of uint8 (SQUARE: of any bytes)."""


def test_a_sample_of_the_grid_on_both_chips_with_both_schedules() -> None:
    refused: Counter[str] = Counter()
    for case, (chip, schedule) in zip(
        table_cases(SAMPLE), itertools.cycle(itertools.product(CHIPS, SCHEDULES)), strict=False
    ):
        (outcome,) = check(case, [schedule], chip)
        assert outcome.right, outcome
        refused.update(outcome.refused)
    assert set(refused) <= {"table_exact", "rescaled_exactly", "tables_exact"}
    assert refused.total() < SAMPLE // 25


def test_cases_are_of_both_types_and_every_kind() -> None:
    graphs = [tflite.parse(case.model(), case.name) for case in table_cases(SAMPLE)]
    assert {graph.tensors[graph.inputs[0]].dtype for graph in graphs} == {"uint8", "int8"}
    assert len({graph.operators[0].kind for graph in graphs}) == 16


@pytest.mark.long
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("first", range(0, 3000, 100))
def test_the_whole_grid(first: int, chip: str) -> None:
    cases = [TableCase(seed) for seed in range(first, first + 100)]
    outcomes = [outcome for case in cases for outcome in check(case, chip=chip)]
    assert not [outcome for outcome in outcomes if not outcome.right]


@pytest.mark.parametrize("kind", NOT_IN_LITERT)
def test_what_litert_does_not_have_for_uint8_is_what_the_model_means(kind: str) -> None:
    builder = ModelBuilder()
    point = 0 if kind in ("SQRT", "RSQRT") else 100
    x = builder.input((1, 16, 16, 1), 0.02, point)
    y = builder.tensor((1, 16, 16, 1), 0.05, 10)
    builder.operator(kind, [x], [y])
    graph = tflite.parse(builder.build([y]), kind)
    given = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for chip in CHIPS:
        (part,) = compile_graph(graph, chip_named(chip)).parts
        with LoadedPart(device(chip), part) as loaded:
            found = loaded.run({x: given})[y]
        expected = execute(graph, {x: given[None]})[y][0]
        assert compare(found, expected).worst <= 1


# ------------------------------------------------------------------------------------------- wiring


def convolution(builder: ModelBuilder, x: int, outputs: int, seed: int) -> int:
    """3x3, of random weights."""
    rng = np.random.default_rng(seed)
    shape = builder.tensors[x].shape
    assert shape is not None
    weights = rng.integers(0, 256, (outputs, 3, 3, shape[3]), np.uint8)
    return builder.conv(x, weights, np.zeros(outputs), 0.004, 128, 0.1, 120)


def between(kind: str) -> tuple[bytes, int, int]:
    """Convolution, table, convolution; a second table and an addition beside the last one."""
    builder = ModelBuilder()
    rng = np.random.default_rng(9)
    x = builder.input((1, 9, 7, 5), 0.02, 128)
    first = convolution(builder, x, 11, 1)
    middle = append(builder, rng, first, kind)
    last = convolution(builder, middle, 11, 2)
    beside = append(builder, rng, middle, "TANH")
    return builder.build([builder.add(last, beside, 0.1, 128)]), x, first


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("kind", ["LEAKY_RELU", "PRELU", "GELU"])
def test_between_convolutions_nothing_is_moved(kind: str, chip: str, schedule: str) -> None:
    model, _, _ = between(kind)
    found = diff(model, f"emulator:{chip}", schedule=schedule)
    assert {layer.part for layer in found.layers} == {0}
    assert found.first_over(alone=True) is None
    (part,) = compile_graph(tflite.parse(model, kind), chip_named(chip), schedule).parts
    kinds = [kind for kind, _ in itertools.groupby(job.kind for job in part.jobs)]
    assert [kind for kind in kinds if "transpose" in kind] == ["transpose", "detranspose"]


@pytest.mark.parametrize("chip", CHIPS)
def test_a_table_lies_at_a_page_in_a_buffer_of_its_own(chip: str) -> None:
    """And once, however many operators want it."""
    builder = ModelBuilder()
    x = builder.input((1, 9, 7, 5), 0.02, 128)
    outputs = [builder.tensor((1, 9, 7, 5), 1 / 256, 0) for _ in range(2)]
    for output in outputs:
        builder.operator("LOGISTIC", [x], [output])
    graph = tflite.parse(builder.build(outputs), "two")
    for schedule, count in (("best", 1), ("reference", 2)):
        (part,) = compile_graph(graph, chip_named(chip), schedule).parts
        tables = [buffer for buffer in part.buffers if buffer.role == "table"]
        assert [buffer.size for buffer in tables] == [TABLE_BYTES] * count
        assert all(buffer.address % ALIGNMENT == 0 for buffer in tables)


def test_slopes_of_neighbouring_channels_share_a_job() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 6, 5, 7), 0.05, 128)
    slopes = builder.constant(np.array([10, 10, 10, 200, 200, 10, 10], np.uint8), 0.01, 100)
    y = builder.tensor((1, 6, 5, 7), 0.06, 120)
    builder.operator("PRELU", [x, slopes], [y])
    model = builder.build([y])
    given = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 7), np.uint8)
    graph = tflite.parse(model, "slopes")
    for chip in CHIPS:
        part = compile_part(graph, [0], chip_named(chip))
        assert [job.kind for job in part.jobs].count("prelu") == 3
        with LoadedPart(device(chip), part) as loaded:
            found = loaded.run({x: given})[y]
        assert compare(found, run_litert(model, [given])[0]).worst <= 1


@pytest.mark.parametrize(
    ("size", "cores", "shares"),
    [
        ((7, 12, 70), 4, [1470, 1470, 1470, 1470]),
        ((2034, 1, 91), 4, [46319, 46319, 46228, 46228]),
        ((1, 1, 1001), 4, [334, 334, 333]),  # a core has 256 bytes to do at least
        ((1, 1, 40), 4, [40]),
        ((3, 2, 300), 4, [600, 600, 300, 300]),
        ((1, 3, 40000), 4, [40000, 40000, 40000]),
    ],
)
def test_bytes_are_spread_evenly(size: tuple[int, int, int], cores: int, shares: list[int]) -> None:
    """``size``: columns, rows, channels."""
    pieces = even_pieces(ImageSize(*size), cores)
    counts = [piece.columns * piece.rows * piece.planes for piece in pieces]
    assert [sum(counts[:i]) for i in range(len(counts))] == [piece.offset for piece in pieces]
    assert counts == shares
    assert all(max(p.columns, p.rows, p.planes) < 1 << 16 for p in pieces)


def test_the_detectors_scores_are_the_recorded_job() -> None:
    folder = shared_data()
    path = folder / "models" / "ssdlite_mobiledet_coco_qat_postprocess.tflite"
    graph = tflite.load(path)
    (position,) = [i for i, o in enumerate(graph.operators) if o.kind == "LOGISTIC"]
    for chip in CHIPS:
        name = f"{path.stem}.part1.npz"
        recorded = recording.load(folder / "newer" / "recordings" / chip / "models" / name)
        part = compile_part(graph, [position], chip_named(chip), "reference")
        assert differences(recorded, part, chip) == {}
