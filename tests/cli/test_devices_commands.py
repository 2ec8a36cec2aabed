"""``lapilli devices``, ``doctor`` and ``selftest``, and ``--save-hang``."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_npu import NODE, Board, board, chip_called, small_input, small_part

from lapilli.cli import commands
from lapilli.device import open as opening
from lapilli.device.system import System
from lapilli.errors import ExitCode
from lapilli.hw import drm
from lapilli.program import recording
from lapilli.selftest import models
from lapilli.selftest.doctor import Check, Machine, State, examine
from lapilli.selftest.ladder import Outcome, run_case
from lapilli.virtual.injection import FaultySystem, Injection
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.system import VirtualSystem

Output = tuple[int, str, str]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Output]:
    """Runs a command line on a machine: exit code, stdout, stderr."""

    def run(system: System, *arguments: str) -> Output:
        monkeypatch.setattr(opening, "this_machine", lambda: system)
        with pytest.raises(SystemExit) as ended:
            commands.main(list(arguments))
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


def hanging(machine: Board, first: int = 0, times: int = 1) -> FaultySystem:
    """The machine, on which a fence never passes."""
    injection = Injection(first, errno.ETIMEDOUT, times, drm.WAIT_FENCE.request)
    return FaultySystem(machine.system, machine.clock, injection)


# ----------------------------------------------------------------------------------------- devices


def test_devices_lists_every_node(call: Callable[..., Output]) -> None:
    kernels: dict[str, VirtualKernel | int] = {
        "/dev/dri/renderD128": VirtualKernel(
            chip_called(), Settings(driver="panfrost", execute=False)
        ),
        "/dev/dri/renderD129": VirtualKernel(chip_called(), Settings(execute=False)),
        "/dev/dri/renderD130": errno.EACCES,
    }
    code, out, _ = call(VirtualSystem(kernels), "devices")
    lines = out.splitlines()
    assert code == ExitCode.OK
    assert lines[0] == "/dev/dri/renderD128: its driver is 'panfrost'; NPUs have 'etnaviv'"
    assert lines[1].startswith("/dev/dri/renderD129: a311d, Amlogic A311D (Khadas VIM3")
    assert "EACCES, no permission" in lines[2]
    assert "emulator:a311d" in out
    code, out, _ = call(VirtualSystem(kernels), "devices", "--json")
    report = json.loads(out)
    assert [each["usable"] for each in report["devices"]] == [False, True, False]
    assert report["devices"][1]["cores"][0]["customer_id"] == 0x88
    assert report["devices"][1]["driver_version"] == "1.4.0"


def test_devices_without_any(call: Callable[..., Output]) -> None:
    code, out, _ = call(VirtualSystem({}), "devices")
    assert code == ExitCode.OK
    assert out.startswith("no render node /dev/dri/renderD*")


# ------------------------------------------------------------------------------------------ doctor


def checks(system: System, root: Path, device: str = "auto") -> dict[str, Check]:
    """The last check of each name."""
    return {check.name: check for check in examine(Machine(system, root), device)}


def device_tree(root: Path, status: str) -> None:
    node = root / "proc/device-tree/soc/npu@ff100000"
    node.mkdir(parents=True)
    (node / "compatible").write_bytes(b"vendor,npu\0vivante,gc\0")
    (node / "status").write_bytes(status.encode() + b"\0")
    (root / "proc/device-tree/model").write_bytes(b"Khadas VIM3\0")


def test_a_healthy_board(tmp_path: Path, call: Callable[..., Output]) -> None:
    machine = board()
    device_tree(tmp_path, "okay")
    clock = tmp_path / "sys/class/devfreq/ff100000.npu"
    clock.mkdir(parents=True)
    (clock / "cur_freq").write_text("800000000\n")
    found = checks(machine.system, tmp_path)
    assert {check.state for check in found.values()} == {State.OK}, found
    assert found["device tree"].found == "Khadas VIM3: /soc/npu@ff100000 okay"
    assert found["clock"].found == "ff100000.npu: 800 MHz"
    assert found["driver"].found == "etnaviv 1.4.0"
    assert found["self-test"].found.startswith(f"{NODE}: convolution 3x3 is right")
    code, out, _ = call(machine.system, "doctor", "--device", NODE)
    assert code == ExitCode.OK
    assert out.endswith("\nready\n")


def test_a_clock_in_debugfs(tmp_path: Path) -> None:
    folder = tmp_path / "sys/kernel/debug/clk"
    folder.mkdir(parents=True)
    (folder / "clk_summary").write_text("   clock  enable\n   nna_core_clk  1 1 0 800000000 0\n")
    found = checks(board().system, tmp_path)["clock"]
    assert (found.state, found.found) == (State.OK, "nna_core_clk 800 MHz")


def test_a_disabled_node_of_the_device_tree(tmp_path: Path) -> None:
    device_tree(tmp_path, "disabled")
    found = checks(VirtualSystem({}), tmp_path)
    assert found["device tree"].state is State.PROBLEM
    assert "/soc/npu@ff100000 status okay" in found["device tree"].mend
    assert found["driver"].mend == "sudo modprobe etnaviv"
    assert found["render node"].state is State.PROBLEM
    (tmp_path / "sys/module/etnaviv").mkdir(parents=True)
    assert "dmesg" in checks(VirtualSystem({}), tmp_path)["driver"].mend


def test_a_device_tree_without_npu(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    found = checks(VirtualSystem({}), tmp_path)["device tree"]
    assert "no node is compatible with 'vivante,gc'" in found.found
    assert checks(board().system, tmp_path)["device tree"].state is State.NOTE


def test_a_node_without_permission(tmp_path: Path) -> None:
    found = checks(VirtualSystem({NODE: errno.EACCES}), tmp_path)["render node"]
    assert found.state is State.PROBLEM
    assert found.mend.startswith("sudo usermod -aG render ")


@pytest.mark.parametrize(
    ("settings", "mend"),
    [({"version": (1, 3, 0)}, "sudo apt install"), ({"softpin": False}, "lapilli devices --json")],
)
def test_a_kernel_that_can_not_be_used(tmp_path: Path, settings: Any, mend: str) -> None:
    found = checks(board(execute=False, **settings).system, tmp_path)
    assert found["NPU"].state is State.PROBLEM
    assert mend in found["NPU"].mend
    assert found["self-test"].state is State.PROBLEM


def test_a_wrong_result_is_found(tmp_path: Path) -> None:
    """In the mode without execution every output stays 0."""
    found = checks(board(execute=False).system, tmp_path)["self-test"]
    assert found.state is State.PROBLEM
    assert "differs" in found.found
    assert found.mend.startswith("lapilli selftest --device")


def test_doctor_without_a_board(call: Callable[..., Output]) -> None:
    code, out, _ = call(VirtualSystem({}), "doctor", "--json")
    report = json.loads(out)
    assert code == ExitCode.NO_DEVICE
    assert not report["usable"]
    for check in report["checks"]:
        assert check["state"] != "problem" or check["mend"], check


def test_doctor_of_the_emulator(call: Callable[..., Output]) -> None:
    code, out, _ = call(VirtualSystem({}), "doctor", "--device", "emulator:a311d")
    assert code == ExitCode.OK
    assert "self-test" in out


# ---------------------------------------------------------------------------------------- selftest


def test_the_ladder_passes_on_a_virtual_board(call: Callable[..., Output], tmp_path: Path) -> None:
    prefix = str(tmp_path / "report")
    code, out, _ = call(board().system, "selftest", "--output", prefix, "--runs", "1")
    assert code == ExitCode.OK, out
    report = json.loads(Path(f"{prefix}.json").read_text(encoding="utf-8"))
    assert report["passed"] and len(report["cases"]) == len(models.ladder())
    assert report["device"]["driver"] == "etnaviv 1.4.0"
    assert set(report["versions"]) >= {"lapilli", "kernel", "litert", "numpy", "python"}
    assert all(case["milliseconds"] is not None for case in report["cases"])
    written = Path(f"{prefix}.txt").read_text(encoding="utf-8")
    assert "model 0x8000 revision 0x7120" in written
    assert written.endswith(f"{len(report['cases'])} of {len(report['cases'])} cases passed\n")


def test_expected_values_are_no_constants() -> None:
    for case in models.ladder():
        assert len(np.unique(case.expected)) > 50, case.name


def test_a_device_that_computes_nothing_is_found_out(
    call: Callable[..., Output], tmp_path: Path
) -> None:
    system = board(execute=False).system
    prefix = str(tmp_path / "report")
    code, out, _ = call(system, "selftest", "--output", prefix, "--runs", "1", "--json")
    assert code == ExitCode.RESULTS_DIFFER
    assert {case["outcome"] for case in json.loads(out)["cases"]} == {"differs"}


def test_a_hang_is_reported_and_the_ladder_goes_on() -> None:
    machine = board()
    with opening.open_device(NODE, hanging(machine)) as device:  # type: ignore[attr-defined]
        result = run_case(models.small_convolution(), device)
        assert result.outcome is Outcome.HANG
        assert result.recording is not None
        assert run_case(models.small_convolution(), device).outcome is Outcome.PASSED


# --------------------------------------------------------------------------------------- save-hang


def test_replay_saves_a_hang(call: Callable[..., Output], tmp_path: Path) -> None:
    """Recorded on a virtual board, hung on another, and run on the emulator."""
    from lapilli.device.runner import LoadedPart

    recorded: list[recording.Recording] = []
    part = small_part()
    with board(record=lambda _, each: recorded.append(each)).device() as device:
        expected = LoadedPart(device, part).run(small_input())
    path, hung, out = (str(tmp_path / name) for name in ("a.npz", "hung.npz", "out.npz"))
    recording.save(path, recorded[0])
    arguments = ("replay", path, "--device", NODE, "-o", out, "--save-hang", hung)
    code, _, err = call(hanging(board()), *arguments)
    assert code == ExitCode.HANG
    assert f"lapilli replay {hung} --device emulator:a311d" in err
    assert not Path(out).exists()
    code, _, _ = call(VirtualSystem({}), "replay", hung, "-o", out)
    assert code == ExitCode.OK
    (binding,) = part.outputs
    found = np.load(out)[f"buffer_{binding.buffer}"][binding.offset :][: binding.size]
    assert np.array_equal(found, expected[binding.tensor].reshape(-1))


def test_run_saves_a_hang(call: Callable[..., Output], tmp_path: Path) -> None:
    """Through LiteRT and the delegate."""
    pytest.importorskip("ai_edge_litert")
    from importlib.resources import as_file, files

    np.save(tmp_path / "x.npy", np.zeros((1, 16, 16, 1), np.uint8))
    hung = tmp_path / "hung.npz"
    with as_file(files("lapilli.data") / "digits.tflite") as model:
        code, _, err = call(
            hanging(board()), "run", str(model), "--device", NODE, "--input",
            str(tmp_path / "x.npy"), "--save-hang", str(hung),
        )  # fmt: skip
    assert code == ExitCode.HANG, err
    assert "the NPU was not done after 5 s" in err
    roles = {buffer.role for buffer in recording.load(hung).buffers}
    assert {"instruction", "coefficients", "input"} <= roles


def test_run_on_a_board_gives_the_emulators_answer(
    call: Callable[..., Output], tmp_path: Path
) -> None:
    """auto: LiteRT, the delegate, the device layer and the virtual kernel."""
    pytest.importorskip("ai_edge_litert")
    from importlib.resources import as_file, files

    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1)).astype(np.uint8)
    np.save(tmp_path / "x.npy", image)
    machine = board()
    found = []
    with as_file(files("lapilli.data") / "digits.tflite") as model:
        for device in ("auto", "emulator:a311d"):
            path = str(tmp_path / f"{len(found)}.npz")
            arguments = (str(model), "--device", device, "--input", str(tmp_path / "x.npy"))
            code, _, err = call(machine.system, "run", *arguments, "--output", path)
            assert code == ExitCode.OK, err
            found.append(np.load(path)["output_0"])
    assert np.array_equal(found[0], found[1])
    assert machine.kernel.used_bytes == 0
    assert machine.system.open_files == 0
