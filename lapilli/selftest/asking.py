"""What an experiment is and what it finds, and how a part is run and timed for one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lapilli.compiler.schedule.levers.registry import NAMES
from lapilli.compiler.stages import CompileOptions
from lapilli.device.runner import LoadedPart
from lapilli.program.device import Device
from lapilli.program.program import Part
from lapilli.selftest.expected import Image

PLAIN = CompileOptions(memory_reuse=False, without=frozenset(NAMES))
"""One job an operation, in one buffer each."""


class Answer(Enum):
    """What an experiment showed."""

    YES = "yes"
    NO = "no"
    WRONG = "wrong values"
    UNTIMED = "not timed"
    NOT_ASKED = "not asked"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """``detail``: one line; ``milliseconds``: medians of submit and wait, by what was run."""

    name: str
    answer: Answer
    detail: str
    milliseconds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Experiment:
    """``question`` and what the answer yes ``unlocks``, for the reader; ``generations`` that it can
    be asked; ``run``: puts it to a device, timing so many runs."""

    name: str
    question: str
    unlocks: str
    generations: tuple[int, ...]
    run: Callable[[Experiment, Device, int], Finding]


def emulated(device: Device) -> bool:
    """Whether its times are those of the machine it is emulated on, and its bytes our own."""
    return device.name.startswith("emulator:")


def measured(
    device: Device, part: Part, inputs: dict[int, Image], runs: int
) -> tuple[dict[int, Image], float]:
    """Outputs of a first run, and the median seconds of more."""
    with LoadedPart(device, part) as loaded:
        outputs = loaded.run(inputs)
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            loaded.execute()
            seconds.append(time.perf_counter() - began)
    return outputs, statistics.median(seconds) if seconds else 0.0
