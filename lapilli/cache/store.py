"""Entries of the cache: one file each, under its key, written whole or not at all.

An entry is the bytes that are kept, what is told of them (JSON), and a tail with the key and the
lengths. Whoever reads one checks that; what does not fit is no entry. Any failure to read or write
costs the entry and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lapilli.errors import ModelError
from lapilli.files import replacing

log = logging.getLogger(__name__)

SUFFIX: Final = ".program"
LIMIT: Final = 512 << 20
"""Bytes that all entries may have together; those not used for longest go first."""
_TAIL: Final = struct.Struct("<32sQI8s")
_MAGIC: Final = b"LAPCACH1"
_LARGEST_NOTE: Final = 1 << 16
_UNFINISHED_SECONDS: Final = 3600.0
"""Age at which a file that some process never finished is taken for left behind."""
_TOUCH_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Entry:
    """One entry. ``used``: when it was read or written last, seconds since 1970. ``note``: what was
    told when it was written; empty if that is unreadable."""

    path: Path
    size: int
    used: float
    note: Mapping[str, Any]


class Store:
    """The entries in ``folder``, of up to ``limit`` bytes. Any number of processes may share it."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def get(self, key: str) -> bytes | None:
        """What was kept under ``key``, None if nothing was or it is not whole."""
        try:
            found = _read(self._path(key), key)
        except (OSError, ValueError) as error:  # ValueError: a folder with a zero character
            if not isinstance(error, FileNotFoundError):
                log.info("the cache's %s can't be read: %s", key, error)
            return None
        if found is None:
            log.info("the cache's %s is damaged", key)
        return found

    def put(self, key: str, data: bytes, note: Mapping[str, Any]) -> None:
        """Keep ``data``; ``note`` is for ``entries``."""
        told = json.dumps(dict(note)).encode()
        if len(told) > _LARGEST_NOTE:
            told = b"{}"
        tail = _TAIL.pack(bytes.fromhex(key), len(data), len(told), _MAGIC)
        size = len(data) + len(told) + len(tail)
        if size > self.limit:
            log.info("%d bytes are too many for the cache", size)
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self._path(key)) as file:
                for piece in (data, told, tail):
                    file.write(piece)
        except (OSError, ValueError, ModelError) as error:
            log.info("nothing is kept in the cache: %s", error)
            return
        self._shrink()

    def drop(self, key: str) -> None:
        """Remove an entry that turned out to be of no use."""
        with suppress(OSError):
            os.unlink(self._path(key))

    def entries(self) -> list[Entry]:
        """All of them, the last used first. Files of others are left out."""
        found = []
        for path, status in self._files(SUFFIX):
            with suppress(OSError):
                found.append(Entry(path, status.st_size, status.st_mtime, _note(path)))
        return sorted(found, key=lambda entry: (-entry.used, entry.path))

    def clear(self) -> tuple[int, int]:
        """Remove all entries, and what was never finished; how many went, and their bytes."""
        count = size = 0
        for path, status in (*self._files(SUFFIX), *self._files(".part")):
            with suppress(OSError):
                os.unlink(path)
                count, size = count + 1, size + status.st_size
        return count, size

    def _files(self, suffix: str) -> list[tuple[Path, os.stat_result]]:
        """Regular files of the folder whose names end so and hold a key."""
        found = []
        with suppress(OSError, ValueError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not (entry.name.endswith(suffix) and SUFFIX in entry.name):
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found.append((Path(entry.path), status))
        return found

    def _shrink(self) -> None:
        """Remove the oldest entries until the rest is within the limit."""
        old = time.time() - _UNFINISHED_SECONDS
        for path, status in self._files(".part"):
            if status.st_mtime < old:
                with suppress(OSError):
                    os.unlink(path)
        files = sorted(self._files(SUFFIX), key=lambda found: found[1].st_mtime)
        left = sum(status.st_size for _, status in files)
        for path, status in files:
            if left <= self.limit:
                break
            with suppress(OSError):
                os.unlink(path)
            left -= status.st_size


def _open(path: Path) -> int:
    """A descriptor of a regular file; a pipe would make who opens it wait. Raises OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return descriptor


def _tail(descriptor: int) -> tuple[bytes, int, int] | None:
    """Key, and bytes of data and note, if these make up the file."""
    size = os.fstat(descriptor).st_size
    if size < _TAIL.size:
        return None
    tail = os.pread(descriptor, _TAIL.size, size - _TAIL.size)
    if len(tail) != _TAIL.size:
        return None
    key, length, told, magic = _TAIL.unpack(tail)
    if magic != _MAGIC or length + told + _TAIL.size != size or told > _LARGEST_NOTE:
        return None
    return key, length, told


def _read(path: Path, key: str) -> bytes | None:
    """The data of an entry, None if the file is none with this key. Raises OSError."""
    descriptor = _open(path)
    try:
        found = _tail(descriptor)
        if found is None or found[0] != bytes.fromhex(key):
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            data = file.read(found[1])
        if data is None or len(data) != found[1]:
            return None
        if time.time() - os.fstat(descriptor).st_mtime > _TOUCH_SECONDS:
            with suppress(OSError):  # on a read-only disk the order of use stays as it is
                os.utime(path)
        return data
    finally:
        os.close(descriptor)


def _note(path: Path) -> Mapping[str, Any]:
    """What an entry tells of itself. Raises OSError."""
    descriptor = _open(path)
    try:
        found = _tail(descriptor)
        if found is None:
            return {}
        text = os.pread(descriptor, found[2], found[1])
    finally:
        os.close(descriptor)
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
