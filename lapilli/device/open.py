"""From a device's name to a device: ``emulator:CHIP``, a render node's path, or ``auto``.

Nothing is ever replaced silently: ``auto`` looks for a board only, and says why each candidate was
refused and how to ask for the emulator.
"""

from __future__ import annotations

from lapilli.device.system import NODE_PATTERN, NODES, KernelSystem, System
from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.hw.chips import CHIPS, find_by_name
from lapilli.program.device import Device

EMULATOR_PREFIX = "emulator:"
AUTO = "auto"


def this_machine() -> System:
    """The system calls of the machine we run on."""
    return KernelSystem()


def open_device(name: str = AUTO, system: System | None = None) -> Device:
    """The device called ``name``. Raises UsageError for a name that can't be one, Unsupported for a
    chip the emulator does not know, DeviceError if there is no such device.

    ``system`` are the system calls for boards; by default this machine's.
    """
    if is_emulator(name):
        return _open_emulator(name)
    if name == AUTO:
        return _open_board(this_machine() if system is None else system)
    if name.startswith("/"):
        return _open_node(name, this_machine() if system is None else system)
    raise UsageError(f"unknown device {name!r}; a device is {_forms()}")


def is_emulator(name: str) -> bool:
    """Whether the device called so is no board."""
    return name.startswith(EMULATOR_PREFIX)


def emulators() -> list[str]:
    """Names of all emulated devices."""
    from lapilli.emulator.generations import GENERATIONS

    return [EMULATOR_PREFIX + chip.name for chip in CHIPS if chip.generation in GENERATIONS]


def _forms() -> str:
    names = ", ".join(emulators())
    return f"auto, a render node such as /dev/dri/renderD128, or one of {names}"


def _hint() -> str:
    return "for the emulated NPU: --device emulator:a311d"


def _open_node(path: str, system: System) -> Device:
    from lapilli.device.drm import DrmDevice

    try:
        return DrmDevice(path, system)
    except DeviceError as error:
        raise DeviceError(f"{error}; {_hint()}") from error


def _open_board(system: System) -> Device:
    """The first NPU that can be used; a DeviceError says of every node why it can't."""
    from lapilli.device.drm import DrmDevice

    reasons = []
    for path in system.nodes():
        try:
            return DrmDevice(path, system)
        except DeviceError as error:
            reasons.append(str(error))
    if not reasons:
        raise DeviceError(
            f"no NPU found: there is no render node {NODES}/{NODE_PATTERN}; {_hint()}"
        )
    raise DeviceError(f"no usable NPU found ({'; '.join(reasons)}); {_hint()}")


def _open_emulator(name: str) -> Device:
    chip = find_by_name(name[len(EMULATOR_PREFIX) :])
    if chip is None:
        raise UsageError(f"unknown device {name!r}; a device is {_forms()}")
    from lapilli.emulator.machine import EmulatedDevice

    try:
        return EmulatedDevice(chip, name)
    except Unsupported as error:
        raise Unsupported(f"{name}: {error}; a device is {_forms()}") from None
