"""Lapilli: compile, run and understand quantised TFLite models on VeriSilicon VIPNano NPUs.

    lapilli.fit("model.tflite")                  # does it fit, how fast, what is in the way
    lapilli.explain("model.tflite")              # operator by operator
    lapilli.profile("model.tflite")              # where the time goes
    lapilli.diff("model.tflite")                 # NPU against CPU
    lapilli.run("model.tflite", "cat.jpg", device="emulator:a311d")
    lapilli.detect("detector.tflite", "cat.jpg", device="emulator:a311d")

    program = lapilli.compile("model.tflite", chip="a311d")
    device = lapilli.open_device("emulator:a311d")
    pipeline = lapilli.Pipeline(device, program)
    delegate = lapilli.Delegate(device="emulator:a311d")
    pixels = lapilli.images.load_picture("cat.jpg", channels=3)

Everything is imported when first asked for, so that ``import lapilli`` costs next to nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lapilli.version import VERSION

if TYPE_CHECKING:
    from lapilli.answers import images
    from lapilli.device.open import open_device
    from lapilli.device.pipeline import Pipeline
    from lapilli.interface.functions import compile, detect, diff, explain, fit, profile, run
    from lapilli.profile.delegate import Delegate
    from lapilli.program.program import Program

__version__ = VERSION
__all__ = [
    "Delegate",
    "Pipeline",
    "Program",
    "__version__",
    "compile",
    "detect",
    "diff",
    "explain",
    "fit",
    "images",
    "open_device",
    "profile",
    "run",
]

_FUNCTIONS = "lapilli.interface.functions"
_HOMES = {
    "compile": (_FUNCTIONS, "compile"),
    "detect": (_FUNCTIONS, "detect"),
    "explain": (_FUNCTIONS, "explain"),
    "fit": (_FUNCTIONS, "fit"),
    "run": (_FUNCTIONS, "run"),
    "open_device": ("lapilli.device.open", "open_device"),
    "Delegate": ("lapilli.profile.delegate", "Delegate"),
    "Pipeline": ("lapilli.device.pipeline", "Pipeline"),
    "Program": ("lapilli.program.program", "Program"),
    "images": ("lapilli.answers.images", ""),
    "diff": ("lapilli.diff", ""),
    "profile": ("lapilli.profile", ""),
}
_CALLED = {"diff": "diff", "profile": "profile"}
"""Folders that are functions' names, too: whichever is imported first, the name can be called."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lapilli' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return list(__all__)


class _CalledFolder(ModuleType):
    """A folder of the package that can be called as the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from importlib import import_module

        function = getattr(import_module(_FUNCTIONS), _CALLED[self.__name__.rpartition(".")[2]])
        return function(*arguments, **options)


class _Package(ModuleType):
    """This module: when one of those folders is imported, it becomes such a one."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _CalledFolder
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
