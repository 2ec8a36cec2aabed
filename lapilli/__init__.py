"""Lapilli: compile, run and understand quantised TFLite models on VeriSilicon VIPNano NPUs.

    program = lapilli.compile("model.tflite", chip="a311d")
    device = lapilli.open_device("emulator:a311d")
    delegate = lapilli.Delegate(device="emulator:a311d")
    pixels = lapilli.images.load_picture("cat.jpg", channels=3)

Everything is imported when first asked for, so that ``import lapilli`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lapilli.version import VERSION

if TYPE_CHECKING:
    from lapilli.answers import images
    from lapilli.compiler.stages import compile_model as compile
    from lapilli.device.open import open_device
    from lapilli.device.pipeline import Pipeline
    from lapilli.profile.delegate import Delegate
    from lapilli.program.program import Program

__version__ = VERSION
__all__ = ["Delegate", "Pipeline", "Program", "__version__", "compile", "images", "open_device"]

_HOMES = {
    "compile": ("lapilli.compiler.stages", "compile_model"),
    "open_device": ("lapilli.device.open", "open_device"),
    "Delegate": ("lapilli.profile.delegate", "Delegate"),
    "Pipeline": ("lapilli.device.pipeline", "Pipeline"),
    "Program": ("lapilli.program.program", "Program"),
    "images": ("lapilli.answers.images", ""),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lapilli' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    found = import_module(module)
    return getattr(found, attribute) if attribute else found
