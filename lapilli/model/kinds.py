"""What a file is that is no plain TFLite model, and what to do about it: one sentence each.

Told by the first bytes; a file's name may say anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

START_BYTES: Final = 512
"""How much of a file is looked at."""

_CONVERT: Final = "convert the model to TFLite with full-integer quantisation first"
MAGICS: Final = (
    (b"version https://git-lfs.github.com", "a Git LFS pointer, not the file itself: fetch it with "
     "git lfs pull, or download it from its page"),
    (b"\x1f\x8b", "gzip: unpack it with gunzip and give the .tflite in it"),
    (b"BZh", "bzip2: unpack it with bunzip2 and give the .tflite in it"),
    (b"\xfd7zXZ\x00", "xz: unpack it with unxz and give the .tflite in it"),
    (b"\x28\xb5\x2f\xfd", "zstd: unpack it with unzstd and give the .tflite in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and give the .tflite in it"),
    (b"Rar!", "a RAR archive: unpack it and give the .tflite in it"),
    (b"\x89HDF\r\n\x1a\n", f"HDF5, as Keras saves models (.h5): {_CONVERT}"),
    (b"\x93NUMPY", "an .npy array: it goes to --input, behind the model"),
    (b"\x89PNG", "a picture: it goes to --input, behind the model"),
    (b"\xff\xd8\xff", "a picture: it goes to --input, behind the model"),
    (b"LAPILLI\n", "a program that lapilli compile has made: dump and profile take it; here the "
     ".tflite is wanted"),
    (b"\x7fELF", "a compiled library or program: give the .tflite it was made from"),
    (b"\x80\x02", f"a Python pickle, as old PyTorch files are: {_CONVERT}"),
    (b"RKNN", "a model compiled for Rockchip's NPUs: give the .tflite or ONNX it was made from"),
    (b"\x01HEF", "a model compiled for Hailo's accelerators: give the one it was made from"),
    (b"CAFE", "a model of another compiler: give the .tflite it was made from"),
)  # fmt: skip
"""First bytes -> what it is and the next step."""

COMPILED: Final = {
    "edgetpu-custom-op": "compiled for Coral's Edge TPU",
    "ethos-u": "compiled by Vela for Arm's Ethos-U",
    "NeutronGraph": "compiled for NXP's Neutron NPU",
    "vsi-npu": "compiled by VeriSilicon's tools for one chip",
    "DISPATCH_OP": "compiled ahead of time for another NPU",
}
"""Custom operator -> for what the model was compiled."""


def described(start: bytes, size: int) -> str:
    """What a file of ``size`` bytes is that begins with ``start``, and what to do; or ''."""
    if size == 0:
        return "an empty file: fetch it again"
    if start[:4] == b"PK\x03\x04":
        return _zip(start)
    for magic, text in MAGICS:
        if start.startswith(magic):
            return text
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it and give the .tflite in it"
    return _text(start) or _protobuf(start)


def compiled_for(kinds: Iterable[str]) -> str:
    """For a model with operators of these kinds that are another accelerator's program: what it was
    compiled for, and the next step; '' for any other."""
    for kind in kinds:
        found = COMPILED.get(kind.removeprefix("CUSTOM:"))
        if found is not None:
            return f"a model {found}; give the .tflite that it was made from"
    return ""


def _zip(start: bytes) -> str:
    """By the first name in it."""
    length = int.from_bytes(start[26:28], "little")
    name = start[30 : 30 + length]
    if name.endswith(b".npy"):
        return "an .npz archive (zip): a recording goes to lapilli replay or profile"
    if name.endswith((b".pkl", b"/version", b".json", b"config.json", b".h5")):
        return f"a zip archive, as Keras and PyTorch save models (.keras, .pt): {_CONVERT}"
    return "a zip archive: unpack it with unzip and give the .tflite in it"


def _text(start: bytes) -> str:
    """HTML and other texts."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if re.match(rb"<!doctype html|<html|<head|<!--", text):
        return "an HTML page, not the file: the download got a web page; fetch the raw file"
    if text.startswith(b"<?xml"):
        return f"XML, as OpenVINO's models: {_CONVERT}"
    if text[:1] in (b"{", b"["):
        return f"JSON, such as a TensorFlow.js model or a server's answer: {_CONVERT}"
    if text and all(byte in b"\t\r\n\f" or 32 <= byte < 127 for byte in start):
        return "a text, not a model"
    return ""


def _protobuf(start: bytes) -> str:
    """ONNX: a version of 1 to 30 as field 1, then a name, version or graph. A SavedModel: a version
    of 1, then a MetaGraph, whose size follows. A frozen graph: nodes from the first byte on."""
    if start[:3] == b"\x08\x01\x12":
        return f"a TensorFlow SavedModel (saved_model.pb): {_CONVERT}"
    if (
        start[:1] == b"\x08"
        and 0 < start[1] < 31
        and start[2:3] in (b"\x12", b"\x1a", b"\x3a", b"B")
    ):
        return f"ONNX: {_CONVERT} (onnx2tf makes .tflite files)"
    if start[:1] == b"\x0a" and re.search(rb"Placeholder|Const|MatMul|Conv2D|node", start):
        return f"a frozen TensorFlow graph (.pb): {_CONVERT}"
    return ""
