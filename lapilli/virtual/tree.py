"""The files that tell of a render node: what programs find in /dev and /sys, as a directory tree.

The preloaded library looks up paths below ``PREFIXES`` in this tree. Links are relative and lead to
the same places as the kernel's; entries of devices that really exist lead out of the tree.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lapilli.hw.drm import DRIVER_NAME

MAJOR, MINOR = 226, 128
"""Of the first render node."""
NAME = f"renderD{MINOR}"
NODE = f"/dev/dri/{NAME}"
DEVICE = f"/sys/devices/platform/{DRIVER_NAME}"
"""The driver makes one DRM device of all its cores, under this platform device."""
PREFIXES = ("/dev/dri", "/sys/dev/char", "/sys/class/drm", DEVICE)
TEXTS = {
    NODE: "",
    f"{DEVICE}/uevent": f"DRIVER={DRIVER_NAME}\nMODALIAS=platform:{DRIVER_NAME}\n",
    f"{DEVICE}/modalias": f"platform:{DRIVER_NAME}\n",
    f"{DEVICE}/drm/{NAME}/dev": f"{MAJOR}:{MINOR}\n",
    f"{DEVICE}/drm/{NAME}/uevent": (
        f"MAJOR={MAJOR}\nMINOR={MINOR}\nDEVNAME=dri/{NAME}\nDEVTYPE=drm_minor\n"
    ),
}
LINKS = {
    f"{DEVICE}/subsystem": "../../../bus/platform",
    f"{DEVICE}/driver": f"../../../bus/platform/drivers/{DRIVER_NAME}",
    f"{DEVICE}/drm/{NAME}/device": f"../../../{DRIVER_NAME}",
    f"{DEVICE}/drm/{NAME}/subsystem": "../../../../../class/drm",
    f"/sys/dev/char/{MAJOR}:{MINOR}": f"../../devices/platform/{DRIVER_NAME}/drm/{NAME}",
    f"/sys/class/drm/{NAME}": f"../../devices/platform/{DRIVER_NAME}/drm/{NAME}",
}
FOLDERS = (f"/sys/bus/platform/drivers/{DRIVER_NAME}",)


def lay_out(tree: Path) -> None:
    """Make the tree in an empty directory."""
    for path, text in TEXTS.items():
        _place(tree, path).write_text(text, encoding="utf-8")
    for path, target in LINKS.items():
        _place(tree, path).symlink_to(target)
    for path in FOLDERS:
        _place(tree, path).mkdir()
    _link_neighbours(tree)


def _place(tree: Path, path: str) -> Path:
    """Where ``path`` is in the tree; the directory for it is made."""
    place = tree / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _link_neighbours(tree: Path) -> None:
    """The machine's other character devices stay visible, with the targets they have."""
    for folder in ("/sys/dev/char", "/sys/devices", "/sys/devices/platform"):
        with suppress(OSError):
            for entry in os.scandir(folder):
                if entry.name.startswith(f"{MAJOR}:"):
                    continue
                target = os.readlink(entry.path) if entry.is_symlink() else entry.path
                with suppress(FileExistsError):
                    _place(tree, entry.path).symlink_to(target)
