"""``lapilli replay``: a recording in, every tensor buffer out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, call
from shared_data import shared_data

from lapilli.errors import ExitCode


def recording(name: str = "mb3") -> Path:
    return shared_data() / "recordings" / "a311d" / "ops" / f"{name}.npz"


def test_replay_writes_every_tensor_buffer(folder: Path) -> None:
    result = call("replay", recording(), "--chip", "a311d", "-o", "out.npz", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    with np.load(folder / "out.npz") as arrays:
        names = [f"buffer_{entry['buffer']}" for entry in summary["buffers"]]
        assert arrays.files == names
        assert all(arrays[n].dtype == np.uint8 for n in names)
        assert [arrays[n].size for n in names] == [e["bytes"] for e in summary["buffers"]]
    assert summary["device"] == "emulator:a311d"


def test_replay_puts_inputs_in_first(folder: Path) -> None:
    with np.load(recording()) as arrays:
        number = list(arrays["role"]).index("input")
        size = int(arrays["size"][number])
    call("replay", recording(), "-o", "plain.npz")
    given = np.random.default_rng(1).integers(1, 256, size // 2).astype(np.uint8)
    np.savez(folder / "in.npz", **{f"buffer_{number}": given})
    assert call("replay", recording(), "-o", "x.npz", "--inputs", "in.npz").exit_code == 0
    with np.load("plain.npz") as plain, np.load("x.npz") as changed:
        assert (changed[f"buffer_{number}"][: len(given)] == given).all()
        assert sum((plain[name] != changed[name]).any() for name in plain.files) > 1


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("buffer_99", np.zeros(4, np.uint8), "allowed: buffer_"),
        ("buffer_0", np.zeros(4, np.uint8), "allowed: buffer_"),  # holds the instructions
        ("image", np.zeros(4, np.uint8), "an array called 'image'"),
        ("input", np.zeros(1 << 24, np.uint8), "allowed: up to"),
        ("input", np.zeros(4, np.float32), "of float32; allowed"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line_and_exit_3(
    folder: Path, name: str, array: np.ndarray[Any, Any], message: str
) -> None:
    with np.load(recording()) as arrays:
        roles = list(arrays["role"])
    if name == "buffer_0":
        name = f"buffer_{roles.index('instruction')}"
    if name == "input":
        name = f"buffer_{roles.index('input')}"
    np.savez(folder / "in.npz", **{name: array})
    result = call("replay", recording(), "-o", "out.npz", "--inputs", "in.npz")
    assert_one_line(result, ExitCode.INVALID_FILE, "in.npz: ", message)
    assert not (folder / "out.npz").exists()


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ("toaster", ExitCode.USAGE),
        ("emulator:toaster", ExitCode.USAGE),
        ("/dev/dri/renderD999", ExitCode.NO_DEVICE),
    ],
)
def test_devices_that_are_not_there(folder: Path, device: str, code: int) -> None:
    result = call("replay", recording(), "-o", "out.npz", "--device", device)
    assert_one_line(result, code, device)
    assert not (folder / "out.npz").exists()


def test_chip_and_device_must_agree(folder: Path) -> None:
    result = call(
        "replay", recording(), "-o", "x", "--chip", "stm32mp2", "--device", "emulator:a311d"
    )
    assert_one_line(result, ExitCode.USAGE, "--chip stm32mp2", "emulator:a311d is a311d")
