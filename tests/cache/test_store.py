"""Entries of the cache: whole or not there, whatever happens to the folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lapilli.cache.store import SUFFIX, Store

KEY, OTHER = "ab" * 32, "cd" * 32
DATA = bytes(range(256)) * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "new" / "folder")


def path_of(store: Store, key: str = KEY) -> Path:
    return store.folder / f"{key}{SUFFIX}"


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_is_put_is_got_and_nothing_else(store: Store) -> None:
    assert store.get(KEY) is None
    store.put(KEY, DATA, {"model": "a"})
    store.put(OTHER, b"", {})
    assert (store.get(KEY), store.get(OTHER), store.get("ef" * 32)) == (DATA, b"", None)
    store.put(KEY, b"new", {"model": "b"})
    assert store.get(KEY) == b"new"
    assert [entry.note for entry in store.entries() if entry.note] == [{"model": "b"}]
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_every_cut_and_every_longer_file_is_no_entry(store: Store) -> None:
    store.put(KEY, b"some bytes", {"model": "a"})
    whole = path_of(store).read_bytes()
    for length in range(len(whole)):
        path_of(store).write_bytes(whole[:length])
        assert store.get(KEY) is None
    path_of(store).write_bytes(whole + b"\0")
    assert store.get(KEY) is None
    path_of(store).write_bytes(whole)
    assert store.get(KEY) == b"some bytes"


def test_an_entry_of_another_key_is_no_entry(store: Store) -> None:
    store.put(OTHER, DATA, {})
    path_of(store, OTHER).rename(path_of(store))
    assert store.get(KEY) is None


def test_whatever_lies_under_the_name_is_no_entry(store: Store, tmp_path: Path) -> None:
    store.folder.mkdir(parents=True)
    path = path_of(store)
    path.mkdir()
    assert store.get(KEY) is None
    path.rmdir()
    os.mkfifo(path)  # opening it would wait for its writer
    assert store.get(KEY) is None
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    assert store.entries() == []


@pytest.mark.parametrize("notes", [b"no JSON", b"[1]", b"[" * 5000, b"\xff"])
def test_a_note_that_is_none_is_empty(store: Store, notes: bytes) -> None:
    store.put(KEY, DATA, {"model": "x" * (len(notes) - 13)})
    whole = path_of(store).read_bytes()
    end = len(whole) - 52
    path_of(store).write_bytes(whole[: len(DATA)] + notes.ljust(end - len(DATA)) + whole[end:])
    assert store.get(KEY) == DATA
    assert store.entries()[0].note == {}


def test_the_oldest_go_when_it_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=3 * (len(DATA) + 100))
    keys = [f"{number:02x}" * 32 for number in range(5)]
    for number, key in enumerate(keys):
        store.put(key, DATA, {})
        age(path_of(store, key), 1000 - 100 * number)
        if number == 2:
            assert store.get(keys[0]) == DATA  # read again: now the youngest
    assert [store.get(key) is not None for key in keys] == [True, False, False, True, True]
    store.put(OTHER, bytes(store.limit), {})
    assert store.get(OTHER) is None  # too large for it; the others stay
    assert len(store.entries()) == 3


def test_clear_removes_its_own_files_only(store: Store) -> None:
    store.put(KEY, DATA, {})
    store.put(OTHER, DATA, {})
    unfinished = store.folder / f".{KEY}{SUFFIX}.0123.part"
    unfinished.write_bytes(b"half")
    (store.folder / "notes.txt").write_text("mine")
    count, size = store.clear()
    assert count == 3
    assert size > 2 * len(DATA)
    assert [path.name for path in store.folder.iterdir()] == ["notes.txt"]
    assert store.clear() == (0, 0)


def test_what_a_process_left_unfinished_goes_in_time(store: Store) -> None:
    store.put(KEY, DATA, {})
    young, old = (store.folder / f".{KEY}{SUFFIX}.{n}.part" for n in (1, 2))
    young.write_bytes(b"half")
    old.write_bytes(b"half")
    age(old, 4000)
    store.put(OTHER, DATA, {})
    assert (young.exists(), old.exists()) == (True, False)


def test_a_folder_that_can_t_be_written_costs_the_entry_only(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    store = Store(blocked / "cache")
    store.put(KEY, DATA, {})
    assert store.get(KEY) is None
    assert store.entries() == []
    assert store.clear() == (0, 0)
    impossible = Store(tmp_path / "zero\0character")
    impossible.put(KEY, DATA, {})
    assert (impossible.get(KEY), impossible.entries()) == (None, [])


def test_a_disk_that_can_only_be_read_still_serves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, DATA, {})
    age(path_of(store), 1000)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("utime", "unlink", "mkdir", "replace"):
        monkeypatch.setattr(os, name, refuse)
    assert store.get(KEY) == DATA
    store.put(OTHER, DATA, {})
    assert store.get(OTHER) is None
    assert store.clear() == (0, 0)


def test_a_full_disk_leaves_no_half_entry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, DATA, {})
    before = sorted(store.folder.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    store.put(OTHER, DATA, {})
    store.put(KEY, b"newer", {})
    monkeypatch.undo()
    assert sorted(store.folder.iterdir()) == before
    assert (store.get(KEY), store.get(OTHER)) == (DATA, None)


WORKER = """
import sys
from pathlib import Path
from lapilli.cache.store import Store
store = Store(Path(sys.argv[1]), limit=400_000)
for turn in range(60):
    key = f"{turn % 12:02x}" * 32
    found = store.get(key)
    assert found is None or found == key.encode() * 1000, "another's bytes"
    store.put(key, key.encode() * 1000, {"model": sys.argv[2]})
    if turn % 20 == 19:
        store.clear()
"""


def test_eight_processes_may_use_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    running = [subprocess.Popen([*command, str(number)]) for number in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    assert not [path for path in tmp_path.iterdir() if path.suffix != SUFFIX]


def test_threads_may_use_it_at_once(store: Store) -> None:
    wrong: list[bytes] = []

    def work(byte: int) -> None:
        for _ in range(50):
            store.put(KEY, bytes([byte]) * 5000, {})
            found = store.get(KEY)
            if found is None or len(set(found)) != 1:
                wrong.append(found or b"")

    threads = [threading.Thread(target=work, args=(byte,)) for byte in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
