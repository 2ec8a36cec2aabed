"""Where the delegate's parts come from: the cache, a program file, or the compiler."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_npu import assert_close, new_interpreter, run, small_model
from models import ModelBuilder

from lapilli.cache.store import Store
from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.errors import DeviceError, ModelError, UsageError
from lapilli.litert.delegate import Delegate
from lapilli.program import program_file
from lapilli.program.program import Program

DEVICE = "emulator:a311d"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "programs"


def model(weight: int = 100, convolutions: int = 1) -> bytes:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 8), scale=0.02, zero_point=128)
    for _ in range(convolutions):
        weights = np.full((8, 3, 3, 8), weight, np.uint8)
        image = builder.conv(image, weights, np.zeros(8), 0.01, 120, 0.05, 3)
    return builder.build([image])


# --------------------------------------------------------------------------------------- the cache


def test_a_second_delegate_takes_the_parts_of_the_first(folder: Path) -> None:
    results = []
    for kept in (0, 2):
        delegate = Delegate(DEVICE, cache=folder, partition="all")
        results.append(run(new_interpreter(small_model(), delegate)))
        assert delegate.parts_from_cache == kept
        assert len(delegate.partitions) == 2
        delegate.close()
    assert results[0].tobytes() == results[1].tobytes()
    assert len(Store(folder).entries()) == 2


def test_a_model_made_elsewhere_of_the_same_parts_uses_them_too(folder: Path) -> None:
    """The file's bytes differ; what LiteRT hands over does not."""
    builder = ModelBuilder()
    builder.description = "another text, so that everything lies elsewhere in the file"
    image = builder.input((1, 8, 8, 8), scale=0.02, zero_point=128)
    output = builder.conv(
        image, np.full((8, 3, 3, 8), 100, np.uint8), np.zeros(8), 0.01, 120, 0.05, 3
    )
    first, second = model(), builder.build([output])
    assert first != second
    found = []
    for data in (first, second):
        delegate = Delegate(DEVICE, cache=folder)
        new_interpreter(data, delegate)
        found.append(delegate.parts_from_cache)
    assert found == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"device": "emulator:imx8mp"},
        {"schedule": "reference"},
        {"model": model(101)},
        {"model": model(100, 2)},
    ],
)
def test_other_models_chips_and_schedules_have_their_own(folder: Path, other: Any) -> None:
    new_interpreter(model(), Delegate(DEVICE, cache=folder))
    options = {"device": DEVICE, "model": model()} | other
    data = options.pop("model")
    delegate = Delegate(**options, cache=folder)
    fresh = Delegate(**options, cache=False)
    result = run(new_interpreter(data, delegate))
    assert delegate.parts_from_cache == 0
    assert result.tobytes() == run(new_interpreter(data, fresh)).tobytes()


def test_damaged_entries_are_compiled_again(folder: Path) -> None:
    wanted = run(new_interpreter(model(), Delegate(DEVICE, cache=folder)))
    (entry,) = Store(folder).entries()
    for damage in (b"", b"nothing of the kind", entry.path.read_bytes()[:-1]):
        entry.path.write_bytes(damage)
        delegate = Delegate(DEVICE, cache=folder)
        assert run(new_interpreter(model(), delegate)).tobytes() == wanted.tobytes()
        assert delegate.parts_from_cache == 0


def test_without_a_cache_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPILLI_CACHE", str(folder))
    new_interpreter(model(), Delegate(DEVICE, cache=False))
    assert not folder.exists()
    new_interpreter(model(), Delegate(DEVICE))
    assert len(os.listdir(folder)) == 1


# --------------------------------------------------------------------------------------- a program


def written(folder: Path, program: Program) -> Path:
    path = folder.parent / "given.lapilli"
    program_file.save(program, path)
    return path


def test_a_program_file_takes_the_compiler_s_place(folder: Path) -> None:
    for schedule in ("best", "reference"):
        program = compile_model(small_model(), "a311d", schedule, CompileOptions())
        delegate = Delegate(DEVICE, program=written(folder, program), strict=False)
        result = run(new_interpreter(small_model(), delegate))
        assert delegate.partitions == ((0, 1), (3, 4))
        assert [p.commands.tolist() for p in delegate.parts] == [
            p.commands.tolist() for p in program.parts
        ]
        plain = run(
            new_interpreter(small_model(), Delegate(DEVICE, schedule=schedule, partition="all"))
        )
        assert result.tobytes() == plain.tobytes()
        assert "given.lapilli leaves it to the CPU" in delegate.verdicts[2].reason


def test_what_a_program_leaves_out_stays_on_the_cpu(folder: Path) -> None:
    builder = ModelBuilder()
    image = builder.input((1, 8, 8, 8), scale=0.02, zero_point=128)
    first = builder.conv(
        image, np.full((7, 1, 1, 8), 99, np.uint8), np.zeros(7), 0.01, 120, 0.05, 3
    )
    second = builder.conv(
        first, np.full((8, 1, 1, 7), 99, np.uint8), np.zeros(8), 0.01, 120, 0.05, 3
    )
    data = builder.build([second])
    program = compile_model(data, options=CompileOptions(only_divisible_channels=True))
    delegate = Delegate(DEVICE, program=str(written(folder, program)))
    result = run(new_interpreter(data, delegate))
    assert delegate.partitions == ((1,),)
    assert_close(result, run(new_interpreter(data)), 1)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (model(101), "shapes, options, scales or weights of its part from operator 0 on are not"),
        (model(100, 2), "it has operator 1, which the model has not"),
        (small_model(), "it has operator 1, which the model has not"),
    ],
)
def test_a_program_of_another_model_is_refused(folder: Path, other: bytes, complaint: str) -> None:
    path = written(folder, compile_model(other, options=CompileOptions()))
    delegate = Delegate(DEVICE, program=path)
    with pytest.raises(RuntimeError, match="does not fit the model"):
        new_interpreter(model(), delegate)
    assert isinstance(delegate.error, ModelError)
    assert complaint in str(delegate.error)
    assert "compile the model again: lapilli compile" in str(delegate.error)


def test_a_program_with_other_parts_is_refused(folder: Path) -> None:
    program = compile_model(model(100, 3))
    (part,) = program.parts
    for operators, complaint in (((0, 2), "cuts out a part of"), ((0,), "has inputs [0] and")):
        changed = replace(program, parts=(replace(part, operators=operators),))
        delegate = Delegate(DEVICE, program=written(folder, changed))
        with pytest.raises(RuntimeError, match="does not fit the model"):
            new_interpreter(model(100, 3), delegate)
        assert complaint in str(delegate.error)


def test_a_program_of_a_part_of_the_model_is_used_for_that(folder: Path) -> None:
    delegate = Delegate(DEVICE, program=written(folder, compile_model(model(100, 1))))
    run(new_interpreter(model(100, 2), delegate))
    assert delegate.partitions == ((0,),)


def test_a_program_that_does_not_say_what_it_is_made_of_is_refused(folder: Path) -> None:
    program = compile_model(model())
    bare = replace(program, parts=tuple(replace(part, source="") for part in program.parts))
    delegate = Delegate(DEVICE, program=written(folder, bare))
    with pytest.raises(RuntimeError, match="did not note what it is made of"):
        new_interpreter(model(), delegate)


def test_a_program_for_another_chip_or_none_at_all_is_refused_at_once(folder: Path) -> None:
    path = written(folder, compile_model(model(), chip="imx8mp"))
    with pytest.raises(DeviceError, match="was compiled for imx8mp; emulator:a311d is a311d"):
        Delegate(DEVICE, program=path)
    with pytest.raises(ModelError, match="no such file"):
        Delegate(DEVICE, program=folder / "missing.lapilli")
    path.write_bytes(model())
    with pytest.raises(ModelError, match="make a program of it first"):
        Delegate(DEVICE, program=path)


@pytest.mark.parametrize(
    "options", [{"cache": 3}, {"cache": ""}, {"cache": None}, {"program": 3}, {"program": ""}]
)
def test_the_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Delegate(DEVICE, **options)
