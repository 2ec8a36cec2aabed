"""A file that is no plain TFLite model is called by its name, with the next step."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from models import ModelBuilder

from lapilli.cli import commands
from lapilli.errors import ExitCode, ModelError
from lapilli.model import tflite
from lapilli.model.kinds import COMPILED, MAGICS


def packed(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"content of the file")
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.tflite"))
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an empty file"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html>\n<html>", "an HTML page"),
    "HTML without a head line": (b"<html lang=en><head>", "an HTML page"),
    "HTML with a mark": (b"\xef\xbb\xbf<!doctype HTML>", "an HTML page"),
    "gzip": (gzip.compress(b"x" * 99), "gzip: unpack it with gunzip"),
    "zip": (packed("model.tflite"), "a zip archive: unpack it with unzip"),
    "Keras 3": (packed("config.json"), "as Keras and PyTorch save models"),
    "PyTorch": (packed("archive/data.pkl"), "as Keras and PyTorch save models"),
    "npz": (packed("commands.npy"), "an .npz archive"),
    "tar": (tarred(), "a tar archive"),
    "xz": (b"\xfd7zXZ\x00" + bytes(20), "xz: unpack"),
    "bzip2": (b"BZh91AY&SY" + bytes(20), "bzip2: unpack"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:\xff\x01", "ONNX: convert"),
    "SavedModel": (b"\x08\x01\x12\xff\x03\n\x0b", "a TensorFlow SavedModel"),
    "frozen graph": (b"\n?\n\x05input\x12\x0bPlaceholder*", "a frozen TensorFlow graph"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "as Keras saves models"),
    "JSON": (b'{"format": "layers-model"}', "JSON, such as a TensorFlow.js model"),
    "OpenVINO": (b'<?xml version="1.0"?><net>', "OpenVINO"),
    "a text": (b"404: Not Found\n", "a text, not a model"),
    "an array": (npy(), "an .npy array"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a picture"),
    "a program": (b"LAPILLI\n" + bytes(20), "a program that lapilli compile has made"),
    "a library": (b"\x7fELF\x02\x01\x01" + bytes(20), "a compiled library"),
}


@pytest.mark.parametrize(("data", "text"), FILES.values(), ids=FILES)
def test_the_file_is_recognised(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelError) as raised:
        tflite.load(path)
    assert f"model.tflite: found {text}" in str(raised.value) or text in str(raised.value)
    for command in ("explain", "compile", "run", "diff", "profile", "benchmark"):
        found = CliRunner().invoke(commands, [command, str(path)])
        assert found.exit_code == ExitCode.INVALID_FILE
        assert len(found.stderr.splitlines()) == 1
        assert text in found.stderr


def test_the_first_bytes_are_told_apart() -> None:
    magics = [magic for magic, _ in MAGICS]
    assert len(set(magics)) == len(magics)
    assert not [a for a in magics for b in magics if a != b and a.startswith(b)]


def test_a_folder_with_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(ModelError, match="a folder with a TensorFlow SavedModel"):
        tflite.load(tmp_path)


@pytest.mark.parametrize("name", COMPILED)
def test_models_compiled_for_another_accelerator(tmp_path: Path, name: str) -> None:
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 3))
    y = builder.tensor((1, 4), 1.0)
    builder.operator(f"CUSTOM:{name}", [x], [y])
    path = tmp_path / "m.tflite"
    path.write_bytes(builder.build([y]))
    for command in ("explain", "run", "compile"):
        found = CliRunner().invoke(commands, [command, str(path)])
        assert found.exit_code == ExitCode.INVALID_FILE
        assert "compiled" in found.stderr
        assert "give the .tflite that it was made from" in found.stderr


def test_other_custom_operators_are_no_such_model() -> None:
    builder = ModelBuilder()
    y = builder.tensor((1, 4), 1.0)
    builder.operator("CUSTOM:MyOperator", [builder.input((1, 4))], [y])
    assert tflite.parse(builder.build([y]), "x").operators[0].kind == "CUSTOM:MyOperator"
