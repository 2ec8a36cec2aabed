"""Host time per inference of MobileNetV1: submit and wait, and all of the delegate's nodes.

    python benchmarks/host_overhead.py [--json] [MODEL.tflite]

The virtual kernel completes every job at once without executing it, so what is measured is our
Python above the system calls, plus the virtual kernel's own answer to them, which on a board is the
real kernel's. ``delegate`` is the time inside the delegate's NPU nodes beyond the system calls,
with the copies of inputs and outputs. The aims are the project's. Models are taken from
LAPILLI_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from ctypes import Structure
from pathlib import Path

from lapilli.compiler import stages as compiler
from lapilli.device.drm import DrmDevice
from lapilli.device.runner import LoadedPart
from lapilli.hw import drm
from lapilli.hw.chips import find_by_name
from lapilli.litert.backend import NpuBackend
from lapilli.litert.delegate import Delegate
from lapilli.litert.runtime import interpreter_class
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.system import VirtualSystem

DATA = Path(os.environ.get("LAPILLI_TEST_DATA", Path(__file__).parents[2] / "shared"))
MODEL = DATA / "models/mobilenet_v1_1.0_224_quant.tflite"
NODE = "/dev/dri/renderD128"
AIM_MICROSECONDS = 150.0
DELEGATE_AIM_MICROSECONDS = 120.0
WARM_UP, ROUNDS = 50, 1000


class SilentSystem(VirtualSystem):
    """Answers submits and waits itself: what is left is the part above the system call."""

    silent = False

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        """Nothing, for the two calls of an inference."""
        if not self.silent or request not in (drm.GEM_SUBMIT.request, drm.WAIT_FENCE.request):
            super().ioctl(descriptor, request, argument)


def _median(action: Callable[[], object]) -> float:
    """Microseconds."""
    for _ in range(WARM_UP):
        action()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds)


def measure(model: Path) -> dict[str, float]:
    """Microseconds per inference, the sum over the model's parts."""
    chip = find_by_name("a311d")
    assert chip is not None
    system = SilentSystem({NODE: VirtualKernel(chip, Settings(execute=False))})
    program = compiler.compile_model(model, chip.name)
    with DrmDevice(NODE, system) as device:
        parts = [LoadedPart(device, part) for part in program.parts]
        whole = sum(_median(part.execute) for part in parts)
        system.silent = True
        own = sum(_median(part.execute) for part in parts)
        for part in parts:
            part.close()
    return {"with_virtual_kernel": whole, "above_system_calls": own, "aim": AIM_MICROSECONDS}


def measure_delegate(model: Path) -> float:
    """Microseconds per inference inside the delegate's NPU nodes, beyond the system calls."""
    chip = find_by_name("a311d")
    assert chip is not None
    system = SilentSystem({NODE: VirtualKernel(chip, Settings(execute=False))})
    backend = NpuBackend(DrmDevice(NODE, system), "best")
    delegate = Delegate(profile=True, _backend=backend)
    interpreter = interpreter_class()(
        model_path=str(model), experimental_delegates=[delegate], num_threads=1
    )
    interpreter.allocate_tensors()
    system.silent = True
    spent = []
    for _ in range(WARM_UP + ROUNDS):
        interpreter.invoke()
        spent.append(sum(node.end - node.start for node in delegate.last_nodes))
    del interpreter
    delegate.close()
    return 1e6 * statistics.median(spent[WARM_UP:])


def main() -> None:
    """Print the figures."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    model = Path(arguments[0]) if arguments else MODEL
    figures = measure(model)
    figures["delegate"] = measure_delegate(model)
    figures["delegate_aim"] = DELEGATE_AIM_MICROSECONDS
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<24}{value:>9.1f} µs")


if __name__ == "__main__":
    main()
