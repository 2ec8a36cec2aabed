"""A pytest plugin for a process that was started with the preloaded library: the boards of
``virtual_npu`` are then reached by the system's real calls, through the library and a socket.

The server answers from a thread of the same process, so that tests see both sides. Started by
``test_emulate.py``.
"""

from __future__ import annotations

import os
import stat
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import virtual_npu
from patience import PATIENCE

from lapilli.device.system import KernelSystem
from lapilli.program.program import Bytes
from lapilli.program.recording import Recording
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.objects import Client
from lapilli.virtual.server import Server
from lapilli.virtual.system import memoryview_of

current: list[VirtualKernel] = []
"""The kernel behind the node now."""
openings: list[str] = []


class PreloadedSystem(KernelSystem):
    """Real calls; the clock is the board's."""

    def __init__(self, kernel: VirtualKernel, clock: virtual_npu.FastClock) -> None:
        self._kernel = kernel
        self._clock = clock
        self._descriptors: set[int] = set()
        self._mapped: list[weakref.ref[object]] = []

    def open(self, path: str) -> int:
        """Also waits until the kernel knows."""
        descriptor = super().open(path)
        assert is_node(descriptor)
        openings.append(path)
        self._descriptors.add(descriptor)
        self._wait_for_kernel()
        return descriptor

    def close(self, descriptor: int) -> None:
        """Likewise."""
        self._descriptors.discard(descriptor)
        super().close(descriptor)
        self._wait_for_kernel()

    def _wait_for_kernel(self) -> None:
        until = time.monotonic() + PATIENCE
        while not self._kernel_knows():
            assert time.monotonic() < until, "the server does not notice"
            time.sleep(0.0002)

    def _kernel_knows(self) -> bool:
        with self._kernel._lock:  # so that it is not in the middle of closing a client
            return len(self._kernel.clients) == len(self._descriptors)

    def map(self, descriptor: int, size: int, offset: int) -> Bytes:
        data = super().map(descriptor, size, offset)
        self._mapped.append(weakref.ref(memoryview_of(data).obj))
        return data

    def monotonic(self) -> float:
        return self._clock.monotonic()

    @property
    def mappings(self) -> int:
        return sum(memory() is not None for memory in self._mapped)

    @property
    def open_files(self) -> int:
        return sum(is_node(int(path.name)) for path in Path("/proc/self/fd").iterdir())


def is_node(descriptor: int) -> bool:
    try:
        found = os.fstat(descriptor)
    except OSError:  # the one that listed the directory
        return False
    device = os.major(found.st_rdev), os.minor(found.st_rdev)
    return stat.S_ISCHR(found.st_mode) and device == (226, 128)


def board(
    chip: str = "a311d",
    record: Callable[[Client, Recording], None] | None = None,
    **settings: Any,
) -> virtual_npu.Board:
    clock = virtual_npu.FastClock()
    kernel = VirtualKernel(virtual_npu.chip_called(chip), Settings(**settings), record, clock)
    current[:] = [kernel]
    return virtual_npu.Board(kernel, PreloadedSystem(kernel, clock), clock)  # type: ignore[arg-type]


def pytest_sessionstart(session: pytest.Session) -> None:
    server = Server(Path(os.environ["LAPILLI_EMULATE_SOCKET"]), lambda: current[0])
    session.config.add_cleanup(server.__enter__().close)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"the node was opened {len(openings)} times")


virtual_npu.board = board
