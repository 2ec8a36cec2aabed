"""Which software and machine this is: what a report has to say for others to make sense of it."""

from __future__ import annotations

import platform

import numpy as np

from lapilli.errors import DeviceError
from lapilli.litert import runtime as litert
from lapilli.program.device import Device
from lapilli.version import VERSION


def versions() -> dict[str, str]:
    """Of everything that has a say in results and times."""
    try:
        runtime = litert.runtime_version()
    except DeviceError:
        runtime = "not installed"
    return {
        "lapilli": VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "litert": runtime,
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }


def describe(device: Device) -> dict[str, str]:
    """Name, chip, and for a board the driver and the core's identity."""
    from lapilli.device.drm import DrmDevice

    found = {"name": device.name, "chip": device.chip.name}
    if isinstance(device, DrmDevice):
        found["driver"] = str(device.identity.driver)
        found["core"] = str(device.identity.core)
    return found
