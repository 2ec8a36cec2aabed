"""Program files: the same program gives the same bytes, and no file crashes the reader."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import DIGITS
from shared_data import shared_data
from work import counted_calls

import lapilli
from lapilli.errors import ModelError
from lapilli.program import disassemble, program_file
from lapilli.program.packets import packets
from lapilli.program.program import Program

HEAD = program_file.HEAD
MOST_CALLS = 50_000
"""Loading the undamaged file and printing all of it takes some 33,500."""
MUTATIONS = 500


@pytest.fixture(scope="module")
def program() -> Program:
    return lapilli.compile(DIGITS, schedule="reference")


@pytest.fixture(scope="module")
def data(program: Program) -> bytes:
    return program_file.to_bytes(program)


def sealed(data: bytes) -> bytes:
    """``data`` with a size and digest that fit, so that what lies behind them is reached."""
    magic, version, _, header, _ = HEAD.unpack_from(data)
    start = HEAD.pack(magic, version, len(data), header, bytes(32))[:-32]
    return start + hashlib.sha256(start + data[HEAD.size :]).digest() + data[HEAD.size :]


def with_header(data: bytes, change: Callable[[Any], object]) -> bytes:
    """A sealed file whose JSON header ``change`` has altered; blobs stay where they belong."""
    size = HEAD.unpack_from(data)[3]
    header = json.loads(data[HEAD.size : HEAD.size + size])
    changed = change(header)
    return with_text(data, json.dumps(header if changed is None else changed).encode())


def with_text(data: bytes, text: bytes) -> bytes:
    magic, version, total, size, digest = HEAD.unpack_from(data)
    first = -(-(HEAD.size + size) // 64) * 64
    start = HEAD.pack(magic, version, total, len(text), digest) + text
    return sealed(start + bytes(-len(start) % 64) + data[first:])


def test_what_was_saved_is_what_is_loaded(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "digits.lapilli"
    program_file.save(program, path)
    loaded = program_file.load(path)
    assert loaded.digest() == program.digest()
    assert program_file.to_bytes(loaded) == path.read_bytes() == program_file.to_bytes(program)
    for ours, theirs in zip(program.parts, loaded.parts, strict=True):
        assert ours.jobs == theirs.jobs
        assert ours.relocations == theirs.relocations
        assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_1.0_224_quant", "ssdlite_mobiledet_coco_qat_postprocess"]
)
def test_whole_models_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    program = lapilli.compile(shared_data() / "models" / f"{name}.tflite")
    program_file.save(program, tmp_path / "x.lapilli")
    assert program_file.load(tmp_path / "x.lapilli").digest() == program.digest()


def test_a_loaded_program_can_be_placed_elsewhere(program: Program, data: bytes) -> None:
    part = program_file.from_bytes(data, "x").parts[0]
    addresses = [0x10000000 + 0x100000 * i for i in range(len(part.buffers))]
    commands, contents = part.place(addresses)
    wanted_commands, wanted = program.parts[0].place(addresses)
    assert commands.tobytes() == wanted_commands.tobytes()
    assert {i: d.tobytes() for i, d in contents.items()} == {
        i: d.tobytes() for i, d in wanted.items()
    }


def test_a_failed_save_leaves_nothing_behind(program: Program, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "taken", tmp_path / "none" / "x", tmp_path / "x\0y"):
        with pytest.raises(ModelError, match="can't be written"):
            program_file.save(program, path)
    assert [p.name for p in tmp_path.rglob("*")] == ["taken"]


def test_saving_follows_a_link_and_keeps_the_umask(program: Program, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    program_file.save(program, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == program_file.to_bytes(program)
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o666 & ~umask


def test_saving_to_a_device_writes_into_it(program: Program) -> None:
    program_file.save(program, os.devnull)
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: b"", "found a file that starts with nothing"),
        (lambda d: b"hello world, what a file" * 9, "found a file that starts with 68 65"),
        (lambda d: d[:20], "truncated: 20 bytes"),
        (lambda d: d[:-1], "truncated: found"),
        (lambda d: d + b"x", "too long: found"),
        (lambda d: d[:-100] + bytes([d[-100] ^ 1]) + d[-99:], "damaged: its sha256 is"),
        (lambda d: d[:8] + struct.pack("<I", 2) + d[12:], "found program format 2; this version"),
        (lambda d: d[:20] + b"\xff" * 8 + d[28:], "bytes of header; allowed"),
        (lambda d: DIGITS.read_bytes(), "lapilli compile MODEL.tflite"),
        (lambda d: b"PK\x03\x04" + d, "lapilli replay"),
        (lambda d: with_text(d, b"{"), "the header is no JSON"),
        (lambda d: with_text(d, b"[" * 200000), "the header is no JSON"),
        (lambda d: with_text(d, b'{"chip": NaN}'), "the header is no JSON"),
        (lambda d: with_text(d, b'{"chip": ' + b"9" * 10000 + b"}"), "the header is no JSON"),
        (lambda d: with_text(d, b"[]"), "found \\[\\]; allowed: an object with 'chip'"),
        (lambda d: sealed(d + bytes(64)), "64 bytes behind the last part"),
    ],
)
def test_a_wrong_file_is_one_error(
    data: bytes, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "x.lapilli"
    path.write_bytes(change(data))
    with pytest.raises(ModelError, match=message) as caught:
        program_file.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _set(*keys: str | int, to: object) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = to

    return change


P = ("parts", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("chip", to="a312d"), "found chip 'a312d'"),
        (_set("model", to=3), "model 3; allowed: a text"),
        (_set(*P, "commands", to=True), "command words True"),
        (_set(*P, "commands", to=145), "145 command words; allowed: an even number"),
        (_set(*P, "commands", to=1 << 40), "command words 1099511627776"),
        (_set(*P, "buffers", 0, 0, to="secret"), "buffer 0: found role 'secret'"),
        (_set(*P, "buffers", 1, 1, to=1 << 33), "buffer 1: found size"),
        (_set(*P, "buffers", 1, 2, to=5), "address 0x5; allowed: multiples of 4096"),
        (_set(*P, "buffers", 2, 2, to=0xFFFFF000), "buffers that don't overlap"),
        (_set(*P, "buffers", 1, 3, to=1 << 20), "buffer 1: found data bytes 1048576"),
        (_set(*P, "relocations", 0, 0, to=99), "relocations 0: found buffer 99"),
        (_set(*P, "relocations", 0, 0, to=-2), "relocations 0: found buffer -2"),
        (_set(*P, "relocations", 0, 0, to=2), "allowed: none here"),
        (_set(*P, "relocations", 0, 1, to=6), "offset 6; allowed: multiples of 4"),
        (_set(*P, "relocations", 0, 1, to=1 << 20), "relocations 0: found offset 1048576"),
        (_set(*P, "relocations", 0, 2, to=99), "target 99"),
        (_set(*P, "relocations", 0, 3, to=1 << 31), "addend 2147483648"),
        (_set(*P, "relocations", 0, 4, to=32), "shift of the address 32"),
        (_set(*P, "relocations", 0, to=[1, 2]), "relocation of 2 values; allowed: 5"),
        (_set(*P, "jobs", 0, 0, to="PPU"), "unit 'PPU'; allowed: NN, TP"),
        (_set(*P, "jobs", 0, 2, to=-1), "operator -1"),
        (_set(*P, "jobs", 0, 3, to=2), "jobs 0: found offset 0; allowed: none here"),
        (_set(*P, "jobs", 0, 4, to=4000), "jobs 0: found offset 4000"),
        (_set(*P, "jobs", 0, 5, to=35), "NN words 35; allowed: 34 to 34"),
        (_set(*P, "jobs", 0, 6, to=[0, 1 << 30]), "coefficient bytes 1073741824"),
        (_set(*P, "jobs", 0, 6, to=[1 << 30, 1]), "coefficient offset 1073741824"),
        (_set(*P, "inputs", 0, 2, to=[1, 16, 16, 2]), "256 bytes for shape"),
        (_set(*P, "inputs", 0, 3, to="float32"), "type 'float32'; allowed: uint8, int8"),
        (_set(*P, "inputs", 0, 4, to=77), "inputs 0: found buffer 77"),
        (_set(*P, "inputs", 0, 5, to=4000), "inputs 0: found offset 4000"),
        (_set(*P, "operators", 0, to="0"), "operators: found operator '0'"),
        (_set(*P, "source", to=3), "operators: found source 3"),
        (_set(*P, "regions", 0, 0, to=999), "region 0: found buffer 999"),
        (_set(*P, "regions", 0, 1, to=1 << 40), "region 0: found offset"),
        (_set(*P, "regions", 0, 2, to=0), "region 0: found size 0"),
        (_set(*P, "regions", 0, 3, to=1 << 20), "region 0: found first job"),
        (_set(*P, "regions", 0, 4, to=1 << 20), "region 0: found last job"),
    ],
)
def test_a_crafted_header_is_one_error(
    data: bytes, change: Callable[[Any], None], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        program_file.from_bytes(with_header(data, change), "x.lapilli")


def test_all_buffers_together_stay_inside_the_address_space(program: Program) -> None:
    part = program.parts[0]
    half = dataclasses.replace(part.buffers[2], address=0x10000000, size=0x90000000)
    nothing: Any = dict.fromkeys(("relocations", "jobs", "inputs", "outputs", "regions"), ())
    small = dataclasses.replace(part, buffers=(half,), **nothing)
    twice = dataclasses.replace(program, parts=(small, small))
    with pytest.raises(ModelError, match="part 1: found buffers of"):
        program_file.from_bytes(program_file.to_bytes(twice), "x")


def _mutated(data: bytes, source: random.Random) -> bytes:
    """One random change, anywhere or in the header, where there is most to get wrong."""
    header_end = HEAD.size + HEAD.unpack_from(data)[3]
    end = header_end if source.random() < 0.6 else len(data)
    kind = source.choice(["cut", "zeros", "ones", "bytes", "digit"])
    at = source.randrange(end)
    if kind == "cut":
        return data[:at]
    if kind == "digit":
        at = source.randrange(HEAD.size, header_end)
        new = source.choice(b'0123456789-.eE,[]{}"ntf').to_bytes(1, "little")
    elif kind == "bytes":
        new = source.randbytes(source.randrange(1, 9))
    else:
        at -= at % 4
        new = bytes(4) if kind == "zeros" else b"\xff" * 4
    return data[:at] + new + data[at + len(new) :]


def test_mutated_files_end_in_one_error_or_load(data: bytes) -> None:
    source = random.Random(20250)
    loaded = named = 0
    for number in range(MUTATIONS):
        broken = _mutated(data, source)
        if number % 4 and len(broken) >= HEAD.size:
            # Mostly with a digest that fits, so that more than the digest is tested.
            broken = sealed(broken)
        with counted_calls() as taken:
            try:
                program = program_file.from_bytes(broken, "x.lapilli")
                _use(program)
                loaded += 1
            except ModelError as error:
                named += "x.lapilli" in str(error)
        assert taken.calls < MOST_CALLS
    assert 50 < loaded < MUTATIONS - 50
    assert loaded + named == MUTATIONS


def _use(program: Program) -> None:
    """What later stages do with a program that loads."""
    disassemble.to_json(program)
    chip = disassemble.chip_of(program)
    for part in program.parts:
        part.place([buffer.address for buffer in part.buffers])
        disassemble.jobs(part, chip)
        packets(part)


def test_reading_a_job_does_not_look_at_all_buffers(program: Program) -> None:
    """Thousands of jobs and buffers cost their sum, not their product."""
    reader = program_file._Reader(b"", "x", 0)
    looked: list[int] = []

    class Buffers(tuple[Any, ...]):
        def __iter__(self) -> Any:
            looked.append(1)
            return super().__iter__()

    buffers = Buffers(program.parts[0].buffers)
    job = next(job for job in program.parts[0].jobs if job.coefficients is None)
    row = [job.unit, job.kind, job.operator, job.buffer, job.offset, job.words, None]
    for _ in range(50):
        assert reader.job(row, buffers, 0) == job
    assert not looked


@pytest.mark.parametrize(
    "error", [OSError(5, "I/O error"), MemoryError(), OverflowError("x"), RuntimeError("x")]
)
def test_whatever_reading_raises_is_one_error(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    (tmp_path / "x.lapilli").write_bytes(data)

    def fails(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(os, "fstat", fails)
    with pytest.raises(ModelError, match=r"x\.lapilli: can't be read"):
        program_file.load(tmp_path / "x.lapilli")
    monkeypatch.undo()
    monkeypatch.setattr(json, "loads", fails)
    with pytest.raises(ModelError, match="the header is no JSON"):
        program_file.load(tmp_path / "x.lapilli")


def test_filling_is_zero_and_nothing_else_is_read(data: bytes) -> None:
    """Each byte of it: a second meaning of a file could hide there."""
    _, _, _, size, _ = HEAD.unpack_from(data)
    end = HEAD.size + size
    filling = range(end, -(-end // 64) * 64)
    assert len(filling), "this header ends where its filling would: the test sees nothing"
    for place in filling:
        assert data[place] == 0
        changed = bytearray(data)
        changed[place] = 1
        with pytest.raises(ModelError, match="found filling that is not zero; allowed: zeros"):
            program_file.from_bytes(sealed(bytes(changed)), "x")
