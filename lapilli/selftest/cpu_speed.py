"""How fast this machine's CPU does what the NPU could: the rates that cuts are decided by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lapilli.errors import DeviceError
from lapilli.litert import runtime as litert
from lapilli.selftest.cpu_probes import PROBES, Probe
from lapilli.timing.cpu import DEFAULT_RATES, CpuRates

LEAST_SECONDS = 0.3
"""How long each model runs at least; its quickest inference counts."""
MOST_RUNS = 1000
_SHORTEST = 1e-9

Timer = Callable[[Probe], float]


def measure_cpu(name: str, threads: int | None = None, timer: Timer | None = None) -> CpuRates:
    """The rates of this machine, called ``name``; those that need an NPU stay as built in.
    ``threads``: LiteRT's, None leaves the choice to it; ``timer``: seconds of a probe's inference.
    Raises DeviceError if there is no runtime, or it does not take a probe."""
    timed = timer or (lambda probe: quickest(probe, threads))
    found: dict[str, float] = {}
    each = 0.0
    for make in PROBES:
        probe = make()
        seconds = timed(probe)
        if not probe.work:
            each = seconds / probe.operators
            found[probe.rate] = each
            continue
        found[probe.rate] = probe.work / max(seconds - each * probe.operators, _SHORTEST)
    return replace(DEFAULT_RATES, **found, name=name)


def quickest(probe: Probe, threads: int | None) -> float:
    """Seconds of the quickest inference."""
    interpreter = _interpreter(probe, threads)
    (detail,) = interpreter.get_input_details()
    values = np.random.default_rng(0).integers(-128, 128, detail["shape"]).astype(np.int8)
    interpreter.set_tensor(detail["index"], values)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or (
        time.perf_counter() - began < LEAST_SECONDS and len(times) < MOST_RUNS
    ):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return min(times)


def _interpreter(probe: Probe, threads: int | None) -> Any:
    try:
        interpreter = litert.interpreter_class()(model_content=probe.model, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"LiteRT does not run the model for {probe.rate}: {error}") from error
    return interpreter


def compared(rates: CpuRates) -> Sequence[tuple[str, float, float]]:
    """Each figure's name, with that of ``rates`` and the one built in."""
    return [
        (name, value, getattr(DEFAULT_RATES, name))
        for name, value in vars(rates).items()
        if name != "name"
    ]
