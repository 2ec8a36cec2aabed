"""The package's folders and the files beside them, in the order in which they may import."""

from __future__ import annotations

ROOMS = (
    "data",  # files that are read, no code
    "version",
    "printable",
    "hw",
    "errors",
    "timing",
    "files",
    "arrays",
    "model",
    "reference",
    "postprocess",
    "program",
    "compiler",
    "cpu_rates",
    "cache",
    "emulator",
    "device",
    "virtual",
    "answers",
    "litert",
    "diff",
    "profile",
    "selftest",
    "cli",
    "interface",
    "__init__",  # the package's face: public names, imported when first asked for
    "__main__",
)
"""From the ground up."""
