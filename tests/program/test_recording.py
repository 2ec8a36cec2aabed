"""Recordings: what no kernel could have been given is one ModelError, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lapilli.cli import commands
from lapilli.device import replay as replaying
from lapilli.device.open import open_device
from lapilli.errors import ExitCode, ModelError
from lapilli.program import recording
from lapilli.program.recording import RecordedBuffer, Recording

PAGE = 4096
GOOD: dict[str, Any] = {
    "commands": np.array([0x10000000, 0], np.uint32),
    "address": np.array([0x500000, 0x600000], np.uint32),
    "size": np.array([64, 2 * PAGE], np.uint32),
    "role": np.array(["instruction", "tensor"]),
    "data_0": np.arange(64, dtype=np.uint8),
}


def saved(folder: Path, **changes: Any) -> Path:
    path = folder / "x.npz"
    np.savez(path, **{k: v for k, v in {**GOOD, **changes}.items() if v is not None})
    return path


def test_a_good_one_is_read_and_written_again(tmp_path: Path) -> None:
    found = recording.load(saved(tmp_path))
    assert [b.role for b in found.buffers] == ["instruction", "tensor"]
    assert found.commands.dtype == np.uint32
    recording.save(tmp_path / "y.npz", found)
    again = recording.load(tmp_path / "y.npz")
    assert again.commands.tolist() == found.commands.tolist()
    assert [b.data.tolist() for b in again.buffers] == [b.data.tolist() for b in found.buffers]


def u64(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commands": None}, "no 'commands'"),
        ({"commands": u64(1 << 32, 0)}, "command word 0x100000000; allowed: 32 bits"),
        ({"commands": np.array([1, -1])}, "'commands' is int64"),
        ({"commands": np.array([[1]], np.uint32)}, r"shape \(1, 1\)"),
        ({"commands": np.array([1.0])}, "'commands' is float64"),
        ({"address": u64(0, 0x600000)}, "buffer 0: found address 0x0; allowed: multiples of 4096"),
        ({"address": u64(0x500001, 0x600000)}, "address 0x500001"),
        ({"address": u64(1 << 40, 0x600000)}, "address 0x10000000000"),
        ({"address": u64(1 << 63, 0x600000)}, "address 0x8000000000000000"),
        ({"address": np.array([-PAGE, 0x600000])}, "address -0x1000"),
        ({"address": u64(0x5FF000, 0x600000), "size": u64(PAGE + 1, 9)}, "that don't overlap"),
        ({"address": u64(0x600000, 0x600000)}, "that don't overlap"),
        ({"size": u64(0, 9)}, "buffer 0: found 0 bytes"),
        ({"size": u64(64, (1 << 32) - 0x600000 + 1)}, "buffer 1: found 4288675841 bytes"),
        ({"size": np.array([64, -1])}, "found -1 bytes"),
        ({"size": u64(1)}, "2 addresses, 1 sizes, 2 roles"),
        ({"role": np.array(["instruction", "secret"])}, "role 'secret'; allowed: instruction"),
        ({"role": np.array([1, 2])}, "'role' is int64"),
        ({"role": np.array(["\x1b[31m" * 99, "tensor"])}, "allowed: instruction"),
        ({"data_0": np.zeros(65, np.uint8)}, "data_0 has 65 uint8"),
        ({"data_0": np.zeros(4, np.uint16)}, "data_0 has 4 uint16"),
    ],
)
def test_a_wrong_one_is_one_error_and_exit_3(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = saved(tmp_path, **changes)
    with pytest.raises(ModelError, match=message):
        recording.load(path)
    for command in (["replay", "-o", str(tmp_path / "o.npz")], ["profile"]):
        found = CliRunner().invoke(commands, [*command, str(path)])
        assert found.exit_code == ExitCode.INVALID_FILE, found.output
        assert len(found.stderr.splitlines()) == 1


def test_declared_buffers_are_limited(tmp_path: Path) -> None:
    """They cost nothing in the file and memory here, so the limit can be changed."""
    path = saved(tmp_path, size=u64(64, 3 << 30))
    out = tmp_path / "o.npz"
    found = CliRunner().invoke(commands, ["replay", str(path), "-o", str(out)])
    assert found.exit_code == ExitCode.INVALID_FILE
    assert f"{(3 << 30) + 64} bytes; allowed: {replaying.MOST_BYTES} (--max-bytes)" in found.stderr
    assert not out.exists()
    small = saved(tmp_path)
    arguments = ["replay", str(small), "-o", str(out), "--max-bytes"]
    assert CliRunner().invoke(commands, [*arguments, str(64 + 2 * PAGE)]).exit_code == 0
    assert CliRunner().invoke(commands, [*arguments, str(63 + 2 * PAGE)]).exit_code == 3


def test_nothing_is_allocated_for_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    large = Recording(
        np.zeros(2, np.uint32),
        (RecordedBuffer("tensor", 0x500000, 1 << 31, np.zeros(0, np.uint8)),),
    )
    device = open_device("emulator:a311d")
    monkeypatch.setattr(type(device), "alloc", lambda *arguments: pytest.fail("allocated"))
    with pytest.raises(ModelError, match="2147483648 bytes"):
        replaying.replay(large, device)
