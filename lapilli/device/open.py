"""From a device's name to a device: ``emulator:CHIP``, a render node's path, or ``auto``.

Nothing is ever replaced silently: ``auto`` looks for a board only, and says why each candidate was
refused and how to ask for the emulator.
"""

from __future__ import annotations

from pathlib import Path

from lapilli.device import Device
from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.hw.chips import CHIPS, find_by_name

EMULATOR_PREFIX = "emulator:"
AUTO = "auto"
NODES = Path("/dev/dri")
NODE_PATTERN = "renderD*"


def open_device(name: str = AUTO) -> Device:
    """The device called ``name``. Raises UsageError for a name that can't be one, Unsupported for a
    chip the emulator does not know, DeviceError if there is no such device."""
    if name.startswith(EMULATOR_PREFIX):
        return _open_emulator(name)
    if name == AUTO:
        raise DeviceError(_no_board())
    if name.startswith("/"):
        if not Path(name).exists():
            raise DeviceError(f"{name}: no such device node; {_hint()}")
        raise DeviceError(f"{name}: {_REFUSAL}; {_hint()}")
    raise UsageError(f"unknown device {name!r}; a device is {_forms()}")


_REFUSAL = "this version can't drive a board yet"


def _forms() -> str:
    emulators = [EMULATOR_PREFIX + chip.name for chip in CHIPS if chip.generation == 7]
    return f"auto, a render node such as /dev/dri/renderD128, or one of {', '.join(emulators)}"


def _hint() -> str:
    return "for the emulated NPU: --device emulator:a311d"


def _no_board() -> str:
    nodes = sorted(NODES.glob(NODE_PATTERN))
    if not nodes:
        return f"no NPU found: there is no render node {NODES}/{NODE_PATTERN}; {_hint()}"
    seen = "; ".join(f"{node}: {_REFUSAL}" for node in nodes)
    return f"no usable NPU found ({seen}); {_hint()}"


def _open_emulator(name: str) -> Device:
    chip = find_by_name(name[len(EMULATOR_PREFIX) :])
    if chip is None:
        raise UsageError(f"unknown device {name!r}; a device is {_forms()}")
    if chip.generation != 7:
        raise Unsupported(
            f"{name}: the emulator knows generation V7 only, {chip.name} is "
            f"V{chip.generation}; a device is {_forms()}"
        )
    from lapilli.emulator.machine import EmulatedDevice

    return EmulatedDevice(chip, name)
