"""A file is written as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapilli.errors import ModelError
from lapilli.files import replacing


class Unforeseen(Exception):
    """Neither the system's nor ours."""


def fail_half_way(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as file:
        file.write(b"half of")
        file.flush()
        raise error


@pytest.mark.parametrize("error", [Unforeseen, KeyboardInterrupt])
def test_a_writer_that_fails_half_way_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"what was there")
    with pytest.raises(error):
        fail_half_way(path, error)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        (part,) = set(tmp_path.iterdir()) - {path}
        assert part.name.startswith(".x.") and part.suffix == ".part"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_not_there_is_not_left_behind_in_half(tmp_path: Path) -> None:
    with pytest.raises(Unforeseen):
        fail_half_way(tmp_path / "x", Unforeseen)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(ModelError, match="/dev/full: can't be written: No space left"):
        fail_half_way(Path("/dev/full"), Unforeseen)
