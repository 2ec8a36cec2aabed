"""Which TensorFlow Lite runtime is installed, and its Interpreter class."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import Any

from lapilli.errors import DeviceError

# (import name, distribution), the first one found is taken.
RUNTIMES = (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime"))


def _installed() -> tuple[str, str]:
    """Import name and distribution of the runtime; DeviceError if there is none."""
    for package, distribution in RUNTIMES:
        if importlib.util.find_spec(package) is not None:
            return package, distribution
    raise DeviceError(
        "no TensorFlow Lite runtime is installed: neither ai_edge_litert nor tflite_runtime can be "
        "imported; install one with: pip install 'lapilli[litert]'"
    )


def interpreter_class() -> Any:
    """The ``Interpreter`` class of the installed runtime, LiteRT before tflite_runtime.

    Raises DeviceError if no runtime is installed or the one that is can't be imported.
    """
    package, distribution = _installed()
    try:
        return importlib.import_module(f"{package}.interpreter").Interpreter
    except ImportError as error:
        raise DeviceError(f"{distribution} is installed but can't be imported: {error}") from error


def runtime_version() -> str:
    """Name and version of the installed runtime, as in ``ai-edge-litert 2.3.0``."""
    package, distribution = _installed()
    try:
        return f"{distribution} {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        # A nightly build, or a copy that was not installed by pip.
        module = importlib.import_module(package)
        return f"{distribution} {getattr(module, '__version__', 'of unknown version')}"
