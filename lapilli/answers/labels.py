"""Label files: one name a line, optionally with its number in front; also those inside a model."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

from lapilli.errors import ModelError

MAXIMUM_BYTES = 1 << 22
_NUMBERED = re.compile(r"^\s*(\d+)[\s:,]+(\S.*)$")


def load(path: str | Path) -> dict[int, str]:
    """Label by class number; raises ModelError if the file can't be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: can't read labels ({error.strerror})") from error
    if len(data) > MAXIMUM_BYTES:
        raise ModelError(f"{path}: a label file has at most {MAXIMUM_BYTES} bytes")
    return parse(data)


def parse(data: bytes) -> dict[int, str]:
    """Label by class number. Lines are numbered from 0 unless every one brings its own number."""
    lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    numbered = [_NUMBERED.match(line) for line in lines if line]
    if numbered and all(numbered):
        return {int(m.group(1)): m.group(2).strip() for m in numbered if m}
    return dict(enumerate(lines))


def embedded(model: bytes) -> dict[int, str]:
    """The labels that TFLite metadata packs behind a model, or none."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".txt") and entry.file_size <= MAXIMUM_BYTES:
                    return parse(archive.read(entry))
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        EOFError,
    ):
        return {}
    return {}
