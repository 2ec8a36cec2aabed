"""Which commands there are: where each is, what it does in a line, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One command. ``group``: what it is for, see GROUPS."""

    module: str
    attribute: str
    help: str
    group: str
    example: str


GROUPS: Final[Mapping[str, str]] = {
    "try": "Try it",
    "understand": "Understand a model",
    "build": "Build and use programs",
    "board": "On a board",
    "tools": "Tools",
}
"""In the order in which they are shown."""


def _entry(name: str, group: str, help: str, example: str, attribute: str | None = None) -> Entry:
    module = name.replace("-", "_")
    return Entry(f"lapilli.cli.{module}", attribute or module, help, group, f"lapilli {example}")


COMMANDS: Final[Mapping[str, Entry]] = {
    "demo": _entry("demo", "try", "Show a small model at work.", "demo"),
    "fit": _entry(
        "fit",
        "try",
        "Say whether a model fits, and how fast it would be.",
        "fit model.tflite",
    ),
    "run": _entry(
        "run",
        "try",
        "Run a model on a device or the emulator.",
        "run model.tflite --input cat.jpg --labels labels.txt --chip vim3",
    ),
    "explain": _entry(
        "explain",
        "understand",
        "Say what the NPU takes, and why not.",
        "explain model.tflite --chip imx8mp",
    ),
    "diff": _entry(
        "diff",
        "understand",
        "Compare NPU and CPU, operator by operator.",
        "diff model.tflite --input cat.jpg",
        "diff_command",
    ),
    "profile": _entry(
        "profile",
        "understand",
        "Say where the time goes.",
        "profile model.tflite --html profile.html",
    ),
    "compare": _entry(
        "compare",
        "understand",
        "Set two profiles side by side.",
        "compare model.tflite model.tflite --schedule-a reference",
    ),
    "benchmark": _entry(
        "benchmark",
        "understand",
        "Time a model's inferences.",
        "benchmark model.tflite --chip a311d --num_runs 20",
    ),
    "compile": _entry(
        "compile",
        "build",
        "Make a program of a .tflite model.",
        "compile model.tflite --chip imx8mp -o model.lapilli",
        "compile_command",
    ),
    "requantise": _entry(
        "requantise",
        "build",
        "Write a per-channel model as one per tensor.",
        "requantise model.tflite --calibration pictures/",
    ),
    "delegate-path": _entry(
        "delegate-path",
        "build",
        "Print the delegate for programs in C.",
        "delegate-path",
    ),
    "cache": _entry("cache", "build", "Show or clear the programs that are kept.", "cache list"),
    "devices": _entry("devices", "board", "List NPUs, and why others can't be used.", "devices"),
    "doctor": _entry("doctor", "board", "Say what is wrong here, and what mends it.", "doctor"),
    "selftest": _entry(
        "selftest", "board", "Run models with known results.", "selftest --device auto"
    ),
    "calibrate-cpu": _entry(
        "calibrate-cpu", "board", "Measure this CPU, for --partition fastest.", "calibrate-cpu"
    ),
    "chips": _entry("chips", "board", "List the chips known, and how sure each is.", "chips"),
    "emulate": _entry(
        "emulate",
        "tools",
        "Run another program with an emulated NPU.",
        "emulate --chip imx8mp -- lapilli doctor",
    ),
    "dump": _entry("dump", "tools", "Disassemble a program.", "dump model.lapilli"),
    "replay": _entry(
        "replay",
        "tools",
        "Run a recording of a submit.",
        "replay 0000.npz --chip a311d -o out.npz",
    ),
    "help": _entry(
        "help", "tools", "Explain a command, or the words.", "help terms", "help_command"
    ),
    "version": _entry("version", "tools", "Print the versions of everything.", "version"),
}
