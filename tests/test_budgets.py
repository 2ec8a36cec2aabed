"""SECURITY.md's budgets: each entry point's work and memory as a function of what it is given.

Counted, not timed: calls of functions while reading something twice as large are about twice as
many, and what is allocated stays below a multiple of the size. Of the parts that loop inside NumPy
the memory tells: nothing there looks at its input more than a fixed number of times.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from metadata_writer import AXIS_LABELS, TensorSaid
from metadata_writer import metadata as written
from models import ModelBuilder
from places import DIGITS, REPOSITORY
from virtual_npu import chip_called, small_part
from work import calls_of, peak_of

from lapilli import arrays
from lapilli.answers import images, label_formats, labels
from lapilli.cli import commands
from lapilli.compiler import program_size
from lapilli.compiler.units import effort
from lapilli.device import replay as replaying
from lapilli.device.open import open_device
from lapilli.device.replay import replay
from lapilli.emulator import kernels, machine, tp
from lapilli.errors import ExitCode
from lapilli.model import limits, metadata, tflite
from lapilli.profile import comparison, json_report, rows, trace
from lapilli.profile.assemble import profile_program, profile_recording
from lapilli.program import disassemble, program_file
from lapilli.program.program import BufferSpec, Program
from lapilli.program.recording import RecordedBuffer, Recording

FEW = 60
ROOM = 1.25
"""What is done once, and the uneven growth of lists and dictionaries."""
PART = small_part()


def program(jobs: int) -> Program:
    """So many jobs, relocations and buffers in a header."""
    times = jobs // len(PART.jobs) + 1
    spare = tuple(BufferSpec("tensor", 1, 0x8000_0000 + 4096 * i) for i in range(jobs))
    part = replace(
        PART,
        jobs=(PART.jobs * times)[:jobs],
        relocations=(PART.relocations * times)[:jobs],
        buffers=PART.buffers + spare,
        commands=np.tile(PART.commands, jobs // len(PART.jobs)),
    )
    return Program("a311d", "reference", "m", "", (part,))


def recording(instructions: int) -> Recording:
    addresses = [0x1000_0000 + 0x10_0000 * i for i in range(len(PART.buffers))]
    words, contents = PART.place(addresses)
    nothing = np.zeros(0, np.uint8)
    buffers = tuple(
        RecordedBuffer(b.role, a, b.size, contents.get(i, nothing if b.data is None else b.data))
        for i, (b, a) in enumerate(zip(PART.buffers, addresses, strict=True))
    )
    return Recording(np.tile(words, instructions // len(PART.jobs)), buffers)


def model(operators: int) -> bytes:
    """A chain of operators that stay on the CPU."""
    builder = ModelBuilder()
    x = builder.input((1, 2, 2, 1))
    for _ in range(operators):
        y = builder.tensor((1, 2, 2, 1), 1.0)
        builder.operator("FLOOR", [x], [y])
        x = y
    return builder.build([x])


def described(files: int) -> bytes:
    """An output with so many files of labels."""
    builder = ModelBuilder()
    said = TensorSaid(files=[(f"{i}.txt", AXIS_LABELS, "") for i in range(files)])
    builder.metadata = written([TensorSaid()], [said])
    return builder.build([builder.input((1, 2, 2, 1))])


def packed(files: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(files):
            archive.writestr(f"{i}.txt", b"x")
    return model(1) + out.getvalue()


def emulated(instructions: int) -> Callable[[], object]:
    submit = recording(instructions)

    def run() -> object:
        with open_device("emulator:a311d") as device:  # type: ignore[attr-defined]
            return replay(submit, device)

    run()  # what is imported and cached at the first time
    return run


def profiles(instructions: int) -> Callable[[], object]:
    submit, chip = recording(instructions), chip_called()

    def run() -> object:
        found = profile_recording(submit, chip, "x")
        comparison.to_json(found, found)
        return [json_report.to_json(found), trace.to_trace(found), rows.job_rows(found)]

    run()
    return run


def loaded(jobs: int) -> Callable[[], object]:
    data = program_file.to_bytes(program(jobs))

    def run() -> object:
        found = program_file.from_bytes(data, "x")
        disassemble.to_json(found)
        found.parts[0].place([b.address for b in found.parts[0].buffers])
        return profile_program(found, "emulator:a311d")

    run()
    return run


def of(function: Callable[..., object], make: Callable[[int], object], *more: object) -> Callable[
    [int], Callable[[], object]
]:  # fmt: skip
    def action(size: int) -> Callable[[], object]:
        value = make(size)
        function(value, *more)
        return lambda: function(value, *more)

    return action


ENTRIES: dict[str, Callable[[int], Callable[[], object]]] = {
    "a model": of(tflite.parse, model, "m"),
    "a model's metadata": of(metadata.read, described),
    "files behind a model": of(metadata.packed_files, packed),
    "a program": loaded,
    "a recording on the emulator": emulated,
    "the profile of a recording": profiles,
    "labels, a line each": of(label_formats.read, lambda n: b"name\n" * n, "x"),
    "labels, numbered": of(
        label_formats.read, lambda n: "".join(f"{i} x\n" for i in range(n)).encode(), "x"
    ),
    "a label map": of(
        label_formats.read,
        lambda n: "".join(f"item {{ id: {i} name: 'x' }}\n" for i in range(n)).encode(), "x",
    ),
    "labels in YAML": of(
        label_formats.read, lambda n: b"names: [" + b"cat, " * n + b"dog]", "x"
    ),
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_work_grows_with_the_size(entry: Callable[[int], Callable[[], object]]) -> None:
    one, two, four = (calls_of(entry(n * FEW)) for n in (1, 2, 4))
    # The second difference: what is done once, however much that is, doesn't count.
    assert four - two <= 2 * ROOM * (two - one) + 100
    assert two > one, "the larger one is no more work: nothing is measured"


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_memory_grows_with_the_size(entry: Callable[[int], Callable[[], object]]) -> None:
    one, two, four = (peak_of(entry(n * FEW)) for n in (1, 2, 4))
    assert four - two <= 2 * ROOM * (two - one) + (256 << 10)


def test_the_sizes_of_what_is_declared_cost_nothing_to_read() -> None:
    """Buffers of gigabytes in a program of a few bytes."""
    large = replace(PART, buffers=(*PART.buffers, BufferSpec("tensor", 2 << 30, 0x4000_0000)))
    data = program_file.to_bytes(Program("a311d", "reference", "m", "", (large,)))

    def read() -> None:
        program_file.from_bytes(data, "x")
        disassemble.to_json(program_file.from_bytes(data, "x"))

    read()
    assert peak_of(read) < 4 << 20


def test_the_document_names_the_limits_in_force() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    for value in (
        images.MOST_PIXELS, replaying.MOST_BYTES, machine.MOST_ELEMENTS,
        machine.MOST_MULTIPLICATIONS, tp.MAXIMUM_ELEMENTS, tp.MAXIMUM_PLANE,
        kernels.MOST_WEIGHTS, limits.READ_LIMIT, program_file.LARGEST_HEADER,
        arrays.MAXIMUM_BYTES, labels.MAXIMUM_BYTES, program_size.MOST_BYTES,
        limits.MOST_NAMED_BYTES, effort.MOST_VALUES, effort.MOST_WORK, effort.MOST_MACS,
    ):  # fmt: skip
        power = value.bit_length() - 1
        assert value == 1 << power
        assert f"2^{power}" in text, value


def test_a_picture_bomb_is_refused_by_the_command(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("1", (1, images.MOST_PIXELS + 1)).save(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size < 1 << 18
    for command in ("diff", "run", "profile", "benchmark"):
        arguments = [command, str(DIGITS), "--input", str(tmp_path / "x.png")]
        found = CliRunner().invoke(commands, [*arguments, "--device", "emulator:a311d"])
        assert found.exit_code == ExitCode.INVALID_FILE
        assert "--max-pixels" in found.stderr
