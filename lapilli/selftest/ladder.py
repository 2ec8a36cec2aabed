"""Runs the self-test's models on a device and compares."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lapilli.compiler.stages import compile_graph
from lapilli.device.hang import SubmitHung
from lapilli.device.runner import LoadedPart
from lapilli.errors import (
    DeviceError,
    Fault,
    HangError,
    LapilliError,
    ModelError,
    Refused,
    Unsupported,
)
from lapilli.program.device import Device
from lapilli.program.recording import Recording
from lapilli.selftest.models import Case


class Outcome(Enum):
    """How a case ended."""

    PASSED = "passed"
    DIFFERS = "differs"
    HANG = "hang"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Result:
    """One case. ``largest`` difference of a byte, of how many ``differing`` ones of ``elements``;
    ``milliseconds`` of submit and wait, the median of the runs; ``detail`` where it went wrong;
    ``recording`` of a job that hung."""

    name: str
    outcome: Outcome
    elements: int
    tolerance: int
    jobs: int = 0
    differing: int = 0
    largest: int = 0
    milliseconds: float | None = None
    detail: str = ""
    recording: Recording | None = None


def run(
    cases: Iterable[Case], device: Device, runs: int, told: Callable[[Result], None]
) -> list[Result]:
    """Every case; ``told`` is called after each."""
    results = []
    for case in cases:
        result = run_case(case, device, runs)
        told(result)
        results.append(result)
    return results


def run_case(case: Case, device: Device, runs: int = 1) -> Result:
    """Compile, run and compare; what goes wrong is in the result."""
    try:
        return _run(case, device, runs)
    except Refused as error:
        return _failed(case, Outcome.REFUSED, error)
    except (HangError, Fault) as error:
        recording = error.recording if isinstance(error, SubmitHung) else None
        return _failed(case, Outcome.HANG, error, recording)
    except DeviceError as error:
        return _failed(case, Outcome.REFUSED, error)
    except (Unsupported, ModelError) as error:
        return _failed(case, Outcome.UNSUPPORTED, error)


def _failed(
    case: Case, outcome: Outcome, error: LapilliError, recording: Recording | None = None
) -> Result:
    return Result(
        case.name,
        outcome,
        case.expected.size,
        case.tolerance,
        detail=str(error),
        recording=recording,
    )


def _run(case: Case, device: Device, runs: int) -> Result:
    program = compile_graph(case.graph, device.chip)
    taken = sum(len(part.operators) for part in program.parts)
    if taken < len(case.graph.operators):
        raise Unsupported(f"{device.chip.name} does not take all of its operators")
    part = program.parts[0]
    with LoadedPart(device, part) as loaded:
        output = loaded.run({case.graph.inputs[0]: case.image})[case.graph.outputs[0]]
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            loaded.execute()
            seconds.append(time.perf_counter() - start)
    found = output.reshape(-1).astype(np.int64)
    difference = np.abs(found - case.expected.reshape(-1))
    largest = int(difference.max())
    return Result(
        case.name,
        Outcome.PASSED if largest <= case.tolerance else Outcome.DIFFERS,
        case.expected.size,
        case.tolerance,
        len(part.jobs),
        int(np.count_nonzero(difference)),
        largest,
        round(1000 * statistics.median(seconds), 3) if seconds else None,
    )
