"""NumPy's files: whatever is in one, the arrays come out or one ModelError does, and no more memory
is asked for than the file's size and the limits allow."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from work import counted_bytes

from lapilli import arrays
from lapilli.errors import ModelError


def npy(values: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=True)
    return out.getvalue()


def head(text: str, version: int = 1) -> bytes:
    """An .npy file with this header and no values."""
    size = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + b"\n"


def shaped(shape: str, dtype: str = "|u1") -> bytes:
    return head(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}")


WRONG = {
    "nothing": b"",
    "no magic": b"nothing of NumPy's",
    "only the magic": b"\x93NUMPY",
    "objects": npy(np.array([{}], object)),
    "structures": npy(np.zeros(2, [("a", "u1"), ("b", "f4")])),
    "points in time": npy(np.zeros(2, "M8[s]")),
    "raw bytes": npy(np.zeros(2, "V8")),
    "nested brackets": head("(" * 9000),
    "a deep header": head("[" * 60_000 + "]" * 60_000, 2),
    "no dictionary": head("3"),
    "a call": head("{'descr': exit(), 'fortran_order': False, 'shape': (1,)}"),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(20),
    "more than there is": shaped("(1000,)"),
    "2^40 values": shaped("(1 << 40,)".replace("1 << 40", str(1 << 40))),
    "2^70 values": shaped(f"({1 << 70},)"),
    "2^70 values of nothing": shaped(f"({1 << 70}, 0)"),
    "a negative extent": shaped("(-1,)"),
    "a digit too many": shaped(f"({'9' * 5000},)"),
    "too many dimensions": shaped(str((1,) * 40)),
    "a type that does not exist": shaped("(1,)", "<q99"),
    "text for a shape": shaped("'abc'"),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_files_are_one_error(tmp_path: Path, data: bytes, packed: bool) -> None:
    path = tmp_path / ("x.npz" if packed else "x.npy")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", data)
    else:
        path.write_bytes(data)
    read: Callable[[Path], object] = arrays.load_npz if packed else arrays.load_npy
    with counted_bytes() as taken, pytest.raises(ModelError, match=r"x\.np"):
        read(path)
    # Parsing a header takes some hundred bytes for each of its letters.
    assert taken.peak_bytes < (1 << 20) + 400 * len(data)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1, 2], ">i4"),
        np.array(7, np.int64),
        np.zeros((0, 3), np.float32),
        np.array(["input", "tensor"]),
        np.array([b"ab", b"c"]),
        np.array([True, False]),
        np.array([1 + 2j]),
    ],
    ids=lambda values: str(values.dtype),
)
def test_plain_arrays_are_as_numpy_has_them(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    (tmp_path / "x.npy").write_bytes(npy(values))
    np.savez(tmp_path / "stored.npz", a=values)
    np.savez_compressed(tmp_path / "deflated.npz", a=values)
    found = [arrays.load_npy(tmp_path / "x.npy")]
    found += [arrays.load_npz(tmp_path / f"{n}.npz")["a"] for n in ("stored", "deflated")]
    for each in found:
        np.testing.assert_array_equal(each, values)
        assert each.dtype == values.dtype.newbyteorder("=")
        assert each.shape == values.shape


def test_an_archive_called_npy_says_what_it_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(ModelError, match="several arrays"):
        arrays.load_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_compressions_that_numpy_does_not_write(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.writestr("a.npy", npy(np.zeros(100)))
    with pytest.raises(ModelError, match="compression"):
        arrays.load_npz(tmp_path / "x.npz")


def test_what_an_archive_unpacks_to_is_limited(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1 << 20), b=np.zeros(1 << 20))
    assert (tmp_path / "x.npz").stat().st_size < 1 << 15
    with counted_bytes() as taken, pytest.raises(ModelError, match="at most 1048576 are read"):
        arrays.load_npz(tmp_path / "x.npz", 1 << 20)
    assert taken.peak_bytes < 1 << 20


def test_a_name_that_comes_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", npy(np.zeros(1)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy(np.ones(1)))
    with pytest.raises(ModelError, match="twice"):
        arrays.load_npz(tmp_path / "x.npz")


def test_every_damage_to_an_archive(tmp_path: Path) -> None:
    """Each byte of a small one changed in turn."""
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(20, dtype=np.uint8))
    good = (tmp_path / "x.npz").read_bytes()
    refused = 0
    for place in range(len(good)):
        (tmp_path / "y.npz").write_bytes(
            good[:place] + bytes([good[place] ^ 0xA5]) + good[place + 1 :]
        )
        try:
            arrays.load_npz(tmp_path / "y.npz")
        except ModelError:
            refused += 1
    assert refused > len(good) // 2


@pytest.mark.parametrize(
    "error",
    [
        *(OSError, ValueError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError),
        *(lzma.LZMAError, struct.error, KeyError, IndexError, NotImplementedError, RuntimeError),
        *(SyntaxError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError),
        UnicodeDecodeError,
    ],
)
def test_whatever_the_libraries_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    (tmp_path / "x.npy").write_bytes(npy(np.zeros(3)))
    np.savez(tmp_path / "x.npz", a=np.zeros(3))

    def fails(*arguments: object, **options: object) -> None:
        if error is UnicodeDecodeError:
            b"\xff".decode()
        raise error("damaged")

    monkeypatch.setattr(arrays.npy, "read_magic", fails)
    with pytest.raises(ModelError, match=r"x\.npy"):
        arrays.load_npy(tmp_path / "x.npy")
    with pytest.raises(ModelError, match=r"x\.npz"):
        arrays.load_npz(tmp_path / "x.npz")
    monkeypatch.setattr(zipfile, "ZipFile", fails)
    with pytest.raises(ModelError, match=r"x\.npz"):
        arrays.load_npz(tmp_path / "x.npz")
