"""A virtual NPU for tests: kernel, system calls in front of it, and a clock that takes no time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hand_graphs
import numpy as np

from lapilli.compiler.stages import compile_graph
from lapilli.device.drm import DrmDevice
from lapilli.hw.chips import Chip, find_by_name
from lapilli.hw.drm import Ioctl
from lapilli.program.program import Part
from lapilli.program.recording import Recording
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.objects import Client
from lapilli.virtual.system import VirtualSystem

NODE = "/dev/dri/renderD128"


def chip_called(name: str = "a311d") -> Chip:
    chip = find_by_name(name)
    assert chip is not None
    return chip


@dataclass
class FastClock:
    """Sleeping sets it forward."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Board:
    """A machine with one virtual NPU."""

    kernel: VirtualKernel
    system: VirtualSystem
    clock: FastClock

    def device(self) -> DrmDevice:
        return DrmDevice(NODE, self.system)

    @property
    def left(self) -> tuple[int, int, int, int]:
        """Clients, bytes, files and mappings: all 0 if nothing is left behind."""
        kernel, system = self.kernel, self.system
        return len(kernel.clients), kernel.used_bytes, system.open_files, system.mappings


def board(
    chip: str = "a311d",
    record: Callable[[Client, Recording], None] | None = None,
    **settings: Any,
) -> Board:
    clock = FastClock()
    kernel = VirtualKernel(chip_called(chip), Settings(**settings), record, clock)
    return Board(kernel, VirtualSystem({NODE: kernel}, clock), clock)


def small_part(chip: str = "a311d") -> Part:
    """A convolution of 8x8x4 with ones and a bias, whose output is no constant."""
    graph = hand_graphs.convolution()
    weights = np.random.default_rng(1).integers(0, 256, (6, 3, 3, 4)).astype(np.uint8)
    graph = hand_graphs.with_tensor(graph, hand_graphs.WEIGHTS, data=weights)
    return compile_graph(graph, chip_called(chip)).parts[0]


def small_input(seed: int = 0) -> dict[int, np.ndarray]:
    values = np.random.default_rng(seed).integers(0, 256, (1, 8, 8, 4)).astype(np.uint8)
    return {hand_graphs.IMAGE: values}


def call(kernel: VirtualKernel, client: Client, ioctl: Ioctl, **fields: Any) -> tuple[int, Any]:
    """One ioctl with a structure made of ``fields``: the result, and the structure afterwards."""
    argument = bytearray(ioctl.structure(**fields))
    result = kernel.ioctl(client, ioctl.request, argument, ctypes.string_at, _write)
    return result, ioctl.structure.from_buffer_copy(argument)


def _write(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))
