"""A program is no larger than it may be, and what asks for more is refused before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from models import ModelBuilder
from work import calls_of, peak_of

from lapilli.cli import commands
from lapilli.compiler.explanation import explain
from lapilli.compiler.program_size import INSTRUCTION_BYTES, MOST_BYTES, of_part
from lapilli.compiler.stages import (
    DEFAULT_OPTIONS,
    SCHEDULES,
    CompileOptions,
    chip_named,
    compile_graph,
)
from lapilli.errors import ExitCode, ModelError
from lapilli.model import limits, shared_constants, tflite
from lapilli.program.program import Program

V7, V8 = "a311d", "imx8mp"
WIDE = 4096
"""Channels: as depthwise kernels that V7 writes over all of them, 16 MiB."""


def depthwise(layers: int, channels: int = WIDE, dtype: str = "uint8") -> bytes:
    """Kernels of one tap, which all layers share."""
    builder = ModelBuilder(dtype)
    weights = builder.constant(np.arange(channels, dtype=np.uint8).view(dtype), 1.0)
    builder.tensors[weights].shape = (1, 1, 1, channels)
    x = builder.input((1, 1, 1, channels), 1.0)
    options = {"Padding": 0, "StrideW": 1, "StrideH": 1, "DepthMultiplier": 1}
    for _ in range(layers):
        y = builder.tensor((1, 1, 1, channels), 1.0)
        builder.operator(
            "DEPTHWISE_CONV_2D", [x, weights], [y], ("DepthwiseConv2DOptions", options)
        )
        x = y
    return builder.build([x])


def made(
    data: bytes, chip: str, schedule: str, options: CompileOptions = DEFAULT_OPTIONS
) -> Program:
    return compile_graph(tflite.parse(data, "model"), chip_named(chip), schedule, "", options)


def test_kernels_over_all_planes_are_refused_before_they_are_written() -> None:
    data = depthwise(1 + MOST_BYTES // WIDE**2)

    def compiled() -> None:
        with pytest.raises(ModelError, match=f"left of what is allowed: {MOST_BYTES}"):
            made(data, V7, "reference")

    assert peak_of(compiled) < 16 << 20


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    data = depthwise(1)
    assert len(made(data, V7, "reference").parts) == 1
    allowed = replace(DEFAULT_OPTIONS, max_program_bytes=WIDE**2)
    with pytest.raises(ModelError, match=f"allowed: {WIDE**2};"):
        made(data, V7, "reference", allowed)
    (tmp_path / "x.tflite").write_bytes(data)
    arguments = ["compile", str(tmp_path / "x.tflite"), "--schedule", "reference", "--no-cache"]
    output = ["-o", str(tmp_path / "x.lapilli")]
    for limit, code in ((WIDE**2, ExitCode.INVALID_FILE), (WIDE**2 + (1 << 20), ExitCode.OK)):
        found = CliRunner().invoke(
            commands, [*arguments, *output, "--max-program-bytes", str(limit)]
        )
        assert found.exit_code == code, found.stderr


def test_what_the_best_schedule_writes_shorter_is_not_refused() -> None:
    """Depthwise kernels in groups take a fourteenth."""
    data = depthwise(2)
    allowed = replace(DEFAULT_OPTIONS, max_program_bytes=WIDE**2)
    found = made(data, V7, "best", allowed)
    assert sum(map(of_part, found.parts)) < WIDE**2
    assert made(data, V8, "best", allowed), "V8 has depthwise kernels"


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("chip", [V7, V8])
def test_the_limit_counts_what_a_program_has(chip: str, schedule: str) -> None:
    """A program is made with as much as it takes, or little more, and not with half of it."""
    data = depthwise(20, 64)
    taken = sum(map(of_part, made(data, chip, schedule).parts))
    assert made(data, chip, schedule, replace(DEFAULT_OPTIONS, max_program_bytes=2 * taken))
    with pytest.raises(ModelError):
        made(data, chip, schedule, replace(DEFAULT_OPTIONS, max_program_bytes=taken // 2))


def test_parts_share_the_limit() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 8), 1.0)
    for number in range(8):
        y = builder.tensor((1, 4, 4, 8), 1.0)
        builder.operator("FLOOR" if number % 2 else "RELU", [x], [y])
        x = y
    data = builder.build([x])
    program = made(data, V7, "reference")
    assert len(program.parts) == 4
    taken = max(map(of_part, program.parts))
    for parts, fits in ((4, True), (3, False)):
        allowed = replace(DEFAULT_OPTIONS, max_program_bytes=parts * taken)
        if fits:
            assert [part.commands.size for part in made(data, V7, "reference", allowed).parts]
        else:
            with pytest.raises(ModelError):
                made(data, V7, "reference", allowed)


def test_instructions_count() -> None:
    """Tables take no coefficients."""
    data = fan(20)
    jobs = len(made(data, V7, "reference").parts[0].jobs)
    assert jobs >= 20
    for count, fits in ((jobs, True), (jobs - 1, False)):
        allowed = replace(DEFAULT_OPTIONS, max_program_bytes=count * INSTRUCTION_BYTES + 64)
        if fits:
            assert made(data, V7, "reference", allowed)
        else:
            with pytest.raises(ModelError):
                made(data, V7, "reference", allowed)


def test_buffers_beyond_the_address_space_are_refused() -> None:
    data = fan(20, (1, 4096, 4096, 15))
    with pytest.raises(ModelError, match="what the NPU can address"):
        made(data, V7, "best")


def test_layers_that_share_a_large_constant_are_refused_by_the_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_constants, "MOST_NAMED_BYTES", 1 << 16)
    data = depthwise(1000)
    assert limits.NAMED_SHARE * len(data) < 1000 * WIDE
    with pytest.raises(ModelError, match="bytes of constants that it and those before it read"):
        tflite.parse(data, "model")
    assert tflite.parse(depthwise((1 << 16) // WIDE), "model")


# ----------------------------------------------------------------------- work by operators


def chain(count: int, *kinds: str) -> bytes:
    """Operators of these kinds in turn; those with two operands get the input, too."""
    builder = ModelBuilder()
    first = x = builder.input((1, 4, 4, 8), 1.0)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        y = builder.tensor((1, 4, 4, 8), 1.0 + number % 3 / 4096)
        builder.operator(kind, [x, first] if kind in ("ADD", "SUB", "MUL") else [x], [y])
        x = y
    return builder.build([x])


def fan(count: int, shape: tuple[int, ...] = (1, 4, 4, 8)) -> bytes:
    """Results of one tensor, all of which leave."""
    builder = ModelBuilder()
    x = builder.input(shape, 1.0)
    found = []
    for _ in range(count):
        found.append(builder.tensor(shape, 1.0))
        builder.operator("RELU", [x], [found[-1]])
    return builder.build(found)


def joined(count: int) -> bytes:
    builder = ModelBuilder()
    parts = [builder.input((1, 2, 2, 8), 1.0) for _ in range(count)]
    y = builder.tensor((1, 2, 2, 8 * count), 1.0)
    builder.operator("CONCATENATION", parts, [y], ("ConcatenationOptions", {"Axis": 3}))
    return builder.build([y])


def split(count: int) -> bytes:
    builder = ModelBuilder()
    x = builder.input((1, 2, 2, 8 * count), 1.0)
    axis = builder.constant(np.array(3, np.int32))
    builder.tensors[axis].dtype = "int32"
    found = [builder.tensor((1, 2, 2, 8), 1.0) for _ in range(count)]
    builder.operator("SPLIT", [axis, x], found, ("SplitOptions", {"NumSplits": count}))
    return builder.build(found)


GROWING: dict[str, Callable[[int], bytes]] = {
    # Each addition looks at more until some have gone by: a row of shapes that are known.
    "additions": lambda n: chain(4 * n, "ADD"),
    "additions and differences": lambda n: chain(4 * n, "ADD", "SUB"),
    "functions by tables": lambda n: chain(n, "LOGISTIC", "RELU"),
    "NPU and CPU in turn": lambda n: chain(n, "ADD", "FLOOR"),
    "many results": fan,
    "one operator of many inputs": joined,
    "one operator of many results": split,
    "layers that share their kernels": lambda n: depthwise(n, 64),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("model", GROWING.values(), ids=GROWING)
def test_work_of_compiling_grows_with_the_operators(
    model: Callable[[int], bytes], schedule: str
) -> None:
    graphs = [tflite.parse(model(n), "model") for n in (6, 12, 24)]
    chip = chip_named(V7)
    compile_graph(graphs[0], chip, schedule)
    one, two, four = (calls_of(lambda g=g: compile_graph(g, chip, schedule)) for g in graphs)
    # The second difference: what is done once, however much that is, doesn't count.
    assert 0 < four - two <= 2.3 * (two - one) + 100


def named(count: int) -> bytes:
    """Custom operators of a name each: as many reasons as operators."""
    return chain(count, *(f"CUSTOM:own{i}" for i in range(count)))


@pytest.mark.parametrize("model", [*GROWING.values(), named], ids=[*GROWING, "custom operators"])
def test_work_of_explaining_grows_with_the_operators(
    model: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lapilli.compiler.reasons.MOST_LOOKS", 20)
    graphs = [tflite.parse(model(n), "model") for n in (10, 20, 40)]
    chip = chip_named(V7)
    explain(graphs[0], chip)
    one, two, four = (calls_of(lambda g=g: explain(g, chip)) for g in graphs)
    # The second difference: what is done once, however much that is, doesn't count.
    assert 0 < four - two <= 2.3 * (two - one) + 100


def test_parts_that_were_not_counted_are_told_as_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lapilli.compiler.reasons.MOST_LOOKS", 20)
    report = explain(tflite.parse(named(5), "m"), chip_named(V7))
    assert [reason.parts for reason in report.reasons] == [1, 1, 1, 1, None]
    (tmp_path / "x.tflite").write_bytes(named(5))
    found = CliRunner().invoke(commands, ["explain", str(tmp_path / "x.tflite")])
    assert found.exit_code == ExitCode.OK
    assert "an unknown number of parts instead of 0" in " ".join(found.stdout.split())
