"""Programs for ``test_emulate.py`` that use the device layer as on a board, without knowing that
they run under ``lapilli emulate``.

    python emulated_program.py infer CHIP OUT.npz     one inference
    python emulated_program.py two                    two programs at once
    python emulated_program.py one SEED               one of the two
    python emulated_program.py libdrm LIBRARY         what libdrm finds
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
from patience import PATIENCE
from virtual_npu import NODE, small_input, small_part

from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart

ADDRESS = 0x500000
SIZE = 8192


def infer(chip: str, out: str) -> None:
    """The output tensors of the small part, by number."""
    part = small_part(chip)
    with open_device(NODE) as device, LoadedPart(device, part) as loaded:  # type: ignore[attr-defined]
        results = loaded.run(small_input())
    np.savez(out, **{f"tensor_{tensor}": values for tensor, values in results.items()})


def one(seed: int) -> None:
    """Keep something at an address that the other program uses as well."""
    expected = LoadedPart(open_device("emulator:a311d"), small_part()).run(small_input(seed))
    device = open_device(NODE)
    buffer = device.alloc(SIZE, ADDRESS)
    assert not buffer.data.any(), "memory of somebody else"
    buffer.data[:] = seed
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    found = LoadedPart(device, small_part()).run(small_input(seed))
    assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)
    assert (buffer.data == seed).all(), "the other program has written here"
    device.close()


def two() -> None:
    """Start both, let them have their buffers, then let them run."""
    programs = [
        subprocess.Popen(
            [sys.executable, __file__, "one", str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        program.communicate("go\n", timeout=PATIENCE)
    sys.exit(max(program.returncode for program in programs))


class DrmDevice(ctypes.Structure):
    """The start of libdrm's structure."""

    _fields_ = (
        ("nodes", ctypes.POINTER(ctypes.c_char_p)),
        ("available", ctypes.c_int),
        ("bus", ctypes.c_int),
        ("bus_information", ctypes.c_char_p),
    )


def libdrm(name: str) -> None:
    """Its enumeration, as drivers do it, and the ways from a descriptor to a name."""
    library = ctypes.CDLL(name)
    devices = (ctypes.POINTER(DrmDevice) * 8)()
    assert library.drmGetDevices2(0, devices, 8) == 1
    found = devices[0].contents
    render, platform = 2, 2
    assert (found.available, found.bus) == (1 << render, platform)
    assert found.nodes[render] == NODE.encode()
    assert found.bus_information == b"etnaviv"
    descriptor = os.open(NODE, os.O_RDWR)
    library.drmGetDeviceNameFromFd2.restype = ctypes.c_char_p
    assert library.drmGetDeviceNameFromFd2(descriptor) == NODE.encode()
    assert library.drmGetNodeTypeFromFd(descriptor) == render


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "infer":
        infer(*arguments)
    elif command == "one":
        one(int(arguments[0]))
    elif command == "libdrm":
        libdrm(arguments[0])
    else:
        two()
