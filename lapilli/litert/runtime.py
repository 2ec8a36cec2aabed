"""Which TensorFlow Lite runtime is installed, and its Interpreter class."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, TextIO

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


def lists_later_class_first() -> bool:
    """Whether the runtime's TFLite_Detection_PostProcess, where it suppresses each class by itself,
    lists the later of two classes with equal scores first, as TFLite did until LiteRT 1.1."""
    try:
        name, version = runtime_version().split(" ", 1)
    except DeviceError:  # a program in C
        return False
    return name == "tflite-runtime" or version.startswith("1.0.")


def _writes_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):  # no file of the system's
        return False


@contextlib.contextmanager
def native_messages() -> Iterator[None]:
    """What the runtime's native code writes to the process's standard error goes to the debug log:
    its banner has no switch. For command lines; other threads' messages are caught too. What Python
    writes to ``sys.stderr`` goes where it went."""
    sys.stderr.flush()
    saved, python = os.dup(2), sys.stderr
    try:
        with tempfile.TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                if _writes_to(python, 2):
                    sys.stderr = open(  # noqa: SIM115
                        saved, "w", encoding="locale", buffering=1, errors="replace", closefd=False
                    )
                yield
            finally:
                with contextlib.suppress(OSError):
                    sys.stderr.flush()
                sys.stderr = python
                os.dup2(saved, 2)
                caught.seek(0)
                for line in caught.read().decode("utf-8", "replace").splitlines():
                    logging.getLogger(__name__).debug("%s", line)
    finally:
        os.close(saved)
