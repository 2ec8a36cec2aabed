"""From a device's name to a device: ``emulator:CHIP``, a render node's path, or ``auto``.

Programs that cut their options at colons can't hand over the first, so ``emulator-CHIP`` and the
chip's name alone are the same, and a board's name stands for its chip. ``LAPILLI_DEVICE`` is for
those that hand over nothing.

Nothing is ever replaced silently: ``auto`` looks for a board only, and says why each candidate was
refused and how to ask for the emulator.
"""

from __future__ import annotations

import os

from lapilli.device.system import NODE_PATTERN, NODES, KernelSystem, System
from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.hw.boards import find_chip
from lapilli.hw.chips import CHIPS
from lapilli.program.device import Device

EMULATOR_PREFIX = "emulator:"
WITHOUT_COLON = "emulator-"
AUTO = "auto"
VARIABLE = "LAPILLI_DEVICE"
"""Names the device where nobody does."""
HINT = "for the emulated NPU: --device emulator:a311d"
DELEGATE_HINT = (
    f"for the emulated NPU: the option device=emulator-a311d, or {VARIABLE}=emulator-a311d"
)


def this_machine() -> System:
    """The system calls of the machine we run on."""
    return KernelSystem()


def chosen(name: str | None) -> str:
    """The device's name: ``name``, or what ``LAPILLI_DEVICE`` says if that is None, or ``auto``; an
    emulated one as ``emulator:CHIP``, however it is spelt."""
    found = name if name is not None else os.environ.get(VARIABLE) or AUTO
    chip = find_chip(found.removeprefix(WITHOUT_COLON).removeprefix(EMULATOR_PREFIX))
    return found if chip is None else EMULATOR_PREFIX + chip.name


def open_device(name: str | None = None, system: System | None = None) -> Device:
    """The device called ``name``; see ``chosen``.

    Raises UsageError for a name that can't be one, Unsupported for a chip the emulator does not
    know, DeviceError if there is no such device. ``system`` are the system calls for boards; by
    default this machine's.
    """
    name = chosen(name)
    if is_emulator(name):
        return _open_emulator(name)
    if name == AUTO:
        return _open_board(this_machine() if system is None else system)
    if name.startswith("/"):
        return _open_node(name, this_machine() if system is None else system)
    raise UsageError(f"unknown device {name!r}; a device is {_forms()}{_cut_off(name)}")


def is_emulator(name: str) -> bool:
    """Whether the device called so is no board."""
    return chosen(name).startswith(EMULATOR_PREFIX)


def emulated_chip(name: str) -> str:
    """The chip's name in that of an emulated device."""
    return chosen(name).removeprefix(EMULATOR_PREFIX)


def _cut_off(name: str) -> str:
    """What to say of a name that a program cut at its colon."""
    if name + ":" != EMULATOR_PREFIX:
        return ""
    return f"; where a program cuts names at colons: {WITHOUT_COLON}a311d"


def emulators() -> list[str]:
    """Names of all emulated devices."""
    from lapilli.emulator.generations import GENERATIONS

    return [EMULATOR_PREFIX + chip.name for chip in CHIPS if chip.generation in GENERATIONS]


def _forms() -> str:
    names = ", ".join(emulators())
    return f"auto, a render node such as /dev/dri/renderD128, or one of {names}"


def _open_node(path: str, system: System) -> Device:
    from lapilli.device.drm import DrmDevice

    try:
        return DrmDevice(path, system)
    except DeviceError as error:
        raise DeviceError(f"{error}; {HINT}") from error


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
        raise DeviceError(f"no NPU found: there is no render node {NODES}/{NODE_PATTERN}; {HINT}")
    raise DeviceError(f"no usable NPU found ({'; '.join(reasons)}); {HINT}")


def _open_emulator(name: str) -> Device:
    chip = find_chip(name[len(EMULATOR_PREFIX) :])
    if chip is None:
        raise UsageError(f"unknown device {name!r}; a device is {_forms()}{_cut_off(name)}")
    from lapilli.emulator.machine import EmulatedDevice

    try:
        return EmulatedDevice(chip, name)
    except Unsupported as error:
        raise Unsupported(f"{name}: {error}; a device is {_forms()}") from None
