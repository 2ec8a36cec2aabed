"""What stands between this machine and an inference, and the command that mends it."""

from __future__ import annotations

import errno
import getpass
import grp
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lapilli.device.candidates import Candidate, candidates
from lapilli.device.etnaviv import Node, Refused
from lapilli.device.open import AUTO, is_emulator, open_device
from lapilli.device.system import NODE_PATTERN, NODES, System
from lapilli.errors import DeviceError
from lapilli.hw import drm
from lapilli.litert import runtime as litert
from lapilli.program.device import Device
from lapilli.selftest.ladder import Outcome, run_case
from lapilli.selftest.models import small_convolution

DEVICE_TREE_NAME = b"vivante,gc"
"""What the driver's nodes are compatible with, as mainline device trees have it."""
CLOCK_NAMES = ("npu", "nna", "vip", "etnaviv", "gpu")
"""Parts of the names that clocks of an NPU have on the boards we know."""


class State(Enum):
    """What a finding means."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """``mend``: what to do about a problem."""

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Machine:
    """Where to look; tests have files of their own."""

    system: System
    root: Path = Path("/")


def examine(machine: Machine, device: str = AUTO) -> list[Check]:
    """All checks for ``device``. Problems of nodes that are not asked for are notes."""
    checks = [Check("kernel", State.OK, f"{platform.system()} {platform.release()}")]
    if not is_emulator(device):
        found = candidates(machine.system)
        if device != AUTO:
            found = [each for each in found if each.path == device]
        usable = any(each.identity is not None for each in found)
        checks += [
            _device_tree(machine, usable),
            _driver(machine, found),
            *_nodes(machine, found, device, usable),
            *_npus(found, usable),
            _clock(machine),
        ]
    return [*checks, _runtime(), _self_test(machine, device)]


# ------------------------------------------------------------------------------- below the driver


def _text(path: Path) -> str:
    try:
        return path.read_bytes().split(b"\0")[0].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _tree_nodes(tree: Path) -> Iterator[Path]:
    """Folders of the device tree's nodes that the driver is for."""
    for folder, _, files in os.walk(tree):
        if "compatible" in files:
            path = Path(folder)
            try:
                names = (path / "compatible").read_bytes().split(b"\0")
            except OSError:
                continue
            if DEVICE_TREE_NAME in names:
                yield path


def _device_tree(machine: Machine, usable: bool) -> Check:
    tree = Path(os.path.realpath(machine.root / "proc/device-tree"))
    if not tree.is_dir():
        return Check("device tree", State.NOTE, "this machine has none")
    board = _text(tree / "model") or "unnamed board"
    nodes = list(_tree_nodes(tree))
    states = {node: _text(node / "status") or "okay" for node in nodes}
    listed = ", ".join(f"/{node.relative_to(tree)} {states[node]}" for node in nodes)
    worst = State.NOTE if usable else State.PROBLEM
    if not nodes:
        return Check(
            "device tree",
            worst,
            f"{board}: no node is compatible with {DEVICE_TREE_NAME.decode()!r}",
            "use a kernel whose device tree describes this board's NPU: "
            "sudo apt install -t $(lsb_release -cs)-backports linux-image-arm64",
        )
    disabled = [node for node in nodes if states[node] not in ("okay", "ok")]
    if disabled:
        path = f"/{disabled[0].relative_to(tree)}"
        mend = f"sudo fdtput -t s BOARD.dtb {path} status okay, with the board's file; then reboot"
        return Check("device tree", worst, f"{board}: {listed}", mend)
    return Check("device tree", State.OK, f"{board}: {listed}")


def _driver(machine: Machine, found: list[Candidate]) -> Check:
    ours = [each for each in found if each.driver and each.driver.name == drm.DRIVER_NAME]
    if ours:
        return Check("driver", State.OK, f"{ours[0].driver}")
    if (machine.root / "sys/module" / drm.DRIVER_NAME).exists():
        return Check(
            "driver",
            State.PROBLEM,
            f"{drm.DRIVER_NAME} is loaded, but no node of it can be used",
            f"see what it says about the device: sudo dmesg | grep {drm.DRIVER_NAME}",
        )
    return Check(
        "driver",
        State.PROBLEM,
        f"{drm.DRIVER_NAME} is not loaded",
        f"sudo modprobe {drm.DRIVER_NAME}",
    )


# ------------------------------------------------------------------------------- the driver's nodes


def _nodes(machine: Machine, found: list[Candidate], device: str, usable: bool) -> Iterator[Check]:
    """Whether there are render nodes, and those that can't be opened."""
    if not found:
        yield Check(
            "render node",
            State.PROBLEM,
            f"there is no {NODES / NODE_PATTERN if device == AUTO else device}",
            "mend device tree and driver, see above; for a container: "
            "docker run --device /dev/dri/renderD128 ...",
        )
    for each in found:
        try:
            Node(each.path, machine.system).close()
        except Refused as error:
            mend = ""
            if error.number in (errno.EACCES, errno.EPERM):
                mend = f"sudo usermod -aG {_group(each.path)} {_user()}, then log in again"
            yield Check("render node", State.NOTE if usable else State.PROBLEM, str(error), mend)
        else:
            yield Check("render node", State.OK, f"{each.path} can be opened")


def _group(path: str) -> str:
    """The group that the node belongs to; usually render."""
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "render"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "$USER"


def _npus(found: list[Candidate], usable: bool) -> Iterator[Check]:
    """The NPU of each node of our driver."""
    for each in found:
        if each.identity is not None:
            chip = each.identity.chip
            yield Check(
                "NPU",
                State.OK,
                f"{each.path}: {chip.name}, {chip.description}; {each.identity.core}",
            )
            yield Check("chip", State.OK, f"{chip.name}: {chip.evidence.value}")
        elif each.driver is not None:
            ours = each.driver.name == drm.DRIVER_NAME
            mend = ""
            if ours and (each.driver.major, each.driver.minor) < drm.IDENTITY_VERSION:
                mend = "sudo apt install -t $(lsb_release -cs)-backports linux-image-arm64"
            elif ours:
                mend = "tell us the core's identity, as printed by: lapilli devices --json"
            worst = State.PROBLEM if ours and not usable else State.NOTE
            yield Check("NPU", worst, each.reason, mend)


def _clock(machine: Machine) -> Check:
    """What the kernel tells about the NPU's clock."""
    for folder in sorted((machine.root / "sys/class/devfreq").glob("*")):
        hertz = _text(folder / "cur_freq")
        if any(name in folder.name.lower() for name in CLOCK_NAMES) and hertz.isdigit():
            return Check("clock", State.OK, f"{folder.name}: {int(hertz) / 1e6:g} MHz")
    summary = machine.root / "sys/kernel/debug/clk/clk_summary"
    try:
        lines = summary.read_text(errors="replace").splitlines()
    except OSError:
        return Check("clock", State.NOTE, "the kernel does not tell; root may see it in debugfs")
    rates = []
    for words in (line.split() for line in lines):
        named = words and any(name in words[0].lower() for name in CLOCK_NAMES)
        if named and len(words) > 4 and words[4].isdigit():
            rates.append(f"{words[0]} {int(words[4]) / 1e6:g} MHz")
    if rates:
        return Check("clock", State.OK, ", ".join(rates))
    return Check("clock", State.NOTE, "none of the kernel's clocks has a name we know")


# ------------------------------------------------------------------------------- above the driver


def _runtime() -> Check:
    try:
        litert.interpreter_class()
        return Check("LiteRT", State.OK, litert.runtime_version())
    except DeviceError as error:
        return Check("LiteRT", State.PROBLEM, str(error), "pip install 'lapilli[litert]'")


def _self_test(machine: Machine, device: str) -> Check:
    """A small convolution, compared with its known result."""
    try:
        opened: Device = open_device(device, machine.system)
    except DeviceError as error:
        return Check("self-test", State.PROBLEM, f"not run: {error}", "mend the problems above")
    try:
        case = small_convolution()
        result = run_case(case, opened)
    finally:
        opened.close()
    if result.outcome is Outcome.PASSED:
        time = f"{result.milliseconds:g} ms"
        return Check("self-test", State.OK, f"{opened.name}: {case.name} is right; {time}")
    found = f"{opened.name}: {case.name}: {result.outcome.value}"
    detail = result.detail or f"{result.differing} of {result.elements} bytes are wrong"
    mend = f"lapilli selftest --device {device}, and send its report"
    return Check("self-test", State.PROBLEM, f"{found}: {detail}", mend)
