"""Inferences ahead of their results: the host copies the next inputs while the NPU works."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeAlias

from numpy.typing import NDArray

from lapilli.device.runner import LoadedPart
from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.program.device import Device, ProcessLock
from lapilli.program.program import Part, Program

Tensors: TypeAlias = dict[int, NDArray[Any]]
DEPTH = 2
"""One inference on the NPU, one being prepared or read."""


class Pipeline:
    """A program on a device with ``depth`` inferences in flight, each with buffers of its own.

    Results come in the order of ``submit``, which threads may share. Raises Unsupported for a
    program of more than one part: between them the CPU has work, which is the delegate's business.
    """

    def __init__(self, device: Device, program: Program | Part, depth: int = DEPTH) -> None:
        if depth < 1:
            raise UsageError(f"depth is 1 or more, not {depth}")
        part = _only_part(program, device) if isinstance(program, Program) else program
        self.part = part
        self._parts: list[LoadedPart] = []
        self._free: SimpleQueue[LoadedPart] = SimpleQueue()
        self._order = ProcessLock("the pipeline")
        self._process = os.getpid()
        self._failure: BaseException | None = None
        self._closed = False
        self._reader = ThreadPoolExecutor(1, "lapilli-pipeline")
        # Results are handed over by a thread of its own: what a future calls may wait in submit for
        # a place that only the reader can free.
        self._telling = f"lapilli-results-{id(self):x}"
        self._teller = ThreadPoolExecutor(1, self._telling)
        try:
            for _ in range(depth):
                self._parts.append(LoadedPart(device, part))
                self._free.put(self._parts[-1])
        except BaseException:
            self.close()
            raise

    def submit(self, inputs: Mapping[int, NDArray[Any]]) -> Future[Tensors]:
        """Start an inference; a future of its outputs by tensor index, which can't be cancelled.

        Waits while ``depth`` are in flight. ``inputs``, all of them, may be changed afterwards.
        Raises UsageError for one that is missing, unknown, or of another type or shape,
        DeviceError if the device refuses, or an earlier job failed: buffers may then be in use.
        """
        self._demand_usable()
        with self._order.held:
            loaded = self._free.get()
            try:
                self._demand_usable()
                loaded.demand_all(inputs)
                for tensor, values in inputs.items():
                    loaded.write(tensor, values)
                fence = loaded.start()
            except BaseException:
                self._free.put(loaded)
                raise
            future: Future[Tensors] = Future()
            future.set_running_or_notify_cancel()
            self._reader.submit(self._read, loaded, fence, future)
            return future

    def _read(self, loaded: LoadedPart, fence: int, future: Future[Tensors]) -> None:
        try:
            loaded.finish(fence)
            results = {binding.tensor: loaded.read(binding.tensor) for binding in self.part.outputs}
        except BaseException as error:
            self._failure = error
            self._free.put(loaded)
            self._teller.submit(future.set_exception, error)
        else:
            self._free.put(loaded)
            self._teller.submit(future.set_result, results)

    def _demand_usable(self) -> None:
        if os.getpid() != self._process:
            raise DeviceError(
                "the pipeline was made before this process was forked, and its threads are not "
                "here; make one in this process"
            )
        if self._closed:
            raise DeviceError("the pipeline is closed")
        if self._failure is not None:
            raise DeviceError(
                f"an earlier inference failed, open the device again ({self._failure})"
            ) from self._failure

    def close(self) -> None:
        """Wait for what is in flight, then free the buffers, then wait for what futures call."""
        # First, so that a submit that waits for a place gives up when it gets one.
        self._closed = True
        if os.getpid() != self._process:
            return
        with self._order.held:
            self._reader.shutdown()
            parts, self._parts = self._parts, []
            for part in parts:
                part.close()
        # A future's callback may close the pipeline: it can't wait for itself.
        own = threading.current_thread().name.startswith(self._telling)
        self._teller.shutdown(wait=not own)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _only_part(program: Program, device: Device) -> Part:
    if program.chip != device.chip.name:
        raise UsageError(
            f"{program.model} was compiled for {program.chip}; {device.name} is {device.chip.name}"
        )
    if len(program.parts) != 1:
        raise Unsupported(
            f"{program.model}: {len(program.parts)} parts with work for the CPU between them; a "
            f"pipeline takes programs of one part, the delegate takes any"
        )
    return program.parts[0]
