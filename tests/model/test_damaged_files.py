"""A file that is damaged, cut off or no model at all ends in one ModelError, soon."""

from __future__ import annotations

import os
import random
import re
import struct
from pathlib import Path

import pytest
from option_cases import CASES
from small_model import outcome, small_bytes

from lapilli.errors import ModelError
from lapilli.model import tflite


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            b"",
            "small.tflite: found an empty file: fetch it again",
        ),
        (b"\x18\0\0\0TFL", "small.tflite: found 7 bytes"),
        (
            b"\x18\0\0\0TFL3",
            "small.tflite: model: found the table at byte 24; allowed: bytes 0 to 7",
        ),
        (b"\xff\xff\xff\xffTFL3", "found the table at byte 4294967295"),
        (b"\0\0\0\0TFL3", "small.tflite: model: found schema version 0; allowed: version 3"),
        (b"\x89PNG\r\n\x1a\n" * 9, "small.tflite: found a picture: it goes to --input"),
        (
            b"\x00\x01\x02\x03\r\n\x1a\n" * 9,
            "found b'\\r\\n\\x1a\\n' in bytes 4 to 7; allowed: 'TFL3'",
        ),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, text: str) -> None:
    result = outcome(data)
    assert isinstance(result, ModelError)
    assert text in str(result)


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.tflite"
    os.mkfifo(fifo)
    picture = tmp_path / "picture.tflite"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    large = tmp_path / "large.tflite"
    with open(large, "wb") as file:
        file.write(b"\x18\0\0\0TFL3")
        file.truncate(2**31)
    cases: list[tuple[str | Path, str]] = [
        (tmp_path / "missing.tflite", "missing.tflite: no such file; allowed: a .tflite file"),
        (tmp_path, "found a folder; allowed: a .tflite file"),
        (fifo, "pipe.tflite: found no regular file"),
        ("/dev/zero", "found no regular file"),
        (picture, "picture.tflite: found a picture"),
        (large, "found 2147483648 bytes; allowed: up to 2147483647"),
    ]
    for path, text in cases:
        with pytest.raises(ModelError, match=re.escape(text)):
            tflite.load(path)
    # Python 3.13 words it "embedded null character in path".
    with pytest.raises(ModelError, match=r"can't be read: .*embedded null (byte|character)"):
        tflite.load("zero\0character")


def test_every_prefix_ends_in_an_error() -> None:
    data = small_bytes()
    for size in range(len(data) - 8):
        result = outcome(data[:size])
        # The end of the file is a string nobody reads.
        assert isinstance(result, ModelError) or size > len(data) - 32


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_every_word_may_be_anything(value: int) -> None:
    data = small_bytes()
    for position in range(0, len(data) - 3, 4):
        outcome(data[:position] + struct.pack("<I", value) + data[position + 4 :])


def test_random_bytes_may_be_anything() -> None:
    data = small_bytes()
    rng = random.Random(1)
    for _ in range(1500):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        outcome(bytes(changed))


def test_an_offset_that_is_not_aligned_is_harmless() -> None:
    data = small_bytes()
    start = data.index(bytes(range(36)))
    for shift in (1, 2, 3):
        moved = data[: start - 4] + bytes(shift) + data[start - 4 :]
        outcome(moved)


def test_operators_of_all_kinds_may_be_damaged() -> None:
    rng = random.Random(2)
    for case in CASES:
        data = case.model()
        for _ in range(40):
            position = 4 * rng.randrange(len(data) // 4)
            value = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, rng.randrange(256)])
            outcome(data[:position] + struct.pack("<I", value) + data[position + 4 :])
