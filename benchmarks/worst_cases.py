"""What the worst input within all limits takes, beside ordinary input of its kind.

    python benchmarks/worst_cases.py [--json]

Seconds that this process computes, the least of several runs in turns. The tests count the same
work, and look at no clock.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import worst_cases as worst
from places import DIGITS

from lapilli.emulator import coefficients_v7, coefficients_v8
from lapilli.emulator.kernels import KernelShape
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model import limits, tflite

KERNELS = 1 << 14
RUNS = 3


@dataclass(frozen=True)
class Figure:
    """Seconds of computing, and how many times what ``beside`` takes; ``aim`` is the most that the
    seconds should be."""

    name: str
    seconds: float
    times: float
    beside: str
    aim: float


def in_turns(*actions: Callable[[], object]) -> list[float]:
    """The least seconds each takes, so that what else the machine does hits all alike."""
    found = [float("inf")] * len(actions)
    for _ in range(RUNS + 1):  # once more: the first may make machine code
        for number, action in enumerate(actions):
            start = time.process_time()
            action()
            found[number] = min(found[number], time.process_time() - start)
    return found


def decoding(data: bytes, shape: KernelShape, chip: Chip) -> Callable[[], object]:
    """Decodes a coefficient buffer somewhere in memory."""
    space = AddressSpace()
    buffer = space.alloc(len(data), None)
    buffer.data[:] = np.frombuffer(data, np.uint8)
    memory = ListedMemory(space, [buffer])

    def decode() -> object:
        if chip.name == "a311d":
            found = coefficients_v7.find_streams(memory, buffer.address, chip)
            return coefficients_v7.decode(found, shape, chip)
        found = coefficients_v8.find_streams(memory, buffer.address, shape, chip)
        return coefficients_v8.decode(found, shape, chip)

    return decode


def models() -> list[Figure]:
    """Reading the worst files beside the sample model, which has 11 operators."""
    sample = DIGITS.read_bytes()
    cases = {
        "16,384 tensors in 64 KB": worst.tensors_alike(limits.MOST_TABLES, 1000),
        "a list of 32 MiB": worst.longest_list(),
    }
    figures = []
    for name, data in cases.items():
        here, there = in_turns(
            lambda data=data: tflite.parse(data, "worst"), lambda: tflite.parse(sample, "sample")
        )
        figures.append(Figure(f"read {name}", here, here / there, "the sample model", 2.0))
    return figures


def coefficients() -> list[Figure]:
    """Superblocks of a kernel each, beside the same kernels in one."""
    v7, v8 = find_by_name("a311d"), find_by_name("imx8mp")
    assert v7 is not None and v8 is not None
    each = KERNELS // 8
    data = worst.superblocks_v7(each)
    here, there = in_turns(
        decoding(data, KernelShape(1, 1, 1, 1, 0), v7),
        decoding(data, KernelShape(1, 1, 1, each, 0), v7),
    )
    figures = [Figure("V7, 16,384 superblocks", here, here / there, "one superblock a core", 2.0)]
    count = KERNELS - 1
    data = worst.superblocks_v8(count)
    here, there = in_turns(
        decoding(data, KernelShape(1, 3, 3, 1, 0, count), v8),
        decoding(data, KernelShape(1, 3, 3, -(-count // 6), 0, count), v8),
    )
    return [*figures, Figure("V8, 16,383 superblocks", here, here / there, "one a core", 2.0)]


def main() -> None:
    """Print the table or JSON."""
    figures = models() + coefficients()
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    print(f"{'figure':<32}{'seconds':>8}{'aim':>6}  times")
    for figure in figures:
        beside = f"{figure.times:.0f} x {figure.beside}"
        print(f"{figure.name:<32}{figure.seconds:>8.3f}{figure.aim:>6g}  {beside}")


if __name__ == "__main__":
    main()
