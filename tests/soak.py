"""Runs a tiny model for long with the garbage collector off, and says what memory it took.

    python tests/soak.py INFERENCES CYCLES

prints one JSON object: bytes of resident memory per inference, and per cycle of loading and
unloading, after a warm-up; the objects that are still there after a cycle; and how many more files
are open at the end. A program of its own, so that nothing but the delegate moves its memory.

The warm-up is long because Python keeps up to 2,000 freed tuples of each length for later.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from models import ModelBuilder

from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate

WARM_UP_INFERENCES, WARM_UP_CYCLES = 1500, 30
STRETCHES = 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def tiny_model() -> bytes:
    """Two partitions with a SOFTMAX on the CPU between them."""
    rng = np.random.default_rng(3)
    model = ModelBuilder()
    x = model.input((1, 6, 6, 3), 0.02, 128)
    weights = rng.integers(0, 256, (4, 3, 3, 3), dtype=np.uint8)
    y = model.conv(x, weights, np.zeros(4), 0.01, 120, 0.05, 100, stride=2)
    z = model.tensor((1, 3, 3, 4), 1 / 256, 0)
    model.operator("SOFTMAX", [y], [z], ("SoftmaxOptions", {"Beta": 1.0}))
    weights = rng.integers(0, 256, (1, 3, 3, 4), dtype=np.uint8)
    filtered = model.depthwise(z, weights, np.zeros(4), 0.01, 130, 0.02, 120)
    return model.build([model.add(filtered, z, 0.03, 90)])


def load(model: bytes) -> Any:
    """An interpreter with the delegate on the emulator, nobody else keeps the latter."""
    delegate = Delegate(device="emulator:a311d", partition="all")
    interpreter = litert.interpreter_class()(
        model_content=model, experimental_delegates=[delegate], num_threads=1
    )
    interpreter.allocate_tensors()
    assert delegate.partitions == ((0,), (2, 3))
    return interpreter


def infer(interpreter: Any, image: Any) -> None:
    """One inference as an application does it."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * PAGE


def open_files() -> int:
    """Files, pipes and sockets open."""
    return len(os.listdir("/proc/self/fd"))


def growth(times: int, action: Callable[[], None]) -> tuple[float, int]:
    """Resident bytes per action, and in all.

    The first is the median over 20 stretches: now and then Python rebuilds its table of interned
    strings, which is a jump of up to a megabyte in one of them, up or down.
    """
    steps, start = [], resident()
    for _ in range(STRETCHES):
        before = resident()
        for _ in range(times // STRETCHES):
            action()
        steps.append((resident() - before) / (times // STRETCHES))
    return statistics.median(steps), resident() - start


def _inferences(interpreter: Any, image: Any, count: int) -> tuple[float, int]:
    """Growth over ``count`` inferences; the interpreter is gone afterwards."""
    for _ in range(max(WARM_UP_INFERENCES, count // 4)):
        infer(interpreter, image)
    return growth(count, lambda: infer(interpreter, image))


def soak(inferences: int, cycles: int) -> dict[str, float]:
    """The numbers that are printed."""
    gc.disable()
    model = tiny_model()
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
    infer(load(model), image)
    files = open_files()
    per_inference, all_inferences = _inferences(load(model), image, inferences)
    for _ in range(max(WARM_UP_CYCLES, cycles)):
        infer(load(model), image)
    objects = len(gc.get_objects())
    per_cycle, all_cycles = growth(cycles, lambda: infer(load(model), image))
    return {
        "bytes_per_inference": per_inference,
        "bytes_per_cycle": per_cycle,
        "bytes_in_all": all_inferences + all_cycles,
        "objects_per_cycle": (len(gc.get_objects()) - objects) / cycles,
        "more_files": open_files() - files,
    }


if __name__ == "__main__":
    json.dump(soak(*map(int, sys.argv[1:])), sys.stdout)
